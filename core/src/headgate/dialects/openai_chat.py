"""OpenAI chat completions, the dialect most clients and providers speak.

Source: https://platform.openai.com/docs/api-reference/chat and the types of the official SDK (3.52).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, cast

import msgspec
from msgspec import Meta, Struct
from typing_extensions import override

from headgate.body import decode_object
from headgate.chat import ChatReply, ChatRequest
from headgate.dialects.interface import ChatDialect, Ending, EventView, TextPlace
from headgate.dialects.openai_decode import decode_reply, decode_request, objects
from headgate.dialects.openai_encode import encode_reply, encode_request
from headgate.dialects.openai_stream import OpenAIChatDecoder, OpenAIChatEncoder
from headgate.dialects.sse import data_event, ending_of
from headgate.errors import InvalidRequest, ProviderFailed, RequestError

Json = dict[str, Any]
Path = tuple[str | int, ...]

_CONTENTS = tuple(("choices", at, "delta", "content") for at in range(64))
_PLAIN = frozenset({"role", "content", "name"})
"""Members of a message that hold no text but its content."""
_DEFINING = ("tools", "functions", "response_format")
_DESCRIBING = {"title", "description", "definition"}


class _PlainDelta(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    content: str | None = None
    role: str | None = None
    refusal: None = None
    tool_calls: None = None


class _PlainChoice(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    index: int
    delta: _PlainDelta
    finish_reason: str | None = None
    logprobs: None = None


class _PlainEvent(Struct, frozen=True, gc=False):
    """An event whose choices hold nothing but content: nearly every one. What else it has says nothing to anybody."""

    choices: Annotated[list[_PlainChoice], Meta(max_length=len(_CONTENTS))]


class _PlainMessage(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    content: str | None = None
    role: Any = None
    annotations: Any = None
    refusal: None = None
    tool_calls: None = None


class _PlainAnswer(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    message: _PlainMessage
    index: Any = None
    finish_reason: Any = None
    logprobs: None = None


class _PlainReply(Struct, frozen=True, gc=False):
    """The same for a whole reply."""

    choices: list[_PlainAnswer]


_plain_event = msgspec.json.Decoder(_PlainEvent)
_plain_reply = msgspec.json.Decoder(_PlainReply)


class OpenAIChat(ChatDialect):
    """The `openai.chat` dialect."""

    name = "openai.chat"
    operation = "chat"

    @override
    def request_texts(self, body: Json) -> Sequence[TextPlace]:
        places: list[TextPlace] = []
        for at, message in enumerate(objects(body.get("messages"))):
            role, content = str(message.get("role", "")), message.get("content")
            if isinstance(content, str) and message.keys() <= _PLAIN:
                places.append(TextPlace(("messages", at, "content"), content, role, ".content"))
            else:
                _add_message(places, message, ("messages", at), "", role)
        if "prediction" in body:
            _add_content(places, body["prediction"], ("prediction",), "user", ".prediction")
        for name in _DEFINING:
            if name in body:
                places += _definition_texts(body[name], (name,))
        return places

    @override
    def reply_texts(self, body: Json) -> Sequence[TextPlace]:
        places: list[TextPlace] = []
        for at, choice in enumerate(objects(body.get("choices"))):
            _add_choice(places, choice, ("choices", at), str(at))
        return places

    @override
    def event_texts(self, data: Json) -> Sequence[TextPlace]:
        places: list[TextPlace] = []
        for at, choice in enumerate(objects(data.get("choices"))):
            _add_choice(places, choice, ("choices", at), str(choice.get("index", at)))
        return places

    @override
    def view_event(self, data: bytes) -> EventView:
        try:
            event = _plain_event.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return super().view_event(data)
        texts: list[TextPlace] = []
        finished: list[str] = []
        for at, choice in enumerate(event.choices):
            content = choice.delta.content
            if content is not None:
                texts.append(TextPlace(_CONTENTS[at], content, "assistant", f"{choice.index}.content"))
            if choice.finish_reason:
                finished.append(str(choice.index))
        return EventView(texts, finished)

    @override
    def view_reply(self, body: bytes) -> Sequence[TextPlace]:
        try:
            reply = _plain_reply.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return super().view_reply(body)
        return [
            TextPlace(("choices", at, "message", "content"), choice.message.content, "assistant", f"{at}.content")
            for at, choice in enumerate(reply.choices)
            if choice.message.content is not None
        ]

    @override
    def ending(self, tail: Sequence[bytes], *, is_broken: bool = False) -> Ending:
        return ending_of(tail, is_broken=is_broken)

    @override
    def error_event(self, error: RequestError) -> bytes:
        return data_event(error.envelope())

    @override
    def decode_request(self, body: bytes) -> ChatRequest:
        return decode_request(decode_object(body))

    @override
    def encode_request(self, request: ChatRequest) -> bytes:
        return msgspec.json.encode(encode_request(request))

    @override
    def decode_reply(self, body: bytes) -> ChatReply:
        try:
            return decode_reply(decode_object(body))
        except (InvalidRequest, ValueError) as error:
            raise ProviderFailed(f"the reply is no chat completion: {error}", code="upstream_bad_reply") from None

    @override
    def encode_reply(self, reply: ChatReply) -> bytes:
        return msgspec.json.encode(encode_reply(reply))

    @override
    def stream_decoder(self) -> OpenAIChatDecoder:
        return OpenAIChatDecoder()

    @override
    def stream_encoder(self, request: ChatRequest) -> OpenAIChatEncoder:
        return OpenAIChatEncoder(include_usage=request.include_usage)


def _definition_texts(value: object, path: Path) -> Iterator[TextPlace]:
    """What tools, schemas and grammars say about themselves, at any depth: a model reads all of it."""
    if isinstance(value, list):
        for at, item in enumerate(cast("list[object]", value)):
            yield from _definition_texts(item, (*path, at))
    elif isinstance(value, dict):
        for name, item in cast("Json", value).items():
            if name in _DESCRIBING and isinstance(item, str):
                yield TextPlace((*path, name), item, "tool_definition")
            yield from _definition_texts(item, (*path, name))


def _add_choice(places: list[TextPlace], choice: Json, path: Path, channel: str) -> None:
    """Some vendors say the text a second time beside the message, or send the message so far beside each delta."""
    _add_strings(places, choice, ("text",), path, "assistant", channel)
    delta, message = choice.get("delta"), choice.get("message")
    if delta is not None:
        _add_message(places, delta, (*path, "delta"), channel)
    if message is not None:
        flow = f"{channel}.message" if isinstance(delta, dict) else channel
        _add_message(places, message, (*path, "message"), flow)


def _add_message(places: list[TextPlace], value: object, path: Path, channel: str, role: str = "assistant") -> None:
    if not isinstance(value, dict):
        return
    message = cast("Json", value)
    _add_content(places, message, path, role, channel)
    if message.keys() <= _PLAIN:
        return
    _add_strings(places, message, ("refusal", "reasoning_content", "reasoning"), path, role, channel)
    for at, detail in enumerate(objects(message.get("reasoning_details"))):
        where, flow = (*path, "reasoning_details", at), f"{channel}.reasoning_details.{detail.get('index', at)}"
        _add_strings(places, detail, ("text", "summary"), where, role, flow)
    _add_strings(places, message.get("audio"), ("transcript",), (*path, "audio"), role, f"{channel}.audio")
    for at, call in enumerate(objects(message.get("tool_calls"))):
        where, flow = (*path, "tool_calls", at), f"{channel}.tool.{call.get('index', at)}"
        _add_strings(places, call.get("function"), ("arguments",), (*where, "function"), role, flow)
        _add_strings(places, call.get("custom"), ("input",), (*where, "custom"), role, flow)
    legacy = (*path, "function_call")
    _add_strings(places, message.get("function_call"), ("arguments",), legacy, role, f"{channel}.function_call")


def _add_content(places: list[TextPlace], value: object, path: Path, role: str, channel: str) -> None:
    """The content of an object, a string or a list of parts; all its texts are one flow, but thinking is another."""
    content = cast("Json", value).get("content") if isinstance(value, dict) else None
    if isinstance(content, str):
        places.append(TextPlace((*path, "content"), content, role, f"{channel}.content"))
        return
    for at, part in enumerate(objects(content)):
        where = (*path, "content", at)
        places += [
            TextPlace((*where, field), part[field], role, f"{channel}.content")
            for field in ("text", "refusal")
            if isinstance(part.get(field), str)
        ]
        _add_strings(places, part, ("thinking",), where, role, channel)
        for number, piece in enumerate(objects(part.get("thinking"))):
            if isinstance(piece.get("text"), str):
                where_piece = (*where, "thinking", number, "text")
                places.append(TextPlace(where_piece, piece["text"], role, f"{channel}.thinking"))


def _add_strings(
    places: list[TextPlace], held: object, fields: Sequence[str], path: Path, role: str, channel: str
) -> None:
    """The strings among these members of an object, each a flow of its own."""
    if isinstance(held, dict):
        members = cast("Json", held)
        for field in fields:
            text = members.get(field)
            if isinstance(text, str):
                places.append(TextPlace((*path, field), text, role, f"{channel}.{field}"))
