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


class OpenAIChat(ChatDialect):
    """The `openai.chat` dialect."""

    name = "openai.chat"
    operation = "chat"

    @override
    def request_texts(self, body: Json) -> Sequence[TextPlace]:
        return list(_request_texts(body))

    @override
    def reply_texts(self, body: Json) -> Sequence[TextPlace]:
        places: list[TextPlace] = []
        for at, choice in enumerate(objects(body.get("choices"))):
            message = choice.get("message")
            if isinstance(message, dict):
                places += _message_texts(cast("Json", message), ("choices", at, "message"), f"{at}")
        return places

    @override
    def event_texts(self, data: Json) -> Sequence[TextPlace]:
        places: list[TextPlace] = []
        for at, choice in enumerate(objects(data.get("choices"))):
            delta = choice.get("delta")
            if isinstance(delta, dict):
                channel = str(choice.get("index", at))
                places += _message_texts(cast("Json", delta), ("choices", at, "delta"), channel)
        return places

    @override
    def ending(self, tail: Sequence[bytes], *, is_broken: bool = False) -> Ending:
        return ending_of(tail, is_broken=is_broken)

    @override
    def error_event(self, error: RequestError) -> bytes:
        return data_event(error.envelope())

    @override
    def decode_request(self, body: bytes) -> ChatRequest:
        data = decode_object(body)
        try:
            return decode_request(data)
        except (KeyError, TypeError, AttributeError) as error:
            raise InvalidRequest(f"the request is not a chat completion request: {error}") from None

    @override
    def encode_request(self, request: ChatRequest) -> bytes:
        return msgspec.json.encode(encode_request(request))

    @override
    def decode_reply(self, body: bytes) -> ChatReply:
        try:
            return decode_reply(decode_object(body))
        except (InvalidRequest, KeyError, TypeError, AttributeError, ValueError) as error:
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
    for at, tool in enumerate(objects(body.get("tools"))):
        function = tool.get("function")
        if isinstance(function, dict) and isinstance(cast("Json", function).get("description"), str):
            path = ("tools", at, "function", "description")
            yield TextPlace(path, cast("Json", function)["description"], "tool_definition")


def _message_texts(
    message: Json, path: tuple[str | int, ...], channel: str, role: str = "assistant"
) -> Iterator[TextPlace]:
    for field in ("content", "refusal", "reasoning_content", "reasoning"):
        value = message.get(field)
        if isinstance(value, str):
            yield TextPlace((*path, field), value, role, f"{channel}.{field}")
    for at, part in enumerate(objects(message.get("content"))):
        for field in ("text", "refusal"):
            if isinstance(part.get(field), str):
                yield TextPlace((*path, "content", at, field), part[field], role, f"{channel}.content")
    for at, call in enumerate(objects(message.get("tool_calls"))):
        number = call.get("index", at)
        for kind, field in (("function", "arguments"), ("custom", "input")):
            held = call.get(kind)
            if isinstance(held, dict) and isinstance(cast("Json", held).get(field), str):
                where = (*path, "tool_calls", at, kind, field)
                yield TextPlace(where, cast("Json", held)[field], role, f"{channel}.tool.{number}.{field}")
    legacy = message.get("function_call")
    if isinstance(legacy, dict) and isinstance(cast("Json", legacy).get("arguments"), str):
        where = (*path, "function_call", "arguments")
        yield TextPlace(where, cast("Json", legacy)["arguments"], role, f"{channel}.function_call.arguments")
