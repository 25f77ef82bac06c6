"""OpenAI's usage object, which is on the path of every reply: one typed conversion where it is as documented.

Source: https://platform.openai.com/docs/api-reference/chat/object
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, cast

import msgspec
from msgspec import Meta, Struct

from headgate.chat import Usage

_Tokens = Annotated[int, Meta(ge=0)]


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
    prompt_tokens_details: _PromptDetails | None = None
    completion_tokens_details: _CompletionDetails | None = None

    def usage(self, raw: dict[str, Any]) -> Usage:
        prompt = self.prompt_tokens_details or _NO_PROMPT_DETAILS
        completion = self.completion_tokens_details or _NO_COMPLETION_DETAILS
        return Usage(
            self.prompt_tokens,
            self.completion_tokens,
            prompt.cached_tokens,
            prompt.cache_write_tokens,
            completion.reasoning_tokens,
            prompt.audio_tokens,
            completion.audio_tokens,
            raw,
        )


_NO_PROMPT_DETAILS = _PromptDetails()
_NO_COMPLETION_DETAILS = _CompletionDetails()


def decode_usage(raw: Mapping[str, Any]) -> Usage:
    """An OpenAI usage object. Details a provider leaves out count as 0; `raw` keeps the whole object.

    Raises ValueError when a number is none.
    """
    try:
        return msgspec.convert(raw, _Stated).usage(dict(raw))
    except msgspec.ValidationError:  # null, or a float: rarer than a plain count
        return _lenient_usage(raw)


def _lenient_usage(raw: Mapping[str, Any]) -> Usage:
    prompt, completion = _details(raw, "prompt_tokens_details"), _details(raw, "completion_tokens_details")
    return Usage(
        prompt=_count(raw, "prompt_tokens"),
        completion=_count(raw, "completion_tokens"),
        cached=_count(prompt, "cached_tokens"),
        cache_write=_count(prompt, "cache_write_tokens"),
        reasoning=_count(completion, "reasoning_tokens"),
        audio_in=_count(prompt, "audio_tokens"),
        audio_out=_count(completion, "audio_tokens"),
        raw=dict(raw),
    )


def _details(raw: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    held: object = raw.get(name) or {}
    if not isinstance(held, Mapping):
        raise ValueError(f"`usage.{name}` is no object")  # noqa: TRY004 - one error for whatever is wrong
    return cast("Mapping[str, Any]", held)


def _count(raw: Mapping[str, Any], name: str) -> int:
    value: object = raw.get(name) or 0
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        raise ValueError(f"`{name}` of the usage is no number of tokens")
    return int(value)
