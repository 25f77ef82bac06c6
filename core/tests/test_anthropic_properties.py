"""Whatever a caller or a model says: written and read again it means the same, and the official types accept it."""

from __future__ import annotations

import contextlib
from typing import Any

import msgspec
from core.tests.anthropic_sdk import DIALECT, Json, SdkMessage, decode_stream, decoded, encode_stream, gaps, judged
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.chat import (
    ChatReply,
    ChatRequest,
    Choice,
    File,
    Image,
    Item,
    Message,
    Opaque,
    Part,
    Reasoning,
    Sampling,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Usage,
    collect,
    replay,
)
from headgate.errors import ProviderFailed, RequestError

WORDS = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=12).filter(
    lambda text: text.strip() == text
)
NAMES = st.from_regex(r"[a-zA-Z0-9_-]{1,12}", fullmatch=True)
COUNTS = st.integers(0, 10**9)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | WORDS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(WORDS, inner, max_size=2),
    max_leaves=4,
)
MARKS = st.none() | st.sampled_from([{"type": "ephemeral"}, {"type": "ephemeral", "ttl": "1h"}])
DATA = st.sampled_from(["AAAA", "iVBORw0KGgo="])
OPAQUES = st.builds(Opaque, st.sampled_from(["google", "openai"]), WORDS, NAMES | st.just(""))
OWN = st.builds(Opaque, st.just("anthropic"), WORDS.filter(lambda text: not text.startswith("headgate")))


def images() -> st.SearchStrategy[Part]:
    kinds = st.sampled_from(["image/png", "image/webp"])
    return st.one_of(
        st.builds(Image, data=DATA, media_type=kinds),
        st.builds(Image, url=st.just("https://e.org/a.png")),
        st.builds(Image, file_id=NAMES),
    )


def files() -> st.SearchStrategy[Part]:
    return st.one_of(
        st.builds(
            File, data=DATA, media_type=st.just("application/pdf"), title=WORDS, context=WORDS, cites=st.booleans()
        ),
        st.builds(File, file_id=NAMES),
    )


TEXTS = st.builds(Text, WORDS)
THOUGHTS = st.builds(Reasoning, WORDS, OWN) | st.builds(Reasoning, st.just(""), OWN, is_redacted=st.just(True))
ITEMS = st.builds(
    Item, st.just("anthropic.messages"), st.just({"type": "mcp_tool_use", "id": "i", "name": "n", "input": {}})
)


@st.composite
def histories(draw: st.DrawFn) -> tuple[Message, ...]:
    """Turns as a client of Anthropic's writes them: by turns, results behind their calls."""
    messages: list[Message] = []
    if draw(st.booleans()):
        parts = draw(st.lists(TEXTS, min_size=1, max_size=2))
        messages.append(Message("system", tuple(parts)))
    calls = 0
    for _ in range(draw(st.integers(1, 3))):
        user = draw(st.lists(TEXTS | images() | files(), min_size=1, max_size=2))
        messages.append(Message("user", tuple(user)))
        said = draw(st.lists(THOUGHTS | TEXTS | ITEMS, min_size=1, max_size=2))
        count = draw(st.integers(0, 2))
        asked = [ToolCall(f"toolu_{calls + at}", draw(NAMES), draw(arguments()), at) for at in range(count)]
        calls += count
        messages.append(Message("assistant", (*said, *asked)))
        if asked:
            messages.append(Message("tool", tuple(draw(result(call.id)) for call in asked)))
    messages.append(Message("user", (draw(TEXTS),)))
    return tuple(messages)


def arguments() -> st.SearchStrategy[str]:
    return st.dictionaries(WORDS, VALUES, max_size=2).map(lambda value: msgspec.json.encode(value).decode())


def result(call_id: str) -> st.SearchStrategy[ToolResult]:
    content: Any = st.lists(TEXTS | images(), max_size=2).map(tuple)
    return st.builds(ToolResult, st.just(call_id), content, st.booleans())


SCHEMA: Json = {"type": "object", "properties": {"n": {"type": "integer"}}}
TOOLS = st.lists(
    st.builds(Tool, NAMES, st.none() | WORDS, st.just(SCHEMA), st.none() | st.booleans(), cache=MARKS),
    max_size=2,
    unique_by=lambda tool: tool.name,
)


