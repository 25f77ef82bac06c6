"""A chat reply and what it used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, cast

from msgspec import Struct

from headgate.chat.messages import Message

_COUNTS = ("prompt", "completion", "cached", "cache_write", "reasoning", "audio_in", "audio_out")
FinishReason = Literal["stop", "length", "tool_calls", "content_filter", "error"]


class Usage(Struct, frozen=True):
    """Tokens used. `prompt` includes `cached` and `cache_write`; `completion` includes `reasoning`.

    `raw` is the provider's own object.
    """

    prompt: int = 0
    completion: int = 0
    cached: int = 0
    cache_write: int = 0
    reasoning: int = 0
    audio_in: int = 0
    audio_out: int = 0
    raw: dict[str, Any] | None = None

    @property
    def total(self) -> int:
        """Prompt and completion together."""
        return self.prompt + self.completion


def add_usage(before: Usage | None, more: Usage) -> Usage:
    """The sum of what two answers used; of `raw` too, number by number."""
    if before is None:
        return more
    numbers = {name: getattr(before, name) + getattr(more, name) for name in _COUNTS}
    return Usage(**numbers, raw=_add_numbers(before.raw or {}, more.raw or {}))


def _add_numbers(before: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Objects of numbers added member by member; of anything else the newer stands."""
    added = {**before, **more}
    for name in before.keys() & more.keys():
        old, new = before[name], more[name]
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            added[name] = _add_numbers(cast("Mapping[str, Any]", old), cast("Mapping[str, Any]", new))
        elif isinstance(old, int | float) and isinstance(new, int | float) and not isinstance(new, bool):
            added[name] = old + new
    return added


class Choice(Struct, frozen=True):
    """One answer. `finish_raw` is the provider's own word for why it ended, `stop` the stop sequence that ended it.

    `extra` keeps vendor members.
    """

    message: Message
    finish: FinishReason | None = None
    finish_raw: str | None = None
    stop: str | None = None
    index: int = 0
    logprobs: Any = None
    extra: dict[str, Any] = {}


class ChatReply(Struct, frozen=True):
    """A whole answer. `created` is Unix time in seconds; `dialect` is the one it was decoded from.

    `extra` keeps vendor members such as citations. They reach the client of any dialect that has room for them.
    """

    id: str
    model: str
    choices: tuple[Choice, ...]
    created: int = 0
    usage: Usage | None = None
    service_tier: str | None = None
    dialect: str = ""
    extra: dict[str, Any] = {}
