"""OpenAI as a provider, and the base of the providers that speak its dialect.

Facts: https://platform.openai.com/docs/api-reference
"""

from headgate_openai.provider import OpenAI, OpenAIConfig

__all__ = ["OpenAI", "OpenAIConfig"]
