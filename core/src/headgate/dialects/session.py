"""What dialects of WebSocket sessions have in common: messages pass unread, but for what they state of usage."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Protocol

from typing_extensions import override

from headgate.chat import Usage
from headgate.dialects.interface import Dialect, TextPlace
from headgate.dialects.sse import Ending

Json = dict[str, Any]


class Meter(Protocol):
    """What a session has used so far, from the provider's messages as they come.

    `usage` is all of it, `by_model` what of it each model used; the model that the session is with has the name "".
    """

    @property
    def usage(self) -> Usage | None: ...

    @property
    def by_model(self) -> Mapping[str, Usage]: ...

    def take(self, message: bytes) -> None:
        """Add what a message states, if it states anything. Never raises."""
        ...


class SessionDialect(Dialect):
    """A dialect of messages over a WebSocket. What is said is shown to nobody: where guardrails judge, sessions are refused."""

    reads_replies = False
    is_in_bytes: ClassVar[bool] = False
    """Whether binary frames hold messages as those of text do."""

    @abstractmethod
    def meter(self) -> Meter:
        """What counts one session."""

    def model_in(self, message: bytes) -> str:  # noqa: ARG002 - for those whose model stands there
        """The model that a client's first message names, empty for none, where the operation has it there.

        Raises InvalidRequest for what is no such message.
        """
        return ""

    @override
    def request_texts(self, body: Json) -> Sequence[TextPlace]:
        return ()

    @override
    def reply_texts(self, body: Json) -> Sequence[TextPlace]:
        return ()

    @override
    def event_texts(self, data: Json) -> Sequence[TextPlace]:
        return ()

    @override
    def ending(self, tail: Sequence[bytes], *, is_broken: bool = False) -> Ending:
        return "cut" if is_broken else "complete"

    @override
    def tail_usage(self, tail: Sequence[bytes]) -> Usage | None:
        """What the messages together say they used."""
        meter = self.meter()
        for message in tail:
            meter.take(message)
        return meter.usage
