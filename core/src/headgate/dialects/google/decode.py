"""generateContent requests to the canonical model. Pure functions; they raise InvalidRequest naming the place of a wrong shape.

Source: https://ai.google.dev/api/generate-content
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Sequence
from typing import Any, Literal

import msgspec
from msgspec import Raw

from headgate.chat import (
    ChatRequest,
    File,
    Image,
    Message,
    Part,
    Reasoning,
    ResponseFormat,
    Sampling,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from headgate.dialects.google.facts import NAME, TIERS, call_id, unsealed
from headgate.dialects.google.parts import Fields, arguments_of, decode_part
from headgate.dialects.google.schema import plain_schema
from headgate.dialects.openai.members import Json, typed
from headgate.errors import InvalidRequest

HINTS = frozenset(
    {
        "behavior",
        "labels",
        "mediaResolution",
        "mode",
        "partMetadata",
        "response",
        "responseJsonSchema",
        "safetySettings",
        "thoughtSignature",
    }
)
"""Members of a request of this dialect that another can leave out: they never ask for another answer."""
_MODES: dict[str, Literal["auto", "none", "required"]] = {
    "AUTO": "auto",
    "VALIDATED": "auto",
    "ANY": "required",
    "NONE": "none",
}
_SCHEMAS = ("responseJsonSchema", "_responseJsonSchema", "responseSchema")
_OWN_MODES = frozenset({"VALIDATED"})
"""Modes that say more than the canonical choice: that arguments shall be valid by their schemas is only hinted at."""


def decode_request(data: Json) -> ChatRequest:
    """A chat request from decoded JSON. Its model and whether it streams stand in the URL, not here."""
    body = Fields(data)
    system = body.take("systemInstruction")
    turns: list[Message] = [] if system is None else [_decode_system(system)]
    calls = _Calls()
    turns += _whole([_decode_content(content, calls) for content in body.each("contents")])
    if len(turns) == (system is not None):
        raise InvalidRequest("`contents` must be a list with at least one content", param="contents")
    config = _decode_config(body)
    tools = [tool for held in body.each("tools") for tool in _decode_tools(held)]
    tier = body.find("serviceTier", str)
    return ChatRequest(
        model=(body.find("model", str) or "").removeprefix("models/"),
        messages=tuple(turns),
        sampling=_decode_sampling(config),
        tools=tuple(tools),
        tool_choice=_decode_choice(body),
        response_format=_decode_format(config),
        thinking=_decode_thinking(config),
        service_tier=TIERS.get(tier.lower(), tier) if tier and tier.lower() != "unspecified" else None,
        store=body.find("store", bool),
        dialect=NAME,
        extra=body.rest(),
    )


def _decode_config(body: Fields) -> Fields:
    """The settings, without what asks for nothing: text alone is what every model answers with."""
    config = body.inner_if_given("generationConfig") or Fields({})
    wanted: Any = config.peek("responseModalities")
    if wanted in ("TEXT", ["TEXT"]):
        config.take("responseModalities")
    return config


def _decode_system(value: object) -> Message:
    """What the model is told first; its role says nothing."""
    if isinstance(value, str):
        return Message("system", (Text(value),))
    content = Fields(value, "systemInstruction")
    content.take("role")
    parts = [part for held in content.each("parts") if (part := decode_part(held)) is not None]
    return Message("system", tuple(parts), extra=content.rest())


_Numbers = defaultdict[str, deque[int]]


class _Calls:
    """The calls of a history so far, to number those that came without an id and to find what a result answers."""

    def __init__(self) -> None:
        self._open: dict[int, str] = {}
        self._by_id = _Numbers(deque)
        self._by_name = _Numbers(deque)
        self._made_by_name = _Numbers(deque)
        self._count = 0

    def add(self, given: str | None, name: str, arguments: str) -> str:
        """A call; its id."""
        self._count += 1
        made = given or call_id(None, "", self._count, 0, f"{name}\0{arguments}".encode())
        self._open[self._count] = made
        self._by_id[made].append(self._count)
        self._by_name[name].append(self._count)
        if not given:
            self._made_by_name[name].append(self._count)
        return made

    def answered(self, given: str | None, name: str) -> str:
        """The id of the call that a result answers: its own, or the first open one of that name.

        Gemini CLI gives results ids of its own making where Google's calls came without any.
        """
        number = self._first(self._by_id, given) if given else None
        if number is None:
            number = self._first(self._made_by_name if given else self._by_name, name)
        return (given or name) if number is None else self._open.pop(number)

    def _first(self, numbers: _Numbers, key: str) -> int | None:
        """The first of these calls that is open."""
        waiting = numbers.get(key)
        while waiting and waiting[0] not in self._open:
            waiting.popleft()
        return waiting[0] if waiting else None


def _decode_content(content: Fields, calls: _Calls) -> Message:
    said = content.take("role")
    role = said.lower() if isinstance(said, str) else "user"
    if role not in {"user", "model", "function", "tool", "system"}:
        raise InvalidRequest(f"`{content.at('role')}` must be `user` or `model`", param=content.at("role"))
    joined = _Joined(is_said=role == "model")
    number = 0
    for held in content.each("parts"):
        part = _decode_result(held, calls) or _decode_call(held, calls, number) or decode_part(held)
        number += isinstance(part, ToolCall)
        if part is not None:
            joined.add(part)
    parts = joined.parts()
    if role in {"model", "system"}:
        return Message("assistant" if role == "model" else "system", tuple(parts), extra=content.rest())
    is_answer = bool(parts) and all(isinstance(part, ToolResult) for part in parts)
    return Message("tool" if is_answer else "user", tuple(parts), extra=content.rest())


def _whole(turns: Sequence[Message]) -> list[Message]:
    """The turns with those of the model as one each: google-genai's chats keep every chunk of a stream as a content."""
    runs: list[list[Message]] = []
    for turn in turns:
        last = runs[-1][-1] if runs else None
        if last is None or {last.role, turn.role} != {"assistant"} or last.extra or turn.extra:
            runs.append([turn])
        else:
            runs[-1].append(turn)
    return [_one_turn(run) for run in runs]


