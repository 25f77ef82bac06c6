"""OpenAI chat completions to the canonical model, whichever OpenAI-shaped vendor wrote them.

Source: https://platform.openai.com/docs/api-reference/chat/object
"""

from __future__ import annotations

from typing import Any, cast

from msgspec.structs import replace

from headgate.body import decode_object
from headgate.chat import ChatReply, Choice, FinishReason, Message, Part, Text, ToolCall
from headgate.dialects.openai.members import Json, Members, seconds
from headgate.dialects.openai.message import DIALECT, decode_message
from headgate.dialects.openai.usage import decode_usage
from headgate.errors import InvalidRequest

FINISH: dict[str, FinishReason] = {
    "stop": "stop",
    "length": "length",
    "max_tokens": "length",
    "model_length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "tool_use": "tool_calls",
    "content_filter": "content_filter",
    "blocklist": "content_filter",
    "image_safety": "content_filter",
    "prohibited_content": "content_filter",
    "recitation": "content_filter",
    "refusal": "content_filter",
    "safety": "content_filter",
    "sensitive": "content_filter",
    "spii": "content_filter",
    "error": "error",
    "insufficient_system_resource": "error",
    "function_call_filter": "error",
    "malformed_function_call": "error",
    "network_error": "error",
    "unexpected_tool_call": "error",
}
"""What vendors' words for the end mean, in lower case; a word that is not here means `stop`.

Beyond OpenAI's they are Mistral's, DeepSeek's, Zhipu's and those that Google's OpenAI layer lets through from Gemini, such as
`function_call_filter: MALFORMED_FUNCTION_CALL`.
"""


def decode_reply(encoded: bytes) -> ChatReply:
    """A chat completion. Raises InvalidRequest, and ValueError for usage nobody can read."""
    data = decode_object(encoded)
    body = Members(data)
    if data.get("choices") is None:
        raise InvalidRequest(_said_instead(data))
    usage, choices = usage_in(body), body.listed("choices")
    body.take("object")
    reply_id = str(body.take("id") or "")
    return ChatReply(
        id=reply_id,
        model=str(body.take("model") or ""),
        created=seconds(body.take("created")),
        choices=tuple(_decode_choice(choice, reply_id) for choice in choices),
        usage=decode_usage(usage) if usage else None,
        service_tier=body.find("service_tier", str),
        dialect=DIALECT,
        extra=told(body.rest()),
    )


def told(members: Json) -> Json:
    """The members of an answer that say something."""
    return {name: value for name, value in members.items() if value is not None}


def finish_of(word: str | None, *, has_calls: bool) -> FinishReason | None:
    """Why an answer ended. One that asks for calls ended for them, whatever the vendor calls it; no word means nothing."""
    if not word:
        return "tool_calls" if has_calls else None
    reason = FINISH.get(word.partition(":")[0].strip().lower(), "stop")
    return "tool_calls" if has_calls and reason == "stop" else reason


def minted_id(reply_id: str, choice: int, call: int) -> str:
    """An id for a call that came without one: the same for the same reply, and unique in a conversation."""
    tail = "".join(mark for mark in reply_id if mark.isascii() and mark.isalnum())[-16:] or "0"
    return f"call_{tail}_{choice}_{call}"


def usage_in(chunk: Members) -> Json | None:
    """The usage of a reply or a chunk; Groq states it under `x_groq` where it was not asked for."""
    usage = chunk.find("usage", Json)
    if usage:
        return usage
    groq: object = chunk.peek("x_groq")
    held: Any = cast("Json", groq).get("usage") if isinstance(groq, dict) else None
    return cast("Json", held) if isinstance(held, dict) else None


def _decode_choice(choice: Members, reply_id: str) -> Choice:
    index = choice.find("index", int) or 0
    said = choice.take("message")  # absent where Azure has filtered it out
    message = decode_message({} if said is None else said, choice.at("message"), "assistant")
    parts = tuple(_answered(part, reply_id, index) for part in message.parts if part != Text(""))
    has_calls = any(isinstance(part, ToolCall) for part in parts)
    raw = choice.find("finish_reason", str)
    return Choice(
        Message("assistant", parts, message.name, message.extra),
        finish=finish_of(raw, has_calls=has_calls),
        finish_raw=raw,
        stop=choice.find_if("stop_reason", str),
        index=index,
        logprobs=choice.take("logprobs"),
        extra=told(choice.rest()),
    )


def _answered(part: Part, reply_id: str, choice: int) -> Part:
    """A call needs an id that its result can name: where the vendor gave none, the request decoder's stand-in will not do."""
    if isinstance(part, ToolCall) and part.id == part.name:
        return replace(part, id=minted_id(reply_id, choice, part.index))
    return part


def _said_instead(data: Json) -> str:
    """What a body without choices says: some vendors answer an error with a status of 200."""
    error = data.get("error")
    message: object = cast("Json", error).get("message") if isinstance(error, dict) else error
    return f"the vendor says: {message}" if isinstance(message, str) and message else "`choices` is missing"
