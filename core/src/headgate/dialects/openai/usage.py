"""OpenAI's usage object, which is on the path of every reply: one typed conversion where it is as documented.

Sources: https://platform.openai.com/docs/api-reference/chat/object, https://api-docs.deepseek.com/api/create-chat-completion
(`prompt_cache_hit_tokens`), https://docs.together.ai/reference/chat-completions (`cached_tokens`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import isfinite
from typing import Annotated, Any, cast

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import replace

from headgate.chat import Usage
from headgate.dialects.sse import data_of
from headgate.errors import ProviderFailed

_Tokens = Annotated[int, Meta(ge=0)]
Reader = Callable[[Mapping[str, Any]], Usage]


class _PromptDetails(Struct, frozen=True):
    cached_tokens: _Tokens = 0
    cache_write_tokens: _Tokens = 0
    audio_tokens: _Tokens = 0


class _CompletionDetails(Struct, frozen=True):
    reasoning_tokens: _Tokens = 0
    audio_tokens: _Tokens = 0


class _Stated(Struct, frozen=True):
    """Usage as most providers state it."""

    prompt_tokens: _Tokens = 0
    completion_tokens: _Tokens = 0
    total_tokens: _Tokens = 0
    prompt_cache_hit_tokens: _Tokens = 0
    cached_tokens: _Tokens = 0
    prompt_tokens_details: _PromptDetails | None = None
    completion_tokens_details: _CompletionDetails | None = None

    def usage(self, raw: dict[str, Any]) -> Usage:
        prompt = self.prompt_tokens_details or _NO_PROMPT_DETAILS
        completion = self.completion_tokens_details or _NO_COMPLETION_DETAILS
        usage = Usage(
            self.prompt_tokens,
            self.completion_tokens,
            prompt.cached_tokens or self.prompt_cache_hit_tokens or self.cached_tokens,
            prompt.cache_write_tokens,
            completion.reasoning_tokens,
            prompt.audio_tokens,
            completion.audio_tokens,
            raw,
        )
        more = self.total_tokens - self.prompt_tokens - self.completion_tokens
        # of a total alone nobody knows what was read and what was written
        return _with_more(usage, more, raw) if more > 0 and (self.prompt_tokens or self.completion_tokens) else usage


_NO_PROMPT_DETAILS = _PromptDetails()
_NO_COMPLETION_DETAILS = _CompletionDetails()


def _with_more(usage: Usage, more: int, raw: Mapping[str, Any]) -> Usage:
    """`usage` when its total is larger than its parts.

    xAI's completion leaves out the thinking it states, Google's OpenAI layer leaves it out and does not state it, and Mistral's
    prompt leaves out sound. Any other difference is nobody's.
    """
    if "prompt_audio_seconds" in raw:
        return replace(usage, prompt=usage.prompt + more, audio_in=usage.audio_in or more)
    is_unstated = "completion_tokens" in raw and raw.get("completion_tokens_details") is None
    if usage.reasoning == more or is_unstated:
        return replace(usage, completion=usage.completion + more, reasoning=more)
    return usage


class _ReplyProbe(Struct):
    usage: Any = None
    x_groq: Any = None


class _ChoiceProbe(Struct):
    usage: Any = None


class _ChunkProbe(Struct):
    choices: list[_ChoiceProbe] = []


_probe = msgspec.json.Decoder(_ReplyProbe)
_chunk_probe = msgspec.json.Decoder(_ChunkProbe)


def body_usage(body: bytes, read: Reader | None = None) -> Usage | None:
    """Check that a whole reply is JSON, and read its usage: by `decode_usage`, unless another way is given."""
    try:
        if not body.isascii():
            body.decode()
        found = _stated_in(_probe.decode(body))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ProviderFailed(f"the provider's reply is not JSON: {error}", code="upstream_bad_reply") from None
    return _decode(found, read or decode_usage)


def events_usage(events: Sequence[bytes]) -> Usage | None:
    """The usage that the last event which states one states."""
    for event in reversed(events):
        if b'"usage"' in event:
            try:
                data = data_of(event)
                found = _decode(_stated_in(_probe.decode(data)) or _stated_in_choice(data), decode_usage)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                continue
            if found is not None:
                return found
    return None


def _stated_in(probe: _ReplyProbe) -> Any:
    """The usage; Groq states it under `x_groq` where it was not asked for."""
    groq: object = probe.x_groq
    if not probe.usage and isinstance(groq, dict):
        return cast("dict[str, Any]", groq).get("usage")
    return probe.usage


def _stated_in_choice(data: bytes) -> Any:
    """The usage in a choice of a chunk: Moonshot's, where none was asked for. https://platform.moonshot.ai/docs/api/chat"""
    return next((choice.usage for choice in _chunk_probe.decode(data).choices if choice.usage), None)


def _decode(found: Any, read: Reader) -> Usage | None:
    try:
        return read(cast("dict[str, Any]", found)) if isinstance(found, dict) and found else None
    except (TypeError, ValueError, AttributeError):
        return None


def decode_usage(raw: Mapping[str, Any]) -> Usage:
    """An OpenAI usage object. Details a provider leaves out count as 0; `raw` keeps the whole object.

    Raises ValueError when a number is none.
    """
    try:
        return msgspec.convert(raw, _Stated).usage(dict(raw))
    except msgspec.ValidationError:  # null, or a float: rarer than a plain count
        return _lenient_usage(raw)


def decode_read(raw: Mapping[str, Any]) -> Usage:
    """The usage of an operation that writes nothing, such as embeddings: a total that stands alone is what was read.

    Raises ValueError as `decode_usage` does. Sources: https://docs.voyageai.com/reference/embeddings-api, https://api.jina.ai/redoc
    """
    return Usage(_count(raw, "prompt_tokens") or _count(raw, "total_tokens"), raw=dict(raw))


def _lenient_usage(raw: Mapping[str, Any]) -> Usage:
    prompt, completion = _details(raw, "prompt_tokens_details"), _details(raw, "completion_tokens_details")
    stated = _Stated(
        **{name: _count(raw, name) for name in _COUNTS},
        prompt_tokens_details=_PromptDetails(*(_count(prompt, name) for name in _PROMPT)),
        completion_tokens_details=_CompletionDetails(*(_count(completion, name) for name in _COMPLETION)),
    )
    return stated.usage(dict(raw))


def _details(raw: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    held: object = raw.get(name) or {}
    if not isinstance(held, Mapping):
        raise ValueError(f"`usage.{name}` is no object")  # noqa: TRY004 - one error for whatever is wrong
    return cast("Mapping[str, Any]", held)


def _count(raw: Mapping[str, Any], name: str) -> int:
    """A number of tokens; null is none, and so is less than none."""
    value: object = raw.get(name) or 0
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        raise ValueError(f"`{name}` of the usage is no number of tokens")
    return max(0, int(value))


_COUNTS = ("prompt_tokens", "completion_tokens", "total_tokens", "prompt_cache_hit_tokens", "cached_tokens")
_PROMPT = ("cached_tokens", "cache_write_tokens", "audio_tokens")
_COMPLETION = ("reasoning_tokens", "audio_tokens")