def _one_turn(run: Sequence[Message]) -> Message:
    """Turns of the model's in a row as one."""
    if len(run) == 1:
        return run[0]
    joined, number = _Joined(is_said=True), 0
    for turn in run:
        before = number
        for part in turn.parts:
            is_call = isinstance(part, ToolCall)
            joined.add(msgspec.structs.replace(part, index=part.index + before) if is_call else part)
            number += is_call
    return msgspec.structs.replace(run[0], parts=tuple(joined.parts()))


class _Joined:
    """The parts of a turn, with pieces that belong together as one part.

    A text of the model's (`is_said`) goes on, and so does thinking, its signature last: whoever signed it wants it whole.
    """

    def __init__(self, *, is_said: bool) -> None:
        self._is_said = is_said
        self._runs: list[list[Part]] = []

    def add(self, part: Part) -> None:
        """One more part."""
        if self._runs and self._goes_on(self._runs[-1][-1], part):
            self._runs[-1].append(part)
        else:
            self._runs.append([part])

    def parts(self) -> list[Part]:
        """All parts so far."""
        return [_one_part(run) if len(run) > 1 else run[0] for run in self._runs]

    def _goes_on(self, last: Part, part: Part) -> bool:
        if isinstance(part, Text) and isinstance(last, Text):
            return self._is_said and part == Text(part.text) and last == Text(last.text)
        if isinstance(part, Reasoning) and isinstance(last, Reasoning):
            return last.opaque is None and not last.extra
        return False


def _one_part(run: Sequence[Part]) -> Part:
    last, text = run[-1], "".join(part.text for part in run if isinstance(part, Text | Reasoning))
    if not isinstance(last, Reasoning):
        return Text(text)
    return msgspec.structs.replace(last, text=text, is_redacted=last.is_redacted and not text, is_summary=bool(text))


def _decode_call(part: Fields, calls: _Calls, number: int) -> ToolCall | None:
    call = part.inner_if_given("functionCall")
    if call is None:
        return None
    name, arguments = call.need("name", str), arguments_of(call)
    made = calls.add(call.find("id", str) or None, name, arguments)
    opaque, _ = unsealed(part.find("thoughtSignature", str))
    return ToolCall(made, name, arguments, number, opaque=opaque, extra=part.rest())


def _decode_result(part: Fields, calls: _Calls) -> ToolResult | None:
    answer = part.inner_if_given("functionResponse")
    if answer is None:
        return None
    name, held = answer.find("name", str) or "", answer.take("response")
    made = calls.answered(answer.find("id", str) or None, name)
    text, is_error = _said_by(held)
    media = [decode_part(one) for one in answer.each("parts")]
    shown = [one for one in media if isinstance(one, Text | Image | File)]
    if len(shown) < len(media):
        place = answer.at("parts")
        raise InvalidRequest(f"`{place}`: a tool answers with images and files only", param=place)
    content = (Text(text), *shown) if text or not shown else tuple(shown)
    return ToolResult(made, content, is_error, name or None, extra=part.rest())


