"""Answers to OpenAI chat clients: the canonical reply as a chat completion, and what its stream has in common with it.

Source: https://platform.openai.com/docs/api-reference/chat/object. Every object is valid by the types of the official SDK (3.52),
with one exception that has no word there: a `finish_reason` of `error`, which Mistral and OpenRouter say too.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

from headgate.chat import (
    Audio,
    ChatReply,
    ChatRequest,
    Choice,
    Citation,
    Image,
    Item,
    Message,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    Usage,
)
from headgate.dialects.data_urls import data_url
from headgate.dialects.openai.decode import LEGACY
from headgate.dialects.openai.members import Json, added, as_object, given, merged
from headgate.dialects.openai.message import DIALECT
from headgate.dialects.openai.reasoning import encode_reasoning, encode_signature

IGNORED = frozenset(
    {
        "Text.cache",  # marks of requests
        "Image.cache",
        "Image.detail",  # how to look at a picture that is sent
        "Image.file_id",  # a picture that a model made comes with its bytes or its URL
        "Image.extra",
        "ToolCall.cache",
        "ToolCall.index",  # the order says it
        "Refusal.extra",
        "Reasoning.extra",
        "Message.role",  # it is the assistant's
        "Message.name",
        "Audio.format",  # the caller asked for it
        "ChatReply.dialect",  # decides how `extra` is written
        "Choice.index",  # answers are numbered anew
        "Text.extra",  # a message has one text
        "ToolCall.item_id",  # a name of another API's
        "ToolCallStart.item_id",
        "ToolCallStart.call",  # the order says it
        "ReasoningDelta.is_summary",  # the end of the thought says it
        "Start.role",
        "Start.usage",  # usage comes last
        "ErrorEvent.status",  # the reply has begun with 200
    }
)
"""Canonical fields of an answer that have no place in a chat completion."""

_MESSAGE = frozenset({"role", "content", "refusal", "annotations", "audio", "function_call", "tool_calls"})
_CHOICE = frozenset({"finish_reason", "index", "logprobs", "message", "delta"})
REPLY = frozenset(
    {"id", "object", "created", "model", "choices", "usage", "service_tier", "system_fingerprint", "moderation"}
)
"""Members with a meaning and a type of their own, which no other dialect's member of that name may take."""
_DIRECT = {"type": "direct"}
_TIERS = {"standard": "default", **{tier: tier for tier in ("auto", "default", "flex", "scale", "priority", "fast")}}
"""Service tiers in OpenAI's words; `standard` is what others call the default."""


def encode_reply(reply: ChatReply, request: ChatRequest) -> Json:
    """A chat completion as JSON, in answer to `request`."""
    is_own = reply.dialect == DIALECT
    choices = [_encode_choice(choice, at, reply, request) for at, choice in enumerate(_in_order(reply.choices))]
    body: Json = {
        "id": reply.id,
        "object": "chat.completion",
        "created": reply.created,
        "model": reply.model or request.model,
        "choices": choices,
        **encode_tier(reply.service_tier),
    }
    if reply.usage is not None:
        body["usage"] = encode_usage(reply.usage)
    return merged(body, reply.extra) if is_own else added(body | encode_moderation(reply.extra), reply.extra, REPLY)


def encode_moderation(extra: Json) -> Json:
    """What the Responses API says of moderation, where each side has one result, in the form of chat: a list of one."""
    held = as_object(extra.get("moderation")) or {}
    sides = {name: side for name in ("input", "output") if (side := as_object(held.get(name))) and _is_judged(side)}
    return {"moderation": {name: _listed(side) for name, side in sides.items()}} if len(sides) == 2 else {}


def _is_judged(side: Json) -> bool:
    return side.get("type") in {"moderation_result", "error"}


def _listed(side: Json) -> Json:
    if side["type"] == "error":
        return side
    return {"type": "moderation_results", "model": side.get("model") or "", "results": [side]}


def encode_usage(usage: Usage) -> Json:
    """The OpenAI usage object of `usage`, with the cost where the provider said one."""
    prompt = {"cached_tokens": usage.cached, "audio_tokens": usage.audio_in}
    if usage.cache_write:
        prompt["cache_write_tokens"] = usage.cache_write
    told = {
        "prompt_tokens": usage.prompt,
        "completion_tokens": usage.completion,
        "total_tokens": usage.total,
        "prompt_tokens_details": prompt,
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning, "audio_tokens": usage.audio_out},
    }
    raw = usage.raw or {}
    is_own = "prompt_tokens" in raw
    return {**{name: value for name, value in raw.items() if is_own and name not in told}, **told}


def encode_tier(tier: str | None) -> Json:
    """The service tier, as a native one where OpenAI has no such word."""
    if tier is None:
        return {}
    return {"service_tier": _TIERS[tier]} if tier in _TIERS else {"native_service_tier": tier}


def encode_call(call: ToolCall) -> Json:
    """A whole call. No arguments are an empty object, for clients parse them."""
    kind, field = ("custom", "input") if call.custom else ("function", "arguments")
    text = call.arguments if call.custom else call.arguments or "{}"
    said = {"id": call.id, "type": kind, kind: {"name": call.name, field: text}}
    return merged(added(said, told_of_call(call.extra)), encode_signature(call.opaque))


def told_of_call(extra: Json) -> Json:
    """What else is told of a call. That the model itself makes it is always so here, and OpenAI knows no word for it."""
    return {name: value for name, value in extra.items() if name != "caller" or value != _DIRECT}


