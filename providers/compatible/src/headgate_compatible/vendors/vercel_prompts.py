"""Prompts and answers in the AI SDK's words, which a batch of Vercel's AI Gateway holds.

Sources: `language-model/v4` and `batch/v4` of the package `@ai-sdk/provider` 4.0
(https://github.com/vercel/ai/tree/main/packages/provider/src), and for what a request of a batch may hold
https://vercel.com/docs/ai-gateway/models-and-providers/batch-processing. Marks of caches are what the AI SDK tells Anthropic:
https://ai-sdk.dev/providers/ai-sdk-providers/anthropic
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

import msgspec
from msgspec.structs import replace

from headgate.chat import (
    Audio,
    ChatReply,
    ChatRequest,
    Choice,
    Citation,
    File,
    FinishReason,
    Image,
    Item,
    Message,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    ToolResult,
    Usage,
)
from headgate.dialects import Gaps
from headgate.dialects.functions import PART_HINTS, REQUEST_HINTS, tell_rest
from headgate.dialects.jobs import seconds_of
from headgate.dialects.openai.members import Json, Members, as_object, given, merged, objects

NAME = "vercel.batches"
EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
"""The AI SDK's words for `reasoning`."""
_NO_TOOLS = "a batch there calls no tools"
_SAMPLING = {
    "maxOutputTokens": "max_tokens",
    "temperature": "temperature",
    "topP": "top_p",
    "topK": "top_k",
    "seed": "seed",
    "presencePenalty": "presence_penalty",
    "frequencyPenalty": "frequency_penalty",
}
"""Options of a call by the fields of Sampling."""
_FINISH: Mapping[str, FinishReason] = {
    "stop": "stop",
    "length": "length",
    "content-filter": "content_filter",
    "tool-calls": "tool_calls",
    "error": "error",
    "interrupted": "error",
    "other": "stop",
}
_REDACTED = "redactedData"
_OPTIONS = "providerOptions"


def encode_prompt(request: ChatRequest, gaps: Gaps) -> Json:
    """The `options` of a request. `gaps` is told of what a batch has no words for; `providerOptions` pass."""
    _refuse_rest(request, gaps)
    sampling, thinking = request.sampling, request.thinking
    told = given(**{name: getattr(sampling, field) for name, field in _SAMPLING.items()})
    if sampling.stop:
        told["stopSequences"] = list(sampling.stop)
    if thinking is not None:
        if thinking.summary is not None:
            gaps.skip("reasoning.summary")
        if thinking.is_shown is False:
            gaps.skip("reasoning.exclude")
        told |= given(reasoning=thinking.effort)
    extra = dict(request.extra)
    own = as_object(extra.pop(_OPTIONS, None)) or {}
    gaps.extra(extra, hints=REQUEST_HINTS)
    options = merged({"gateway": {"user": request.user}} if request.user else {}, own)
    prompt = [_turn(message, f"messages[{at}]", gaps) for at, message in enumerate(request.messages)]
    return {"prompt": prompt, **told, **({_OPTIONS: options} if options else {})}


def _refuse_rest(request: ChatRequest, gaps: Gaps) -> None:
    """Tell what no request of a batch can say."""
    sampling = request.sampling
    if request.tools:
        gaps.refuse("tools", _NO_TOOLS)
    if request.tool_choice is not None and request.tool_choice.mode not in {"auto", "none"}:
        gaps.refuse("tool_choice", _NO_TOOLS)
    if request.response_format is not None and request.response_format.kind != "text":
        gaps.refuse("response_format", "the answers of a batch are held to no format there")
    if sampling.logit_bias:
        gaps.refuse("logit_bias")
    if sampling.logprobs or sampling.top_logprobs:
        gaps.refuse("logprobs")
    if sampling.n not in {None, 1}:
        gaps.refuse("n", "a request has one answer there")
    if request.stream:
        gaps.refuse("stream", "the answers of a batch come whole")
    tell_rest(replace(request, user=None), gaps, "Vercel")


