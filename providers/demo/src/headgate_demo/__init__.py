"""A deterministic provider without a network, for first contact, tests and benchmarks."""

from headgate_demo.knobs import Knobs
from headgate_demo.provider import Demo

__all__ = ["Demo", "Knobs"]
