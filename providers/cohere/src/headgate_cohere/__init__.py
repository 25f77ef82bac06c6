"""Cohere as a provider, in version 2 of its own API.

Facts: https://docs.cohere.com/reference/chat and the types of the official SDK (7.3).
"""

from headgate_cohere.chat import CohereChat
from headgate_cohere.embed import CohereEmbed
from headgate_cohere.provider import Cohere

__all__ = ["Cohere", "CohereChat", "CohereEmbed"]
