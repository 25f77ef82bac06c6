"""What other providers answered in a conversation, as this gateway hands it to OpenAI chat clients and gets it back from them.

A provider of this dialect would refuse it or take it for its own, so that such a request cannot be forwarded as it is.
"""

from __future__ import annotations

from collections.abc import Iterator

from headgate.body import decode_object
from headgate.dialects.openai.members import Json, as_object, objects
from headgate.errors import InvalidRequest

_ORIGINS = frozenset({"anthropic", "bedrock", "google", "openai"})
"""Formats of details that this gateway writes; OpenRouter's have a version at their end."""


_MEMBERS = (b'"provider_items"', b'"reasoning_details"', b'"extra_content"')
_ENDS = (b'_items"', b'_details"', b'_content"')
_LOOKS = 64
"""So many underscores are looked at one by one: finding a single byte is some 30 times as fast as finding a word."""


def has_foreign(body: bytes) -> bool:
    """Whether a request holds items that this gateway made of another provider's."""
    if not _names_some(body):
        return False
    try:
        messages = objects(decode_object(body).get("messages"))
    except InvalidRequest:
        return False
    return any(_is_foreign(message) for message in messages)


def _names_some(body: bytes) -> bool:
    at = body.find(b"_")
    for _ in range(_LOOKS):
        if at < 0:
            return False
        if body.startswith(_ENDS, at):
            break
        at = body.find(b"_", at + 1)
    return any(member in body for member in _MEMBERS)


def _is_foreign(message: Json) -> bool:
    if message.get("provider_items"):
        return True
    details = objects(message.get("reasoning_details"))
    if any("account" in detail or str(detail.get("format")) in _ORIGINS for detail in details):
        return True
    return any(signed.keys() & {"account", "behind_calls", "signature"} for signed in _signatures(message))


def _signatures(message: Json) -> Iterator[Json]:
    """What stands in `extra_content` of a message and of its calls, by origin. Google's own form has no account."""
    for holder in (message, *objects(message.get("tool_calls"))):
        for signed in (as_object(holder.get("extra_content")) or {}).values():
            yield as_object(signed) or {}
