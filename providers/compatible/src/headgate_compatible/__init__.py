"""Vendors whose API is OpenAI's but for small, listed differences: a TOML row each, and `compatible` for one's own."""

from headgate_compatible.catalogue import catalogue
from headgate_compatible.provider import Compatible
from headgate_compatible.row import Quirks, Row

__all__ = ["Compatible", "Quirks", "Row", "catalogue"]
