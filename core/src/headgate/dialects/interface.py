"""What a dialect can do. Every method is pure: bytes or decoded JSON in, values out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Generic, Literal, Protocol, TypeVar, cast

import msgspec
from msgspec import Struct
from typing_extensions import override

from headgate.body import decode_object, replace_paths
from headgate.chat import ChatReply, ChatRequest, StreamEvent, Usage
from headgate.dialects.gaps import Gaps
from headgate.dialects.openai.usage import body_usage, events_usage
from headgate.dialects.sse import Ending, SseFramer, data_event, ending_of
from headgate.dialects.words import Headers, openai_envelope, words_of
from headgate.errors import ErrorWords, RequestError
from headgate.vectors import EmbedReply, EmbedRequest, RerankReply, RerankRequest

Form = Literal["whole", "events", "large", "bytes"]
"""How a good reply is taken: read whole; as a stream of server-sent events; passed on as it comes although it is one JSON
object, which is read only for those who must judge it; or as bytes that nobody here can read."""


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


class Framer(Protocol):
    """Cuts the bytes of one stream into frames: server-sent events, lines of JSON, messages of an event stream."""

    def feed(self, data: bytes) -> Sequence[bytes]:
        """The frames that `data` completes, each with its framing."""
        ...

    def end(self) -> Sequence[bytes]:
        """The frames that the end of the stream completes, such as a last line without its line break.

        Raises ProviderFailed (code `upstream_cut`) when what is left over is torn.
        """
        ...


class StreamDecoder(Protocol):
    """Turns the frames of one stream into canonical events."""

    def feed(self, frame: bytes) -> Sequence[StreamEvent]:
        """`frame` is one that the dialect's framer gave: a whole server-sent event, say, framing included.

        Unknown kinds of frames give nothing. Raises ProviderFailed for what is no frame of this dialect.
        """
        ...

    def end(self, *, is_broken: bool = False) -> Sequence[StreamEvent]:
        """The stream has ended; `is_broken` when its transport was cut or a frame was torn. What is left to say.

        Raises ProviderFailed (code `upstream_cut`) when the reply was not complete: no finish is ever made up.
        """
        ...


class StreamEncoder(Protocol):
    """Turns canonical events into the bytes of one stream."""

    def feed(self, event: StreamEvent) -> bytes:
        """The wire form of `event`; empty where this dialect says nothing."""
        ...

    def end(self) -> bytes:
        """What closes a complete stream; nothing behind an ErrorEvent, for no finish is made up."""
        ...


class Dialect(ABC):
    """A wire format. This half is all that guardrails and the relay need, whatever the operation."""

    name: ClassVar[str]
    operation: ClassVar[str]
    reads_replies: ClassVar[bool] = True
    """Whether what a reply says can be judged at all: the sound of a voice cannot."""

    def form_of(self, content_type: bytes, *, is_stream: bool) -> Form:  # noqa: ARG002 - for those whose replies differ
        """How a good reply of this `content-type` (in lower case) is taken. `is_stream`: a stream was asked for."""
        return "events" if is_stream else "whole"

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

    def change_reply(self, body: bytes, changes: Sequence[tuple[tuple[str | int, ...], str]]) -> bytes:
        """The bytes of a whole reply with texts replaced that `view_reply` found."""
        return msgspec.json.encode(self.replace_reply_texts(decode_object(body), changes))

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

    def is_error(self, event: bytes) -> bool:
        """Whether an event tells of an error. Override it where the usual event can be told with less than decoding it."""
        return self.ending([event]) == "error"

    @abstractmethod
    def error_event(self, error: RequestError) -> bytes:
        """A stream event that the vendor's official client raises on."""

    def carries_foreign(self, body: bytes) -> bool:  # noqa: ARG002 - for those that mark foreign items
        """Whether a client's request holds items that this dialect's encoder made of another provider's, so that it must be
        decoded even for a provider of the same dialect.
        """
        return False

    def encode_error(self, words: ErrorWords) -> bytes:
        """The body of an error reply, as the vendor's official client reads it. The default is OpenAI's envelope."""
        return openai_envelope(words)

    def decode_error(self, status: int, body: bytes, headers: Headers = ()) -> ErrorWords:  # noqa: ARG002 - AWS names the type in a header
        """What an error reply of this dialect's vendors says, whatever its shape. Never raises."""
        return words_of(status, body)

    def reply_usage(self, body: bytes) -> Usage | None:
        """What a whole reply says it used; None when it says nothing. Raises ProviderFailed when it is no JSON object.

        The default reads OpenAI's usage object.
        """
        return body_usage(body)

    def tail_usage(self, tail: Sequence[bytes]) -> Usage | None:
        """What the last events of a stream say it used; None when they say nothing. The default reads OpenAI's."""
        return events_usage(tail)


