"""OpenAI chat completions, the dialect most clients and providers speak.

Source: https://platform.openai.com/docs/api-reference/chat and the types of the official SDK (3.52).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, cast

import msgspec
from typing_extensions import override

from headgate.body import decode_object
from headgate.chat import ChatReply, ChatRequest
from headgate.dialects.interface import ChatDialect, Ending, TextPlace
from headgate.dialects.openai_decode import decode_reply, decode_request, objects
from headgate.dialects.openai_encode import encode_reply, encode_request
from headgate.dialects.openai_stream import OpenAIChatDecoder, OpenAIChatEncoder
from headgate.dialects.sse import data_event, ending_of
from headgate.errors import InvalidRequest, ProviderFailed, RequestError

Json = dict[str, Any]
Path = tuple[str | int, ...]

_DESCRIBING = {"title", "description", "definition"}


class OpenAIChat(ChatDialect):
    """The `openai.chat` dialect."""

    name = "openai.chat"
    operation = "chat"

    @override
    def request_texts(self, body: Json) -> Sequence[TextPlace]:
        return list(_request_texts(body))

    @override
    def reply_texts(self, body: Json) -> Sequence[TextPlace]:
        return [
            place
            for at, choice in enumerate(objects(body.get("choices")))
            for place in _choice_texts(choice, ("choices", at), str(at))
        ]

    @override
    def event_texts(self, data: Json) -> Sequence[TextPlace]:
        return [
            place
            for at, choice in enumerate(objects(data.get("choices")))
            for place in _choice_texts(choice, ("choices", at), str(choice.get("index", at)))
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


def _request_texts(body: Json) -> Iterator[TextPlace]:
    for at, message in enumerate(objects(body.get("messages"))):
        yield from _message_texts(message, ("messages", at), "", str(message.get("role", "")))
    yield from _content_texts(body.get("prediction"), ("prediction",), "user", ".prediction")
    for name in ("tools", "functions", "response_format"):
        yield from _definition_texts(body.get(name), (name,))


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


def _choice_texts(choice: Json, path: Path, channel: str) -> Iterator[TextPlace]:
    """Some vendors say the text a second time beside the message, or send the message so far beside each delta."""
    is_streamed = isinstance(choice.get("delta"), dict)
    yield from _strings(choice, ("text",), path, "assistant", channel)
    yield from _message_texts(choice.get("delta"), (*path, "delta"), channel)
    yield from _message_texts(
        choice.get("message"), (*path, "message"), f"{channel}.message" if is_streamed else channel
    )


def _message_texts(value: object, path: Path, channel: str, role: str = "assistant") -> Iterator[TextPlace]:
    if not isinstance(value, dict):
        return
    message = cast("Json", value)
    yield from _content_texts(message, path, role, channel)
    yield from _strings(message, ("refusal", "reasoning_content", "reasoning"), path, role, channel)
    for at, detail in enumerate(objects(message.get("reasoning_details"))):
        where, flow = (*path, "reasoning_details", at), f"{channel}.reasoning_details.{detail.get('index', at)}"
        yield from _strings(detail, ("text", "summary"), where, role, flow)
    yield from _strings(message.get("audio"), ("transcript",), (*path, "audio"), role, f"{channel}.audio")
    for at, call in enumerate(objects(message.get("tool_calls"))):
        where, flow = (*path, "tool_calls", at), f"{channel}.tool.{call.get('index', at)}"
        yield from _strings(call.get("function"), ("arguments",), (*where, "function"), role, flow)
        yield from _strings(call.get("custom"), ("input",), (*where, "custom"), role, flow)
    legacy = (*path, "function_call")
    yield from _strings(message.get("function_call"), ("arguments",), legacy, role, f"{channel}.function_call")


def _content_texts(value: object, path: Path, role: str, channel: str) -> Iterator[TextPlace]:
    """The content of an object, a string or a list of parts; all its texts are one flow, but thinking is another."""
    yield from _strings(value, ("content",), path, role, channel)
    content = cast("Json", value).get("content") if isinstance(value, dict) else None
    for at, part in enumerate(objects(content)):
        where = (*path, "content", at)
        for field in ("text", "refusal"):
            if isinstance(part.get(field), str):
                yield TextPlace((*where, field), part[field], role, f"{channel}.content")
        yield from _strings(part, ("thinking",), where, role, channel)
        for number, piece in enumerate(objects(part.get("thinking"))):
            if isinstance(piece.get("text"), str):
                yield TextPlace((*where, "thinking", number, "text"), piece["text"], role, f"{channel}.thinking")


def _strings(held: object, fields: Sequence[str], path: Path, role: str, channel: str) -> Iterator[TextPlace]:
    """The strings among these members of an object, each a flow of its own."""
    members = cast("Json", held) if isinstance(held, dict) else {}
    for field in fields:
        if isinstance(members.get(field), str):
            yield TextPlace((*path, field), members[field], role, f"{channel}.{field}")
