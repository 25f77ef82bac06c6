"""Chat answers, built in the canonical model and encoded by the dialect the caller speaks."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import msgspec

from headgate.chat import (
    ChatReply,
    ChatRequest,
    Choice,
    Finish,
    Message,
    Start,
    StreamEvent,
    Text,
    TextDelta,
    Tool,
    ToolCall,
    ToolCallDelta,
    ToolCallStart,
    ToolResult,
    Usage,
    UsageEvent,
)
from headgate.errors import InvalidRequest, UnsupportedField
from headgate.suggest import did_you_mean
from headgate_demo.knobs import Knobs
from headgate_demo.schema import example_of
from headgate_demo.text import CREATED, MOST_CHOICES, MOST_TOKENS, at_least_one, count, cut, digest, pieces, say


def answer_chat(request: ChatRequest, knobs: Knobs, name: str, prompt_tokens: int) -> ChatReply:
    """The answer to `request`; `name` is what its ids are made of. Raises InvalidRequest for what it cannot mean."""
    wanted = request.sampling.n
    indexes = range(1 if wanted is None else at_least_one("n", wanted, MOST_CHOICES))
    if len(indexes) * (knobs.tokens or 0) > MOST_TOKENS:
        raise InvalidRequest(f"`demo.tokens` times `n` is more than {MOST_TOKENS}", param="demo.tokens")
    tool = _called_tool(request, knobs)
    if tool is not None:
        made = _calls(tool, name, indexes)
    else:
        made = tuple(
            _speech(request, text, index) for index, text in zip(indexes, _texts(request, knobs), strict=False)
        )
    completion = sum(_tokens(choice) for choice in made)
    return ChatReply(f"chatcmpl-{name[:24]}", request.model, made, CREATED, Usage(prompt_tokens, completion))


def events_of(reply: ChatReply, size_bytes: int | None) -> Iterator[StreamEvent]:
    """The same answer as stream events, text in pieces of `size_bytes` or one token each."""
    yield Start(reply.id, reply.model, reply.created)
    for choice in reply.choices:
        for part in choice.message.parts:
            if isinstance(part, ToolCall):
                yield ToolCallStart(part.index, part.id, part.name, choice.index)
                for piece in pieces(part.arguments, size_bytes):
                    yield ToolCallDelta(part.index, piece, choice.index)
            elif isinstance(part, Text):
                for piece in pieces(part.text, size_bytes):
                    yield TextDelta(piece, choice.index)
        yield Finish(choice.finish or "stop", choice.index)
    yield UsageEvent(reply.usage or Usage())


def _calls(tool: Tool, name: str, indexes: range) -> tuple[Choice, ...]:
    """One call of `tool` per choice, with the smallest arguments its schema accepts."""
    example = example_of(tool.parameters or {}, tool.name)
    arguments = msgspec.json.encode(example if isinstance(example, dict) else {}).decode()
    calls = [ToolCall(f"call_{digest(name, index)[:24]}", tool.name, arguments) for index in indexes]
    return tuple(Choice(Message("assistant", (call,)), "tool_calls", index=index) for index, call in enumerate(calls))


def _speech(request: ChatRequest, text: str, index: int) -> Choice:
    spoken = cut(text, request.sampling.max_tokens, request.sampling.stop)
    return Choice(Message("assistant", (Text(spoken.text),)), spoken.finish, index=index)


def _texts(request: ChatRequest, knobs: Knobs) -> Iterator[str]:
    """What each choice says, in order and without end."""
    wanted = request.response_format
    verb, said = _said(request)
    if wanted is not None and wanted.kind == "json_schema":
        example = example_of(wanted.schema or {}, wanted.name or "response_format")
        return itertools.repeat(msgspec.json.encode(example).decode())
    if wanted is not None and wanted.kind == "json_object":
        return itertools.repeat(msgspec.json.encode({"echo": said}).decode())
    return (say(said, index, knobs.tokens, verb) for index in itertools.count())


def _said(request: ChatRequest) -> tuple[str, str]:
    """What to echo: the last user message, or what a tool answered to the last call."""
    last = request.messages[-1]
    results = [part for part in last.parts if isinstance(part, ToolResult)]
    if results:
        return "Your tool answered", "".join(
            item.text for result in results for item in result.content if isinstance(item, Text)
        )
    user = next((message for message in reversed(request.messages) if message.role == "user"), None)
    return "You said", (user.text if user else "") or "nothing I can read"


def _called_tool(request: ChatRequest, knobs: Knobs) -> Tool | None:
    """The tool this answer must call; None when it may speak."""
    choice = request.tool_choice
    if choice is not None and choice.mode == "other":
        raise UnsupportedField("the demo knows `tool_choice` none, auto, required and by name", param="tool_choice")
    named = choice.name if choice is not None and choice.mode == "named" else None
    wanted, field = (knobs.tool, "demo.tool") if knobs.tool is not None else (named, "tool_choice")
    if wanted is None and (choice is None or choice.mode != "required"):
        return None
    functions = {tool.name: tool for tool in request.tools if tool.kind == "function"}
    if wanted is None and functions:
        return next(iter(functions.values()))
    if wanted is None or wanted not in functions:
        hint = did_you_mean(wanted or "", functions)
        raise InvalidRequest(f"`{field}` wants a function that is not among `tools`{hint}", param=field)
    return functions[wanted]


def _tokens(choice: Choice) -> int:
    return sum(
        count(part.arguments) if isinstance(part, ToolCall) else count(part.text)
        for part in choice.message.parts
        if isinstance(part, ToolCall | Text)
    )
