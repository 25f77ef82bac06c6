"""Sections about translation: the CPU of a conversation by the number of its turns, and of a piece of a streamed answer."""

import gc
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from scale_lab import Lab
from scale_parts import LINEAR, Section, number

from headgate.builtin import Core
from headgate.chat import (
    ChatRequest,
    Finish,
    Message,
    ReasoningDelta,
    Start,
    StreamEvent,
    Text,
    TextDelta,
    ToolCallDelta,
    ToolCallStart,
)
from headgate.config.installed import Installed
from headgate.dialects import ChatDialect, Gaps
from headgate.provider import Provider
from headgate.secret import Secret
from headgate.testing import ReplayUpstream
from headgate.translation import write

TURNS = (250, 1000, 4000)
SETTINGS: Mapping[str, Mapping[str, str]] = {"bedrock": {"region": "us-east-1"}}
MODELS = {"anthropic": "claude-sonnet-4-6", "bedrock": "anthropic.claude-sonnet-4-6", "google": "gemini-3-pro-preview"}
VENDORS = ("openai", "anthropic", "google", "bedrock", "cohere")

Json = dict[str, Any]
_USER: Json = {"role": "user", "content": "and now?"}
_MARKED: Json = {"role": "user", "content": [{"type": "text", "text": "?", "cache_control": {"type": "ephemeral"}}]}
_TEXT: Json = {"role": "model", "parts": [{"text": "so "}]}


def _call(number: int) -> Json:
    return {"id": f"call_{number}", "type": "function", "function": {"name": "look", "arguments": '{"at":1}'}}


def _asked(*numbers: int) -> Json:
    return {"role": "assistant", "tool_calls": [_call(number) for number in numbers]}


def _found(number: int) -> Json:
    return {"role": "tool", "tool_call_id": f"call_{number}", "content": "ok"}


def _chat(messages: list[Json]) -> Json:
    return {"model": "m", "messages": [_USER, *messages], "tools": [{"type": "function", "function": {"name": "look"}}]}


def _thoughts(count: int) -> list[Json]:
    summary = [{"type": "summary_text", "text": "hm"}]
    return [{"type": "reasoning", "id": f"rs_{at}", "summary": summary} for at in range(count)]


CASES: Mapping[str, tuple[str, Callable[[int], Json]]] = {
    "calls and results in turn": (
        "openai.chat",
        lambda n: _chat([turn for at in range(n) for turn in (_asked(at), _found(at))]),
    ),
    "ids that repeat": ("openai.chat", lambda n: _chat([turn for _ in range(n) for turn in (_asked(0), _found(0))])),
    "parallel calls, results in another order": (
        "openai.chat",
        lambda n: _chat([_asked(*range(n)), *map(_found, reversed(range(n)))]),
    ),
    "results that come late": (
        "openai.chat",
        lambda n: _chat([*(turn for at in range(n) for turn in (_asked(at), _USER)), *map(_found, range(n))]),
    ),
    "instructions in a row": ("openai.chat", lambda n: _chat([{"role": "system", "content": "be brief"}] * n)),
    "reasoning items": ("openai.responses", lambda n: {"model": "m", "input": [_USER, *_thoughts(n), _USER]}),
    "cache marks": ("anthropic.messages", lambda n: {"model": "m", "max_tokens": 9, "messages": [_MARKED] * n}),
    "an answer in chunks": (
        "google.generate",
        lambda n: {"contents": [{"role": "user", "parts": [{"text": "go"}]}, *[_TEXT] * n]},
    ),
}
"""What is asked by the number of turns, and in which dialect."""
PIECES: Mapping[str, tuple[Sequence[StreamEvent], StreamEvent]] = {
    "text": ((), TextDelta("word ")),
    "thinking": ((), ReasoningDelta("word ")),
    "arguments": ((ToolCallStart(0, "c", "look"), ToolCallDelta(0, '{"a":"')), ToolCallDelta(0, "word ")),
}
"""What a stream is made of: what stands before the pieces, and a piece."""
_PIECES = 1000
_READ_BYTES = 1400


