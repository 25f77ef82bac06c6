"""Cohere's chat answers as the canonical model.

`tool_plan`, what the model says it is about to do, is visible text before the calls, as with any other vendor. Tokens are those
the model read and wrote (`usage.tokens`), not those that are billed. https://docs.cohere.com/reference/chat
"""

from __future__ import annotations

from typing import Any, cast

from msgspec.structs import replace

from headgate.body import decode_object
from headgate.chat import (
    ChatReply,
    Choice,
    Citation,
    FinishReason,
    Item,
    Message,
    Part,
    Reasoning,
    Text,
    ToolCall,
    Usage,
)
from headgate.dialects.openai.members import Json, Members, objects
from headgate.dialects.openai.reply import minted_id

NAME = "cohere.chat"

FINISH: dict[str, FinishReason] = {
    "COMPLETE": "stop",
    "STOP_SEQUENCE": "stop",
    "MAX_TOKENS": "length",
    "TOOL_CALL": "tool_calls",
    "ERROR": "error",
    "TIMEOUT": "error",
}
"""Words for the end; one that is not here means `stop`."""
NO_ARGUMENTS = "null"
"""What Cohere writes for the arguments of a function without parameters; in a stream it writes nothing at all."""


def decode_reply(body: bytes) -> ChatReply:
    """A whole answer. Raises InvalidRequest when it is none."""
    held = Members(decode_object(body))
    message = Members(held.take("message"), "message")
    reply_id, usage = str(held.take("id") or ""), held.take("usage")
    parts, others = decode_said(message, decode_content(message))
    calls = [decode_call(call, at, reply_id) for at, call in enumerate(message.listed("tool_calls"))]
    message.take("role")
    extra = {**_told(message.rest()), **({"citations": others} if others else {})}
    word = held.find("finish_reason", str)
    choice = Choice(
        Message("assistant", (*(part for part in parts if part != Text("")), *calls), extra=extra),
        finish=finish_of(word, has_calls=bool(calls)),
        finish_raw=word,
        logprobs=decode_logprobs(held.take("logprobs")),
    )
    return ChatReply(reply_id, "", (choice,), usage=usage_of(usage), dialect=NAME, extra=_told(held.rest()))


def decode_content(message: Members) -> list[Part]:
    """The blocks of an assistant's turn: texts and thinking; a plain string is one text."""
    text = message.find_if("content", str)
    if text is not None:
        return [Text(text)]
    return [_decode_block(block) for block in message.listed("content")]


def decode_call(call: Members, at: int, reply_id: str = "") -> ToolCall:
    """A call; one without an id gets one."""
    function = call.inner("function")
    call_id, name = call.find("id", str), function.need("name", str)
    arguments = function.find("arguments", str) or ""
    call.take("type")
    if arguments.strip() == NO_ARGUMENTS:
        arguments = ""
    return ToolCall(call_id or minted_id(reply_id, 0, at), name, arguments, at, extra=_told(call.rest()))


def decode_said(message: Members, content: list[Part]) -> tuple[list[Part], list[Json]]:
    """What a turn says, its plan before its first text, and the sources of what is no text.

    A source without `content_index` is one of the last text.
    """
    plan = message.find("tool_plan", str)
    parts = [*content, *([Text(plan)] if plan else [])]
    others: list[Json] = []
    texts = [at for at, part in enumerate(content) if isinstance(part, Text)]
    for raw in objects(message.take("citations")):
        stated, kind = raw.get("content_index"), raw.get("type")
        at = stated if isinstance(stated, int) else texts[-1] if texts else -1
        at = {"PLAN": len(content), "THINKING_CONTENT": -1}.get(str(kind), at)
        part = parts[at] if 0 <= at < len(parts) else None
        if isinstance(part, Text):
            parts[at] = replace(part, citations=(*part.citations, citation_of(raw)))
        else:
            others.append(raw)
    if plan and texts:
        parts.insert(texts[0], parts.pop())
    return parts, others


def citation_of(raw: Json) -> Citation:
    """A source of a text: where in it, and what is known of the first document that it rests on. `raw` names them all.

    https://docs.cohere.com/docs/rag-citations
    """
    source = next(iter(objects(raw.get("sources"))), cast("Json", {}))
    held: Any = source.get("document") or source.get("tool_output")
    document = cast("Json", held) if isinstance(held, dict) else {}
    url = _word(document.get("url"))
    return Citation(
        url if url and url.startswith(("http://", "https://")) else None,
        _word(document.get("title")) or _word(source.get("id")),
        _word(document.get("text")) or _word(document.get("snippet")) or _word(document.get("content")),
        _place(raw.get("start")),
        _place(raw.get("end")),
        raw,
    )


def finish_of(word: str | None, *, has_calls: bool) -> FinishReason | None:
    """Why an answer ended; no word means nothing. One that asks for calls ended for them."""
    reason = FINISH.get(word.upper(), "stop") if word else None
    return "tool_calls" if has_calls and reason in {"stop", None} else reason


def usage_of(value: object) -> Usage | None:
    """The tokens of an answer; None when it says nothing. What was billed counts only where no tokens are stated."""
    raw = cast("Json", value) if isinstance(value, dict) else {}
    held: Any = raw.get("tokens") or raw.get("billed_units")
    if not isinstance(held, dict):
        return None
    tokens = cast("Json", held)
    prompt = _count(tokens.get("input_tokens"))
    return Usage(prompt, _count(tokens.get("output_tokens")), min(_count(raw.get("cached_tokens")), prompt), raw=raw)


def decode_logprobs(items: object) -> Any:
    """Token probabilities as OpenAI has them, where each item is one token with its text; else as they came."""
    content = [_decode_logprob(item) for item in objects(items)]
    return {"content": content} if content and all(content) else items


def _decode_logprob(item: Json) -> Json | None:
    match item:
        case {"text": str(text), "logprobs": [float() | int() as logprob]}:
            told: Json = {"token": text, "logprob": logprob, "bytes": list(text.encode()), "top_logprobs": []}
            return {**told, "token_ids": item.get("token_ids")}
        case _:
            return None


def _decode_block(block: Members) -> Part:
    match block.peek("type"):
        case "text":
            block.take("type")
            return Text(block.need("text", str), extra=block.rest())
        case "thinking":
            block.take("type")
            return Reasoning(block.need("thinking", str), extra=block.rest())
        case _:
            return Item(NAME, block.rest())


def _told(members: Json) -> Json:
    return {name: value for name, value in members.items() if value is not None}


def _word(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _place(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _count(value: object) -> int:
    return max(0, int(value)) if isinstance(value, int | float) and not isinstance(value, bool) else 0