def requests() -> st.SearchStrategy[ChatRequest]:
    rates = st.none() | st.floats(0, 1)
    return st.builds(
        ChatRequest,
        NAMES,
        histories(),
        st.builds(Sampling, rates, rates, st.none() | COUNTS, COUNTS, st.lists(WORDS, max_size=2).map(tuple)),
        TOOLS.map(lambda tools: (Tool("always", None, SCHEMA), *tools)),
        st.none() | st.sampled_from([ToolChoice("auto"), ToolChoice("required"), ToolChoice("named", "always")]),
        thinking=st.none()
        | st.builds(Thinking, st.sampled_from(["low", "max"]), mode=st.sampled_from(["adaptive", "disabled"])),
        stream=st.booleans(),
        include_usage=st.just(value=True),
        user=st.none() | WORDS,
        dialect=st.just("anthropic.messages"),
    )


@settings(max_examples=40, deadline=None)
@given(requests())
def test_requests_keep_their_meaning(request: ChatRequest) -> None:
    """A request that Anthropic can be asked comes back as it was, and nothing of it is left out."""
    held = gaps()
    body = DIALECT.encode_request(request, held)
    judged(body)
    assert joined(DIALECT.decode_request(body)) == joined(request)
    assert held.dropped == []


def joined(request: ChatRequest) -> ChatRequest:
    """A request whose users say in one turn what follows the results of their tools."""
    messages: list[Message] = []
    for message in request.messages:
        role = "user" if message.role == "tool" else message.role
        if messages and messages[-1].role == role:
            messages[-1] = Message(role, (*messages[-1].parts, *message.parts))
        else:
            messages.append(Message(role, message.parts))
    return msgspec.structs.replace(request, messages=tuple(messages))


def answers() -> st.SearchStrategy[ChatReply]:
    """What any vendor answers: thinking, text and calls, some of them signed by it."""
    thought = st.builds(Reasoning, WORDS, st.none() | OPAQUES) | st.builds(Reasoning, WORDS, OPAQUES, item_id=NAMES)
    text = st.builds(Text, WORDS, opaque=st.none() | OPAQUES)
    calls = st.lists(st.tuples(NAMES, arguments(), st.none() | OPAQUES), max_size=2)
    return st.builds(
        answer,
        NAMES,
        st.lists(thought, max_size=1),
        st.lists(text, max_size=1),
        calls,
        st.builds(usage, COUNTS, COUNTS, COUNTS),
    )


def usage(plain: int, cached: int, completion: int) -> Usage:
    return Usage(plain + cached, completion, cached)


def answer(
    name: str, thoughts: list[Part], texts: list[Part], calls: list[tuple[str, str, Opaque | None]], counts: Usage
) -> ChatReply:
    asked = [ToolCall(f"call_{at}", call, said, at, opaque=opaque) for at, (call, said, opaque) in enumerate(calls)]
    message = Message("assistant", (*thoughts, *texts, *asked))
    return ChatReply(name, name, (Choice(message, "tool_calls" if asked else "stop"),), usage=counts)


def meaning(reply: ChatReply) -> object:
    held, counts = reply.choices[0], reply.usage
    return (
        reply.id,
        reply.model,
        held.message,
        held.finish,
        counts and (counts.prompt, counts.completion, counts.cached),
    )


@settings(deadline=None)
@given(answers())
def test_answers_keep_their_meaning(reply: ChatReply) -> None:
    """An answer of any vendor, whole or streamed, reads as what it was."""
    body = DIALECT.encode_reply(reply, decoded())
    SdkMessage.model_validate_json(body)
    assert meaning(DIALECT.decode_reply(body)) == meaning(reply)
    assert meaning(collect(decode_stream(encode_stream(replay(reply))))) == meaning(reply)


@settings(deadline=None)
@given(answers())
def test_answers_come_back_in_the_history(reply: ChatReply) -> None:
    """A client that sends an answer back as it came says what the model said, signatures and all."""
    content = msgspec.json.decode(DIALECT.encode_reply(reply, decoded()))["content"]
    again = decoded("x", {"role": "assistant", "content": content}, "y").messages[1]
    assert again == reply.choices[0].message


@settings(deadline=None)
@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode) | VALUES.map(msgspec.json.encode))
def test_nothing_crashes_a_decoder(data: bytes) -> None:
    """Bytes of any kind are a request error or the provider's fault, nothing else."""
    frame = b"data: " + data.replace(b"\n", b" ").replace(b"\r", b" ") + b"\n\n"
    with contextlib.suppress(RequestError):
        DIALECT.decode_request(data)
    with contextlib.suppress(ProviderFailed):
        DIALECT.decode_reply(data)
    with contextlib.suppress(ProviderFailed):
        decode_stream(frame)