def _turn(message: Message, place: str, gaps: Gaps) -> Json:
    """One turn. That of a system is one text, any other a list of parts."""
    if message.name is not None:
        gaps.skip(f"{place}.name")
    is_echo = message.role == "assistant"
    gaps.extra(message.extra, place, hints=message.extra if is_echo else PART_HINTS)
    role = {"developer": "system", "tool": "user"}.get(message.role, message.role)
    parts = [
        told
        for number, part in enumerate(message.parts)
        for told in _part(part, f"{place}.content[{number}]", gaps, is_echo=is_echo)
    ]
    if role != "system":
        return {"role": role, "content": parts}
    for part in parts:
        if part["type"] != "text":
            gaps.refuse(f"{place}.content", "instructions are text")
    said = [part for part in parts if part["type"] == "text"]
    marks = [part[_OPTIONS] for part in said if _OPTIONS in part][-1:]
    content = "".join(part["text"] for part in said)
    return {"role": role, "content": content, **({_OPTIONS: marks[0]} if marks else {})}


def _part(part: Part, place: str, gaps: Gaps, *, is_echo: bool) -> Iterator[Json]:
    """A part; nothing for one that was left out and said so."""
    match part:
        case Text() | Refusal():
            _tell(part, place, gaps, is_echo=is_echo)
            if part.text:
                yield {"type": "text", "text": part.text, **_cached(part)}
        case Image() | File():
            yield from _file(part, place, gaps, is_echo=is_echo)
        case Audio():
            if is_echo:
                gaps.skip(place)
                if part.transcript:
                    yield {"type": "text", "text": part.transcript}
            else:
                gaps.extra(part.extra, place, hints=PART_HINTS)
                data = {"type": "data", "data": part.data}
                yield {"type": "file", "mediaType": f"audio/{part.format}", "data": data}
        case Reasoning():
            gaps.skip(f"{place.partition('.')[0]}.reasoning")
        case ToolCall() | ToolResult():
            gaps.refuse(place, _NO_TOOLS)
        case Item():
            gaps.foreign_block(place, part.raw, part.dialect, is_echo=is_echo)


def _file(part: Image | File, place: str, gaps: Gaps, *, is_echo: bool) -> Iterator[Json]:
    """A picture or a document by its bytes or its address."""
    if part.file_id is not None:
        gaps.foreign_file(place)
        return
    _tell(part, place, gaps, is_echo=is_echo)
    if isinstance(part, Image) and part.detail not in {None, "auto"}:
        gaps.skip(f"{place}.image_url.detail")
    name = None
    if isinstance(part, File):
        name = part.filename or part.title
        if part.context is not None:
            gaps.refuse(f"{place}.context")
        if part.cites:
            gaps.refuse(f"{place}.citations")
    kind = part.media_type or ("image" if isinstance(part, Image) else "application/pdf")
    data = {"type": "url", "url": part.url} if part.data is None else {"type": "data", "data": part.data}
    yield {"type": "file", "mediaType": kind, "data": data, **given(filename=name), **_cached(part)}


def _tell(part: Text | Refusal | Image | File, place: str, gaps: Gaps, *, is_echo: bool) -> None:
    """What of a part has no place in a prompt."""
    gaps.extra(part.extra, place, hints=part.extra if is_echo else PART_HINTS)
    if isinstance(part, Text) and part.opaque is not None:
        gaps.skip(f"{place}.signature")
    if isinstance(part, Text) and part.citations:
        gaps.skip(f"{place.partition('.')[0]}.annotations")


def _cached(part: Text | Refusal | Image | File) -> Json:
    mark = None if isinstance(part, Refusal) else part.cache
    return {} if mark is None else {_OPTIONS: {"anthropic": {"cacheControl": mark}}}


# answers


