"""Ollama as a provider, in its own API.

Facts: https://docs.ollama.com/api/introduction and the server's `docs/openapi.yaml`.
"""

from headgate_ollama.chat import OllamaChat
from headgate_ollama.embed import OllamaEmbed
from headgate_ollama.provider import Ollama

__all__ = ["Ollama", "OllamaChat", "OllamaEmbed"]