def _said_by(held: object) -> tuple[str, bool]:
    """What a result says, and whether it is an error.

    `output` and `error` have a meaning; anything else is the answer as a whole:
    https://ai.google.dev/api/caching#FunctionResponse
    """
    if held is None:
        return "", False
    raw = bytes(held) if isinstance(held, Raw) else msgspec.json.encode(held)
    if raw == b"null":
        return "", False
    try:
        members = msgspec.json.decode(raw, type=dict[str, Raw])
    except msgspec.DecodeError:
        return _plain(raw), False
    for name in ("output", "error"):
        if set(members) == {name}:
            return _plain(bytes(members[name])), name == "error"
    return _plain(raw), False


def _plain(raw: bytes) -> str:
    """JSON as a text: a string without its quotes, anything else as it is written."""
    value: Any = msgspec.json.decode(raw) if raw[:1] == b'"' else None
    return value if isinstance(value, str) else msgspec.json.format(raw, indent=-1).decode()


def _decode_tools(held: Fields) -> list[Tool]:
    """The functions of one tool object, and what else it offers, which only Google runs."""
    tools = [_decode_function(function) for function in held.each("functionDeclarations")]
    return tools + [Tool(name, kind=name, raw={name: value}) for name, value in held.rest().items()]


def _decode_function(function: Fields) -> Tool:
    schema = function.find("parametersJsonSchema", Json)
    older = function.find("parameters", Json)
    if schema is None and older is not None:
        schema = plain_schema(older)
    name, description = function.need("name", str), function.find("description", str)
    return Tool(name, description, schema, extra=function.rest())


def _decode_choice(body: Fields) -> ToolChoice | None:
    config = body.inner_if_given("toolConfig")
    calling = config.inner_if_given("functionCallingConfig") if config is not None else None
    if calling is None:
        return None
    word = (calling.find("mode", str) or "").upper()
    allowed = tuple(calling.find("allowedFunctionNames", list[str]) or ())
    mode = _MODES.get(word)
    if mode is None:
        if word not in {"", "MODE_UNSPECIFIED"}:
            place = calling.at("mode")
            raise InvalidRequest(f"`{place}` must be one of AUTO, ANY, NONE, VALIDATED", param=place)
        return ToolChoice("auto", allowed=allowed) if allowed else None
    if mode == "required" and len(allowed) == 1:
        return ToolChoice("named", allowed[0])
    if word in _OWN_MODES:
        calling.put("mode", word)
    return ToolChoice(mode, allowed=allowed)


def _decode_sampling(config: Fields) -> Sampling:
    stop = config.take("stopSequences")
    return Sampling(
        temperature=config.find("temperature", float),
        top_p=config.find("topP", float),
        top_k=config.count("topK"),
        max_tokens=config.count("maxOutputTokens"),
        stop=(stop,) if isinstance(stop, str) else tuple(typed(stop or [], list[str], config.at("stopSequences"))),
        seed=config.count("seed"),
        presence_penalty=config.find("presencePenalty", float),
        frequency_penalty=config.find("frequencyPenalty", float),
        logprobs=config.find("responseLogprobs", bool),
        top_logprobs=config.count("logprobs"),
        n=config.count("candidateCount"),
    )


def _decode_format(config: Fields) -> ResponseFormat | None:
    """`responseMimeType` with or without a schema. Another media type than JSON stays where it was."""
    kind = config.take("responseMimeType")
    schemas = [config.take(name) for name in _SCHEMAS]
    if kind == "application/json":
        found: list[Any] = [held for held in schemas if isinstance(held, dict)]
        if not found:
            return ResponseFormat("json_object")
        schema: Json = found[0]
        return ResponseFormat("json_schema", schema=plain_schema(schema) if schema is schemas[2] else schema)
    for name, held in zip(("responseMimeType", *_SCHEMAS), (kind, *schemas), strict=True):
        if held is not None and held != "text/plain":
            config.put(name, held)
    return None


def _decode_thinking(config: Fields) -> Thinking | None:
    held = config.inner_if_given("thinkingConfig")
    if held is None:
        return None
    level, budget = held.find("thinkingLevel", str), held.count("thinkingBudget")
    effort = level.lower() if level and level.upper() != "THINKING_LEVEL_UNSPECIFIED" else None
    shown = held.find("includeThoughts", bool)
    if budget == 0:
        return Thinking("none", 0, "disabled", is_shown=shown)
    if budget is not None and budget < 0:
        return Thinking(effort, None, "adaptive", is_shown=shown)
    return Thinking(effort, budget, is_shown=shown)
