"""Perplexity's Agent API for clients of other APIs than Responses: a strict body, and sources beside the text.

It is OpenAI's Responses but for what stands here; a member that it does not know is answered with 400. Sources:
https://docs.perplexity.ai/docs/agent-api/migrate-from-sonar/how-to, the references of
https://github.com/perplexityai/api-platform-developers/tree/main/skills/migrate-sonar-to-agent-api and the types of
`perplexityai` 0.46.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar, cast

import msgspec
from msgspec.structs import replace
from typing_extensions import override

from headgate.body import decode_object
from headgate.chat import (
    ChatReply,
    ChatRequest,
    Choice,
    Citation,
    CitationDelta,
    File,
    Finish,
    Image,
    Item,
    Message,
    Opaque,
    Part,
    PartDelta,
    StreamEvent,
    Text,
    TextDelta,
    Thinking,
    ToolCall,
    ToolCallStart,
    ToolResult,
)
from headgate.dialects import Gaps, OpenAIResponses
from headgate.dialects.openai.members import objects
from headgate.dialects.responses.stream import OpenAIResponsesDecoder
from headgate_compatible import policy
from headgate_compatible.row import Quirks
from headgate_compatible.vendors.sonar import cited, sources_of

Json = dict[str, Any]

ORIGIN = "perplexity"
QUIRKS = Quirks(
    developer=True,
    knows=["metadata"],
    efforts=["minimal", "low", "medium", "high", "xhigh"],
    formats=("json_schema",),
    takes=("image",),
    thoughts="",
)
_SIGNATURE = "thought_signature"
_SEARCH = "web_search_options"
_FOUND = "search_results"
_CALLS: Mapping[str, frozenset[str]] = {
    "function_call": frozenset({"arguments", "call_id", "name", _SIGNATURE, "type"}),
    "function_call_output": frozenset({"call_id", "name", "output", _SIGNATURE, "type"}),
}
"""What an item of the input may hold."""
_OWN_ITEMS = frozenset(
    {
        *("advisor_result", "fetch_url_results", "mcp_call", "mcp_list_tools", "reasoning", "sandbox_apply_patch"),
        *("sandbox_edit_file", "sandbox_glob", "sandbox_grep", "sandbox_read_file", "sandbox_results"),
        *("sandbox_write_file", _FOUND, "share_file", "skill_loaded", "unknown"),
    }
)
"""Items of an answer that no input has, which clients send back with all others."""
_Call = TypeVar("_Call", ToolCall, ToolCallStart)


class AgentResponses(OpenAIResponses):
    """OpenAI's Responses as the Agent API has them."""

    @override
    def encode_request(self, request: ChatRequest, gaps: Gaps) -> bytes:
        options = request.extra.get(_SEARCH)  # of a chat client
        request = replace(request, extra={name: held for name, held in request.extra.items() if name != _SEARCH})
        body = self.codec.encode_request(request, gaps)
        body["input"] = list(_items(body["input"], request))
        if options is not None:
            body["tools"] = [*body.get("tools", ()), _search(_object(options), gaps)]
        if isinstance(body.get("tool_choice"), dict):
            body["tool_choice"] = {"name": body["tool_choice"]["name"]}
        body.pop("include", None)  # there is no encrypted thinking
        return msgspec.json.encode(with_format(body))

    @override
    def decode_reply(self, body: bytes) -> ChatReply:
        reply = super().decode_reply(body)
        return replace(reply, choices=tuple(_placed(choice) for choice in reply.choices))

    @override
    def stream_decoder(self) -> OpenAIResponsesDecoder:
        return _Decoder()


def adapt(request: ChatRequest, gaps: Gaps) -> ChatRequest:
    """The request as the Agent API takes it. What it cannot honour goes to `gaps`."""
    request = policy.adapt(request, QUIRKS, gaps)
    thinking = policy.think(request.thinking, QUIRKS.efforts, gaps)
    sampling = request.sampling
    if sampling.logprobs or sampling.top_logprobs:
        gaps.refuse("logprobs")
        sampling = replace(sampling, logprobs=None, top_logprobs=None)
    return replace(
        request,
        messages=tuple(_turn(message, f"messages[{at}]", gaps) for at, message in enumerate(request.messages)),
        sampling=sampling,
        thinking=Thinking(thinking.effort) if thinking is not None and thinking.effort else None,
    )


