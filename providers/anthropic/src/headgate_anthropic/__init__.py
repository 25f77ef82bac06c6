"""Anthropic as a provider.

Facts: https://platform.claude.com/docs/en/api/overview
"""

from headgate_anthropic.provider import Anthropic

__all__ = ["Anthropic"]