class ChatDialect(Dialect):
    """A wire format of chat: the six codecs between bytes and the canonical model.

    Decoders raise InvalidRequest for requests, ProviderFailed for replies; encoders raise UnsupportedField. Decoders put
    what they have no place for into `extra` (never drop it), and set `dialect` to their own name; encoders write `extra`
    only of their own dialect and tell `gaps` of all others, field by field.
    """

    hints: ClassVar[frozenset[str]] = frozenset()
    """Fields of this dialect's requests that only hint: another dialect may leave them out, and says so."""
    ignored: ClassVar[frozenset[str]] = frozenset()
    """Canonical fields, as `Struct.field`, that a request may hold and this dialect never writes. A test holds the list."""
    ignored_in_replies: ClassVar[frozenset[str]] = frozenset()
    """The same of replies and of the events of streams, for dialects that clients speak."""

    def names_back(self, request: ChatRequest) -> Mapping[str, str]:  # noqa: ARG002 - for those that rename
        """What encoding `request` called its tools, to their own names, where a name was not legal in this dialect."""
        return {}

    def framer(self) -> Framer:
        """A fresh splitter for a provider's stream; server-sent events unless a dialect says otherwise."""
        return SseFramer()

    @abstractmethod
    def decode_request(self, body: bytes) -> ChatRequest:
        """A client's request."""

    @abstractmethod
    def encode_request(self, request: ChatRequest, gaps: Gaps) -> bytes:
        """A request to a provider. `gaps` is told what this dialect cannot say, and may refuse."""

    @abstractmethod
    def decode_reply(self, body: bytes) -> ChatReply:
        """A provider's whole answer."""

    @abstractmethod
    def encode_reply(self, reply: ChatReply, request: ChatRequest) -> bytes:
        """A whole answer to a client, to `request` as the client sent it."""

    @abstractmethod
    def stream_decoder(self) -> StreamDecoder:
        """A fresh state machine for a provider's stream."""

    @abstractmethod
    def stream_encoder(self, request: ChatRequest) -> StreamEncoder:
        """A fresh state machine for a client's stream, answering `request`."""


Asked = TypeVar("Asked")
Answered = TypeVar("Answered")


class WordlessDialect(Dialect):
    """A dialect whose replies hold no text, and whose streams are server-sent events with OpenAI's error."""

    @override
    def reply_texts(self, body: dict[str, Any]) -> Sequence[TextPlace]:
        return ()

    @override
    def event_texts(self, data: dict[str, Any]) -> Sequence[TextPlace]:
        return ()

    @override
    def ending(self, tail: Sequence[bytes], *, is_broken: bool = False) -> Ending:
        return ending_of(tail, is_broken=is_broken)

    @override
    def error_event(self, error: RequestError) -> bytes:
        return data_event(error.envelope())


class WholeDialect(WordlessDialect, Generic[Asked, Answered]):
    """A wire format of an operation that never streams: embeddings, reranking. The four codecs, as in ChatDialect."""

    @abstractmethod
    def decode_request(self, body: bytes) -> Asked:
        """A client's request."""

    @abstractmethod
    def encode_request(self, request: Asked, gaps: Gaps) -> bytes:
        """A request to a provider. `gaps` is told what this dialect cannot say, and may refuse."""

    @abstractmethod
    def decode_reply(self, body: bytes, request: Asked) -> Answered:
        """A provider's answer to `request`."""

    @abstractmethod
    def encode_reply(self, reply: Answered, request: Asked) -> bytes:
        """An answer to a client."""


EmbedDialect = WholeDialect[EmbedRequest, EmbedReply]
RerankDialect = WholeDialect[RerankRequest, RerankReply]


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