def measure_turns(lab: Lab, turns: Sequence[int] = TURNS) -> list[Section]:
    """CPU to read a client's conversation and to write the vendor's, with the collector off."""
    rounds = lab.pick(5, 3)
    clients = {dialect.name: dialect for dialect in Core().dialects() if isinstance(dialect, ChatDialect)}
    vendors = {name: _vendor(name) for name in VENDORS}
    rows: list[list[str]] = []
    steep: list[str] = []
    for case, (spoken, make) in CASES.items():
        bodies = [msgspec.json.encode(make(count)) for count in turns]
        for name, vendor in vendors.items():
            dialect = _dialect(vendor, clients)
            if dialect.name == spoken:
                continue
            took = [min(_cpu_s(clients[spoken], vendor, dialect, body) for _ in range(rounds)) for body in bodies]
            growth = (took[-1] / turns[-1]) / (took[-2] / turns[-2])
            steep += [f"{case} to {name}"] if growth > LINEAR else []
            rows.append([case, spoken, name, *(number(each * 1000) for each in took), f"x{growth:.2f}"])
    seen = f"MORE THAN LINEAR: {', '.join(steep)}" if steep else "linear or less"
    note = f"expected linear, {seen} (by what a turn costs at {turns[-1]} of what it costs at {turns[-2]})"
    pieces = _pieces({**clients, **{d.name: d for d in (_dialect(each, clients) for each in vendors.values())}}, rounds)
    columns = ["turns", "client", "to", *(f"ms at {count}" for count in turns), "per turn"]
    return [Section("Conversations: CPU to translate one", note, columns, rows), pieces]


def _pieces(dialects: Mapping[str, ChatDialect], rounds: int) -> Section:
    """What one piece of a streamed answer costs to read, in each dialect that says it in pieces."""
    rows: list[list[str]] = []
    for name, dialect in sorted(dialects.items()):
        took: list[float] = []
        for opening, piece in PIECES.values():
            data = _stream(dialect, [Start("r", "m"), *opening, *[piece] * _PIECES, Finish("stop")])
            took.append(min(_read_s(dialect, data) for _ in range(rounds)) / _PIECES * 1e6)
        rows.append([name, *map(number, took), f"x{took[-1] / took[0]:.2f}"])
    note = "expected: arguments cost about what text does (next to nothing where the dialect says them whole)"
    return Section(
        "Streams: CPU to read a piece", note, ["dialect", *(f"us per {kind}" for kind in PIECES), "of text"], rows
    )


def _stream(dialect: ChatDialect, events: Sequence[StreamEvent]) -> bytes:
    encoder = dialect.stream_encoder(ChatRequest(model="m", messages=(Message("user", (Text("hi"),)),), stream=True))
    return b"".join((*map(encoder.feed, events), encoder.end()))


def _read_s(dialect: ChatDialect, data: bytes) -> float:
    framer, decoder = dialect.framer(), dialect.stream_decoder()
    began = time.process_time()
    for at in range(0, len(data), _READ_BYTES):
        for frame in framer.feed(data[at : at + _READ_BYTES]):
            decoder.feed(frame)
    return time.process_time() - began


def _vendor(name: str) -> Provider:
    kind = Installed().provider(name)
    assert kind is not None, name
    config = {"provider": name, "api_key": "sk-bench", **SETTINGS.get(name, {})}
    held = msgspec.convert(config, kind.Config, dec_hook=lambda _, value: Secret(value))
    return kind(name, held, ReplayUpstream())


def _dialect(vendor: Provider, common: Mapping[str, ChatDialect]) -> ChatDialect:
    """What the vendor is spoken to in: its own dialect where it has one."""
    own = (dialect for dialect in vendor.codecs.values() if isinstance(dialect, ChatDialect))
    return next(own, None) or next(common[name] for name in vendor.dialects.values() if name in common)


def _cpu_s(client: ChatDialect, vendor: Provider, dialect: ChatDialect, body: bytes) -> float:
    gaps = Gaps(vendor.name, "drop")
    gc.collect()
    gc.disable()
    try:
        began = time.process_time()
        asked = msgspec.structs.replace(client.decode_request(body), model=MODELS.get(vendor.name, "m"))
        try:
            write(asked, vendor, dialect, gaps).send(None)
        except StopIteration:
            return time.process_time() - began
        raise AssertionError("nothing here waits for a network")
    finally:
        gc.enable()
