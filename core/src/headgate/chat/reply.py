"""A chat reply and what it used."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

from headgate.chat.messages import Message

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
