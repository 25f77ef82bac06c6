"""Anthropic Messages, and what Claude models take."""