def decode_result(said: Json) -> ChatReply:
    """The `result` of a request that succeeded. Raises InvalidRequest for what is none.

    What the vendor tells beside it, and its warnings, stand beside the answer.
    """
    held = Members(said, "result")
    about = Members(held.take("response") or {}, "response")
    finish = Members(held.take("finishReason"), "finishReason")
    word = finish.need("unified", str)
    parts = tuple(_parts_of(objects(held.need("content", list[Any]))))
    meant = _FINISH.get(word, "stop")
    choice = Choice(
        Message("assistant", parts),
        "tool_calls" if meant == "stop" and any(isinstance(part, ToolCall) for part in parts) else meant,
        finish.find("raw", str) or word,
    )
    beside = {name: held.take(name) for name in ("providerMetadata", "warnings")}
    return ChatReply(
        about.find("id", str) or "",
        about.find("modelId", str) or "",
        (choice,),
        seconds_of(about.find("timestamp", str)) or 0,
        _usage_of(as_object(held.take("usage")) or {}),
        dialect=NAME,
        extra={name: value for name, value in beside.items() if value},
    )


def _parts_of(content: Sequence[Json]) -> Iterable[Part]:
    """The parts of an answer. Sources belong to its last text."""
    parts = [_part_of(each) for each in content if not _is_link(each)]
    links = tuple(Citation(each.get("url"), each.get("title"), raw=each) for each in content if _is_link(each))
    last = next((at for at in reversed(range(len(parts))) if isinstance(parts[at], Text)), None)
    if not links:
        return parts
    if last is None:
        return [*parts, Text("", citations=links)]
    parts[last] = replace(cast("Text", parts[last]), citations=links)
    return parts


def _is_link(part: Json) -> bool:
    return part.get("type") == "source" and part.get("sourceType") == "url"


def _part_of(said: Json) -> Part:
    """A part of an answer; one that only the AI SDK knows stays as it is."""
    metadata = as_object(said.get("providerMetadata")) or {}
    match said.get("type"):
        case "text":
            return Text(str(said.get("text") or ""))
        case "reasoning":
            return _thought_of(str(said.get("text") or ""), as_object(metadata.get("anthropic")) or {})
        case "file":
            return _file_of(said) or Item(NAME, said)
        case "tool-call" if not said.get("providerExecuted"):
            return ToolCall(str(said.get("toolCallId")), str(said.get("toolName")), _arguments(said.get("input")))
        case _:
            return Item(NAME, said)


def _arguments(said: object) -> str:
    """What a call is given, as JSON, which it is written in already, or not yet."""
    return said if isinstance(said, str) else "" if said is None else msgspec.json.encode(said).decode()


def _thought_of(text: str, signed: Json) -> Reasoning:
    """A thought, with the signature that Claude's have: https://ai-sdk.dev/providers/ai-sdk-providers/anthropic"""
    data = signed.get("signature") or signed.get(_REDACTED)
    opaque = Opaque("anthropic", data) if isinstance(data, str) else None
    return Reasoning(text, opaque, is_redacted=opaque is not None and not text and _REDACTED in signed)


def _file_of(said: Json) -> Part | None:
    """What a model made; None for a file of another form."""
    held, kind = as_object(said.get("data")) or {}, str(said.get("mediaType") or "")
    data, url = held.get("data"), held.get("url")
    if not isinstance(data, str) and not isinstance(url, str):
        return None
    if kind.startswith("image/"):
        return Image(url=url, data=data, media_type=kind)
    if kind.startswith("audio/") and isinstance(data, str):
        return Audio(data, kind.removeprefix("audio/"))
    return None


def _usage_of(said: Json) -> Usage | None:
    read, written = as_object(said.get("inputTokens")) or {}, as_object(said.get("outputTokens")) or {}
    if read.get("total") is None and written.get("total") is None:
        return None
    return Usage(
        _count(read.get("total")),
        _count(written.get("total")),
        _count(read.get("cacheRead")),
        _count(read.get("cacheWrite")),
        _count(written.get("reasoning")),
        raw=said,
    )


def _count(value: object) -> int:
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) and value > 0 else 0
