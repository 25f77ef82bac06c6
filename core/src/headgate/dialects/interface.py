"""What a dialect can do. Every method is pure: bytes or decoded JSON in, values out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Literal, Protocol, cast

from msgspec import Struct

from headgate.body import decode_object, replace_paths
from headgate.chat import ChatReply, ChatRequest, StreamEvent
from headgate.errors import RequestError

Ending = Literal["complete", "error", "cut"]
"""How a stream ended: with its proper last event, with an error of the provider's own, or without either."""


class TextPlace(Struct, frozen=True, gc=False):
    """One piece of text in a JSON body: where it stands, what it says and who said it.

    `channel` names the flow a streamed piece belongs to (`0.content`, `0.tool.1.arguments`); pieces of one channel
    read one after another are one text.
    """

    path: tuple[str | int, ...]
    text: str
    role: str = ""
    channel: str = ""


class EventView(Struct, frozen=True, gc=False):
    """What a stream guard needs of one event: its texts, and the choices that it says are complete."""

    texts: Sequence[TextPlace]
    finished: Sequence[str] = ()


class StreamDecoder(Protocol):
    """Turns the events of one stream into canonical events."""

    def feed(self, event: bytes) -> Sequence[StreamEvent]:
        """`event` is one whole server-sent event, framing included."""
        ...


class StreamEncoder(Protocol):
    """Turns canonical events into the bytes of one stream."""

    def feed(self, event: StreamEvent) -> bytes:
        """The wire form of `event`; empty where this dialect says nothing."""
        ...

    def end(self) -> bytes:
        """What closes a complete stream."""
        ...


class Dialect(ABC):
    """A wire format. This half is all that guardrails and the relay need, whatever the operation."""

    name: ClassVar[str]
    operation: ClassVar[str]

    @abstractmethod
    def request_texts(self, body: dict[str, Any]) -> Sequence[TextPlace]:
        """Every piece of text a caller sends, of all roles and parts, tool arguments included."""

    @abstractmethod
    def reply_texts(self, body: dict[str, Any]) -> Sequence[TextPlace]:
        """Every piece of text a model answers with, of all choices."""

    @abstractmethod
    def event_texts(self, data: dict[str, Any]) -> Sequence[TextPlace]:
        """Every piece of text in the decoded data of one stream event."""

    def view_event(self, data: bytes) -> EventView:
        """What a guard needs of one event's data, whose JSON may be anything. Raises InvalidRequest when it is no object.

        Override it where the usual event can be read with less than decoding all of it.
        """
        decoded = decode_object(data)
        return EventView(self.event_texts(decoded), _finished(decoded))

    def view_reply(self, body: bytes) -> Sequence[TextPlace]:
        """What `reply_texts` finds in the bytes of a whole reply. Raises InvalidRequest when they are no JSON object.

        Override it where the usual reply can be read with less than decoding all of it.
        """
        return self.reply_texts(decode_object(body))

    def replace_reply_texts(
        self, body: dict[str, Any], changes: Iterable[tuple[tuple[str | int, ...], str]]
    ) -> dict[str, Any]:
        """A copy of a reply or stream event with texts replaced, and without what else would tell the old ones."""
        listed = list(changes)
        changed = replace_paths(body, listed)
        for path, _ in listed:
            holder: Any = cast("Any", changed)[path[0]][path[1]] if len(path) > 2 else None
            if isinstance(holder, dict) and "logprobs" in holder:
                holder["logprobs"] = None
        return changed

    @abstractmethod
    def ending(self, tail: Sequence[bytes], *, is_broken: bool = False) -> Ending:
        """How a stream ended, judged by its last events (whole, in order). `is_broken`: the transport was cut."""

    @abstractmethod
    def error_event(self, error: RequestError) -> bytes:
        """A stream event that the vendor's official client raises on."""


class ChatDialect(Dialect):
    """A wire format of chat: the six codecs between bytes and the canonical model.

    Decoders raise InvalidRequest for requests, ProviderFailed for replies; encoders raise UnsupportedField.
    """

    @abstractmethod
    def decode_request(self, body: bytes) -> ChatRequest:
        """A client's request."""

    @abstractmethod
    def encode_request(self, request: ChatRequest) -> bytes:
        """A request to a provider."""

    @abstractmethod
    def decode_reply(self, body: bytes) -> ChatReply:
        """A provider's whole answer."""

    @abstractmethod
    def encode_reply(self, reply: ChatReply) -> bytes:
        """A whole answer to a client."""

    @abstractmethod
    def stream_decoder(self) -> StreamDecoder:
        """A fresh state machine for a provider's stream."""

    @abstractmethod
    def stream_encoder(self, request: ChatRequest) -> StreamEncoder:
        """A fresh state machine for a client's stream, answering `request`."""


def _finished(data: dict[str, Any]) -> list[str]:
    """The choices that an event says are complete."""
    choices: Any = data.get("choices")
    if not isinstance(choices, list):
        return []
    return [
        str(choice.get("index", at))
        for at, choice in enumerate(cast("list[dict[str, Any]]", choices))
        if isinstance(choice, dict) and choice.get("finish_reason")  # pyright: ignore[reportUnnecessaryIsInstance]
    ]
