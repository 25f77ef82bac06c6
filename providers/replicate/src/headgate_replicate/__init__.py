"""Replicate as a provider: language models of any maker, each with an input schema of its own.

Facts: https://replicate.com/docs/reference/http and https://replicate.com/docs/topics/predictions/streaming
"""

from headgate_replicate.chat import ReplicateChat
from headgate_replicate.inputs import Inputs
from headgate_replicate.provider import Replicate

__all__ = ["Inputs", "Replicate", "ReplicateChat"]
