"""The usage object of the Responses dialect, in whole replies and in the last events of a stream.

Fireworks counts `prompt_tokens` and `completion_tokens` in it, Perplexity what was read from the cache and written to it in words
of its own. Sources: https://platform.openai.com/docs/api-reference/responses/object,
https://fireworks.ai/docs/api-reference/get-response, the type `ResponsesUsage` of `perplexityai` 0.46
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


class _Body(Struct):
    usage: Any = None


class _Event(Struct):
    response: _Body | None = None


_body = msgspec.json.Decoder(_Body)
_event = msgspec.json.Decoder(_Event)


def decode_usage(raw: Mapping[str, Any]) -> Usage:
    """What a usage object says. What is missing, null or no number counts as 0; `raw` keeps the whole object."""
    prompt, completion = _details(raw, "input_tokens_details"), _details(raw, "output_tokens_details")
    return Usage(
        prompt=_count(raw, "input_tokens" if "input_tokens" in raw else "prompt_tokens"),
        completion=_count(raw, "output_tokens" if "output_tokens" in raw else "completion_tokens"),
        cached=_count(prompt, "cached_tokens" if "cached_tokens" in prompt else "cache_read_input_tokens"),
        cache_write=_count(
            prompt, "cache_write_tokens" if "cache_write_tokens" in prompt else "cache_creation_input_tokens"
        ),
        reasoning=_count(completion, "reasoning_tokens"),
        audio_in=_count(prompt, "audio_tokens"),
        audio_out=_count(completion, "audio_tokens"),
        raw=dict(raw),
    )


def encode_usage(usage: Usage) -> Json:
    """The usage object that says the same."""
    return {
        "input_tokens": usage.prompt,
        "input_tokens_details": {"cached_tokens": usage.cached, "cache_write_tokens": usage.cache_write},
        "output_tokens": usage.completion,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.total,
    }


def body_usage(body: bytes) -> Usage | None:
    """The usage of a whole reply; None when it states none. Raises ProviderFailed when it is no JSON object."""
    try:
        body.decode()
        found: Any = _body.decode(body).usage
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ProviderFailed(f"the provider's reply is not JSON: {error}", code="upstream_bad_reply") from None
    return _stated(found)


def events_usage(events: Sequence[bytes]) -> Usage | None:
    """The usage in the last event that states one."""
    for event in reversed(events):
        if b'"usage"' not in event:
            continue
        try:
            response = _event.decode(data_of(event)).response
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            continue
        found = _stated(response.usage) if response is not None else None
        if found is not None:
            return found
    return None


def _stated(found: object) -> Usage | None:
    return decode_usage(cast("Json", found)) if isinstance(found, dict) and found else None


def _details(raw: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    held: object = raw.get(name)
    return cast("Mapping[str, Any]", held) if isinstance(held, Mapping) else {}


def _count(raw: Mapping[str, Any], name: str) -> int:
    value: object = raw.get(name)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return max(0, int(cast("float", value))) if is_number else 0
