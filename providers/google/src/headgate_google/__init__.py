"""Google's Gemini API as a provider.

Facts: https://ai.google.dev/api
"""

from headgate_google.provider import Google

__all__ = ["Google"]