def with_format(body: Json) -> Json:
    """A body with the format of the answer where the Agent API has it, as in chat; `text` is an unknown field to it."""
    text = body.get("text")
    if not isinstance(text, dict):
        return body
    held = cast("Json", text)
    format_ = _object(held.get("format"))
    rest = {name: value for name, value in held.items() if name != "format"}
    changed = {name: value for name, value in body.items() if name != "text"} | ({"text": rest} if rest else {})
    if format_.get("type") == "json_schema":
        schema = {name: value for name, value in format_.items() if name != "type" and value is not None}
        return {**changed, "response_format": {"type": "json_schema", "json_schema": schema}}
    return changed if format_.get("type") in (None, "text") else {**changed, "response_format": format_}


def fitted(body: bytes, gaps: Gaps) -> bytes:
    """The body of a client of OpenAI's Responses with its format and its items as they are known there; else the very same bytes.

    `gaps` is told of the items of an earlier answer that are none of an input.
    """
    members = decode_object(body)
    changed, items = with_format(members), members.get("input")
    if isinstance(items, list):
        held = list(_fitted(cast("list[object]", items), gaps))
        changed = changed if held == items else {**changed, "input": held}
    return body if changed is members else msgspec.json.encode(changed)


def _fitted(items: Iterable[object], gaps: Gaps) -> Iterator[object]:
    """Items with the members that are known: turns say that they are messages, and what the agent ran itself stays away."""
    for at, item in enumerate(items):
        match item:
            case {"type": str(kind)} if kind in _CALLS:
                known = {name: value for name, value in _object(item).items() if name in _CALLS[kind]}
                parts = objects(known.get("output"))
                is_text = parts and all(part.get("type") == "input_text" for part in parts)
                yield {**known, "output": "".join(part.get("text") or "" for part in parts)} if is_text else known
            case {"role": str(), "content": str() | list()}:
                turn = _object(item)
                if any("detail" in part for part in objects(turn["content"])):
                    gaps.skip(f"input[{at}].content.detail")
                yield {"type": "message", "role": turn["role"], "content": _content(turn)}
            case {"type": str(kind)} if kind in _OWN_ITEMS:
                gaps.skip(f"input[{at}]")
            case _:
                yield item


def _turn(message: Message, place: str, gaps: Gaps) -> Message:
    """A turn with what can be said: no blocks of a provider's own, no details of pictures, and results that are text."""
    parts: list[Part] = []
    for part in message.parts:
        match part:
            case Item():
                gaps.skip(f"{place}.provider_items")
            case File():
                gaps.refuse(f"{place}.content", "files are not taken there: send their text")
            case Image():
                if part.detail not in {None, "auto"}:
                    gaps.skip(f"{place}.content.image_url.detail")
                parts.append(replace(part, detail=None))
            case ToolResult():
                texts = tuple(held for held in part.content if isinstance(held, Text))
                if len(texts) < len(part.content):
                    gaps.refuse(f"{place}.content", "tools give text alone there")
                parts.append(replace(part, content=texts))
            case _:
                parts.append(part)
    return replace(message, parts=tuple(parts))


def _items(items: Iterable[Json], request: ChatRequest) -> Iterator[Json]:
    """The items of the input with the members that are known; results say whose they are, as some models want it."""
    calls = iter([part for message in request.messages for part in message.parts if isinstance(part, ToolCall)])
    known: dict[str, Json] = {}
    for item in items:
        match item:
            case {"type": "function_call", "call_id": str(call_id), "name": name, "arguments": arguments}:
                call = next(calls, None)
                signed = {_SIGNATURE: call.opaque.data} if call is not None and call.opaque is not None else {}
                known[call_id] = {"name": name, **signed}
                yield {"type": "function_call", "call_id": call_id, "arguments": arguments, **known[call_id]}
            case {"type": "function_call_output", "call_id": str(call_id), "output": output}:
                yield {**known.get(call_id, {}), "type": item["type"], "call_id": call_id, "output": output}
            case {"role": role}:
                yield {"type": "message", "role": role, "content": _content(item)}
            case _:
                yield item