def encode_citation(citation: Citation, begin: int, end: int) -> Json:
    """A source of the text between `begin` and `end` of the whole content, unless it says its place within that text."""
    raw = citation.raw
    place = {
        "start_index": begin + (citation.start or 0),
        "end_index": end if citation.end is None else begin + citation.end,
    }
    cited = {"title": citation.title or "", "url": citation.url or "", **given(quote=citation.quote), **place}
    if isinstance(raw.get("url_citation"), dict):
        return {**raw, "type": "url_citation", "url_citation": {**raw["url_citation"], **cited}}
    return {"type": "url_citation", "url_citation": cited, **given(raw=raw or None)}


def encode_image(image: Image) -> Json:
    """A picture that the model made."""
    url = data_url(image.media_type, image.data) if image.data is not None else image.url or ""
    return {"type": "image_url", "image_url": {"url": url}}


def encode_audio(audio: Audio, reply_id: str) -> Json:
    """A model's sound. How long it can be referred to is 0 where the vendor does not say."""
    said = {"id": audio.id or f"audio_{reply_id}", "data": audio.data, "transcript": audio.transcript or ""}
    return added({**said, "expires_at": audio.extra.get("expires_at") or 0}, audio.extra)


def encode_item(item: Item) -> Json:
    """A block that only its own dialect understands, for the client to send back as it is."""
    return {**item.raw, "dialect": item.dialect}


def encode_finish(reason: str | None, raw: str | None, request: ChatRequest, *, has_calls: bool) -> Json:
    """Why the answer ended; the vendor's own word beside it where it is another."""
    said = reason or ("tool_calls" if has_calls else "stop")
    if said == "tool_calls" and LEGACY in request.extra:
        said = "function_call"
    return {"finish_reason": said, **({"native_finish_reason": raw} if raw and raw != said else {})}


def encode_logprobs(value: Any) -> Json:
    """Token probabilities in OpenAI's form; those of another form stand beside it."""
    if value is None:
        return {"logprobs": None}
    members = cast("Json", value) if isinstance(value, dict) else {}
    if isinstance(members.get("content"), list) or isinstance(members.get("refusal"), list):
        return {"logprobs": {"content": None, "refusal": None, **members}}
    return {"logprobs": None, "native_logprobs": value}


def shows_thinking(request: ChatRequest) -> bool:
    """Whether the caller wants to see thoughts; it does unless it says no."""
    return request.thinking is None or request.thinking.is_shown is not False


def foreign(extra: Json) -> Json:
    """The members of a foreign message or delta that stand for nothing else here."""
    return {name: value for name, value in extra.items() if name not in _MESSAGE}


def foreign_choice(extra: Json) -> Json:
    """The members of a foreign choice that stand for nothing else here."""
    return {name: value for name, value in extra.items() if name not in _CHOICE}


def _in_order(choices: Iterable[Choice]) -> list[Choice]:
    return sorted(choices, key=lambda choice: choice.index)


def _encode_choice(choice: Choice, at: int, reply: ChatReply, request: ChatRequest) -> Json:
    is_own = reply.dialect == DIALECT
    calls = any(isinstance(part, ToolCall) for part in choice.message.parts)
    body = {
        "index": at,
        "message": _encode_message(choice.message, reply, request),
        **encode_logprobs(choice.logprobs),
        **encode_finish(choice.finish, choice.finish_raw, request, has_calls=calls),
        **given(stop_reason=choice.stop),
    }
    return merged(body, choice.extra) if is_own else added(body, foreign_choice(choice.extra))


def _encode_message(message: Message, reply: ChatReply, request: ChatRequest) -> Json:
    parts = message.parts
    texts = [part for part in parts if isinstance(part, Text)]
    calls = [encode_call(part) for part in parts if isinstance(part, ToolCall)]
    sounds = [encode_audio(part, reply.id) for part in parts if isinstance(part, Audio)]
    refusal = "".join(part.text for part in parts if isinstance(part, Refusal))
    content = "".join(part.text for part in texts)
    is_null = not content and bool(calls or sounds or refusal)
    body: Json = {"role": "assistant", "content": None if is_null else content, "refusal": refusal or None}
    if shows_thinking(request):
        body |= encode_reasoning([part for part in parts if isinstance(part, Reasoning)])
    signed = [at for at, part in enumerate(parts) if isinstance(part, Text) and part.opaque is not None]
    if signed:
        is_last = any(isinstance(part, ToolCall) for part in parts[: signed[-1]])
        body |= encode_signature(cast("Text", parts[signed[-1]]).opaque, is_last=is_last)
    body |= given(
        annotations=_encode_citations(texts) or None,
        audio=sounds[0] if sounds else None,
        images=[encode_image(part) for part in parts if isinstance(part, Image)] or None,
        provider_items=[encode_item(part) for part in parts if isinstance(part, Item)] or None,
    )
    body |= _encode_calls(calls, request)
    return merged(body, message.extra) if reply.dialect == DIALECT else added(body, foreign(message.extra))


def _encode_calls(calls: list[Json], request: ChatRequest) -> Json:
    """The calls; the first as a `function_call` for callers that still have functions."""
    if LEGACY in request.extra and calls and "function" in calls[0]:
        return {"function_call": calls[0]["function"], **given(tool_calls=calls[1:] or None)}
    return given(tool_calls=calls or None)


def _encode_citations(texts: Iterable[Text]) -> list[Json]:
    annotations: list[Json] = []
    begin = 0
    for text in texts:
        end = begin + len(text.text)
        annotations += [encode_citation(citation, begin, end) for citation in text.citations]
        begin = end
    return annotations
