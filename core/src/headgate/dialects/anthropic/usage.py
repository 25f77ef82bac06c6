"""Anthropic's usage object. Its `input_tokens` leave the cached ones out; a prompt is all three counts together.

Source: https://platform.claude.com/docs/en/api/messages (Usage). Tokens of compaction and advisor `iterations` are not
part of the counts there, and not of these; `raw` keeps them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import msgspec
from msgspec import Struct

from headgate.chat import Usage
from headgate.dialects.sse import data_of
from headgate.errors import ProviderFailed

Json = dict[str, Any]

TIERS = {"standard": "default"}
"""Service tiers that OpenAI calls by another name."""


class _ReplyProbe(Struct):
    usage: Any = None


class _Started(Struct):
    usage: Any = None


class _EventProbe(Struct):
    type: str = ""
    message: _Started | None = None
    usage: Any = None


_reply_probe = msgspec.json.Decoder(_ReplyProbe)
_event_probe = msgspec.json.Decoder(_EventProbe)


def decode_usage(raw: Mapping[str, Any]) -> Usage:
    """Anthropic's usage as counted here. What is absent, null or no number counts as 0."""
    cached, written = _count(raw, "cache_read_input_tokens"), _count(raw, "cache_creation_input_tokens")
    details: Any = raw.get("output_tokens_details")
    thinking = _count(cast("Json", details), "thinking_tokens") if isinstance(details, dict) else 0
    return Usage(
        prompt=_count(raw, "input_tokens") + cached + written,
        completion=_count(raw, "output_tokens"),
        cached=cached,
        cache_write=written,
        reasoning=thinking,
        raw=dict(raw),
    )


def encode_usage(usage: Usage | None) -> Json:
    """The usage object of a message. Clients need one: unknown counts are 0."""
    if usage is None:
        return {"input_tokens": 0, "output_tokens": 0}
    body = {
        "input_tokens": max(0, usage.prompt - usage.cached - usage.cache_write),
        "cache_creation_input_tokens": usage.cache_write,
        "cache_read_input_tokens": usage.cached,
        "output_tokens": usage.completion,
    }
    if usage.reasoning:
        return {**body, "output_tokens_details": {"thinking_tokens": usage.reasoning}}
    return body


def merge_usage(raw: Mapping[str, Any], later: object) -> Json:
    """Counts with later ones of the same stream, which are totals: they replace, and null ones say nothing."""
    if not isinstance(later, dict):
        return dict(raw)
    return {**raw, **{name: value for name, value in cast("Json", later).items() if value is not None}}


def body_usage(body: bytes) -> Usage | None:
    """Check that a whole reply is JSON, and read its usage."""
    try:
        if not body.isascii():
            body.decode()
        found = _reply_probe.decode(body).usage
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ProviderFailed(f"the provider's reply is not JSON: {error}", code="upstream_bad_reply") from None
    return decode_usage(cast("Json", found)) if isinstance(found, dict) and found else None


def events_usage(events: Sequence[bytes]) -> Usage | None:
    """What the events of a stream say in sum: the counts of `message_start`, where it is among them, then later ones."""
    raw: Json = {}
    for event in events:
        if b'"usage"' not in event:
            continue
        try:
            found = _event_probe.decode(data_of(event))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            continue
        if found.type in {"message_start", "message_delta", "message"}:
            raw = merge_usage(raw, found.usage if found.message is None else found.message.usage)
    return decode_usage(raw) if raw else None


def _count(raw: Mapping[str, Any], name: str) -> int:
    value: object = raw.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0
    return max(0, int(value))