def _content(item: Json) -> str | list[Json]:
    """What a turn says: of the assistant one text, of others parts without the detail of a picture."""
    content: Any = item["content"]
    if isinstance(content, str):
        return content
    if item["role"] == "assistant":
        return "".join(part.get("text") or part.get("refusal") or "" for part in objects(content))
    return [{name: value for name, value in part.items() if name != "detail"} for part in objects(content)]


def _search(options: Mapping[str, Any], gaps: Gaps) -> Json:
    """The search that a chat client asks for, which is a tool there.

    https://platform.openai.com/docs/guides/tools-web-search?api-mode=chat
    """
    tool: Json = {"type": "web_search"}
    if options.get("search_context_size"):
        tool["search_context_size"] = options["search_context_size"]
    where = _object(_object(options.get("user_location")).get("approximate"))
    if where.get("timezone"):
        gaps.skip(f"{_SEARCH}.user_location.approximate.timezone")
    known = {name: value for name, value in where.items() if name != "timezone" and value}
    return {**tool, "user_location": known} if known else tool


def _object(value: object) -> Json:
    return cast("Json", value) if isinstance(value, dict) else {}


def _placed(choice: Choice) -> Choice:
    """An answer with its sources in their places, in place of the searches that found them."""
    parts = choice.message.parts
    found = [result for part in parts if isinstance(part, Item) for result in _results(part)]
    sources = sources_of({_FOUND: found})
    placed = tuple(
        replace(part, citations=(*part.citations, *_others(part, sources))) if isinstance(part, Text) else _own(part)
        for part in parts
        if not _is_search(part)
    )
    return replace(choice, message=replace(choice.message, parts=placed))


def _others(text: Text, sources: Sequence[Citation]) -> list[Citation]:
    """The sources that marks in a text name, or that stand for all of it, but for those that the vendor names itself."""
    told = {(known.url, known.start, known.end) for known in text.citations}
    return [source for source in cited(text.text, sources) if (source.url, source.start, source.end) not in told]


def _own(part: Part) -> Part:
    """A call with the signature that has to come back with it."""
    return _signed(part) if isinstance(part, ToolCall) else part


def _signed(call: _Call) -> _Call:
    held = call.extra.get(_SIGNATURE)
    if not isinstance(held, str):
        return call
    extra = {name: value for name, value in call.extra.items() if name != _SIGNATURE}
    return replace(call, opaque=Opaque(ORIGIN, held), extra=extra)


def _is_search(part: object) -> bool:
    return isinstance(part, Item) and part.raw.get("type") == _FOUND


def _results(part: Item) -> Sequence[Json]:
    return objects(part.raw.get("results")) if _is_search(part) else ()


class _Decoder(OpenAIResponsesDecoder):
    """A stream of the Agent API. Sources are told once the text is whole, where its marks name them."""

    def __init__(self) -> None:
        super().__init__()
        self._text = Text("")
        self._found: list[Json] = []

    @override
    def feed(self, frame: bytes) -> Sequence[StreamEvent]:
        return list(self._told(super().feed(frame)))

    def _told(self, events: Iterable[StreamEvent]) -> Iterator[StreamEvent]:
        for event in events:
            if isinstance(event, PartDelta) and isinstance(event.part, Item) and _is_search(event.part):
                self._found += _results(event.part)
                continue
            if isinstance(event, TextDelta):
                self._text = replace(self._text, text=self._text.text + event.text)
            elif isinstance(event, CitationDelta):
                self._text = replace(self._text, citations=(*self._text.citations, event.citation))
            elif isinstance(event, Finish) and self._text.text:
                sources = _others(self._text, sources_of({_FOUND: self._found}))
                yield from (CitationDelta(source) for source in sources)
            yield _signed(event) if isinstance(event, ToolCallStart) else event
