"""Providers that fail in the middle of a routed request, and what the client, the record and the provider then see.

Every call to the scripted provider writes a stamp of its own into its text, so that no answer can hide that it was made
of two calls. A test module takes the fixtures with `gateway = failing.gateway` and `lab = failing.lab`.
"""

from __future__ import annotations

import asyncio
import json
import re
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import pytest
from tests.door.upstream import STREAM_HEAD, Call, Upstream, json_response
from tests.harness import Answer, Gateway, Wire, chunked, eventually, eventually_idle, merged, post
from typing_extensions import override

CROWD = 12
ANSWER_S = 20.0
PIECES = 3
_STAMP = re.compile(r"#(\d{6})")

Manner = Callable[[Call, bytes], Awaitable[None]]
"""How a call goes wrong; it is given the whole response that it should have been."""
Json = dict[str, Any]


@dataclass(frozen=True)
class Dialect:
    """How one vendor's chat looks on the wire. `opening` events say nothing yet; a text piece each follows."""

    name: str
    path: str
    stream_path: str
    opening: int
    end: bytes
    events: Callable[[Sequence[str]], tuple[bytes, ...]]
    reply: Callable[[str], Json]
    text_of: Callable[[Json], str]
    is_error: Callable[[Json], bool]
    asked: Callable[[str], Json]

    def texts(self, stamp: int) -> list[str]:
        """The text pieces of the call with this stamp."""
        return [f"#{stamp:06d}{letter}" for letter in "abc"[:PIECES]]

    def response(self, stamp: int, *, stream: bool) -> bytes:
        """The whole response of a call that goes well, each event in a chunk of its own."""
        if not stream:
            return json_response(self.reply("".join(self.texts(stamp))))
        events = b"".join(map(chunked, self.events(self.texts(stamp))))
        return STREAM_HEAD + b"transfer-encoding: chunked\r\n\r\n" + events + b"0\r\n\r\n"

    def marks(self) -> list[int]:
        """Where in a streamed response each event is complete, its framing left aside."""
        at, found = len(STREAM_HEAD) + len(b"transfer-encoding: chunked\r\n\r\n"), list[int]()
        for event in self.events(self.texts(0)):
            found.append(at + len(b"%x\r\n" % len(event)) + len(event))
            at += len(chunked(event))
        return found


def _data(data: Json, kind: str = "") -> bytes:
    named = f"event: {kind}\n".encode() if kind else b""
    return named + b"data: " + json.dumps(data, separators=(",", ":")).encode() + b"\n\n"


def _chat_event(delta: Json, finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return _data({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]})


def _chat_events(texts: Sequence[str]) -> tuple[bytes, ...]:
    role = _chat_event({"role": "assistant", "content": ""})
    said = [_chat_event({"content": text}) for text in texts]
    return (role, *said, _chat_event({}, "stop"), b"data: [DONE]\n\n")


def _chat_reply(text: str) -> Json:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    return {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}


def _chat_text(data: Json) -> str:
    choices: list[Json] = data.get("choices", [])
    said: list[Json] = [choice.get("delta") or choice.get("message") or {} for choice in choices]
    return "".join(one.get("content") or "" for one in said)


_MESSAGE: Json = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m"}
_USED = {"input_tokens": 5, "output_tokens": 3}


def _message_events(texts: Sequence[str]) -> tuple[bytes, ...]:
    start: Json = {**_MESSAGE, "content": [], "stop_reason": None, "stop_sequence": None, "usage": _USED}
    block = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
    deltas = [
        _data(
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}},
            "content_block_delta",
        )
        for text in texts
    ]
    stop = {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": _USED}
    return (
        _data({"type": "message_start", "message": start}, "message_start"),
        _data(block, "content_block_start"),
        *deltas,
        _data({"type": "content_block_stop", "index": 0}, "content_block_stop"),
        _data(stop, "message_delta"),
        _data({"type": "message_stop"}, "message_stop"),
    )


def _message_reply(text: str) -> Json:
    content = [{"type": "text", "text": text}]
    return {**_MESSAGE, "content": content, "stop_reason": "end_turn", "stop_sequence": None, "usage": _USED}


def _message_text(data: Json) -> str:
    if "content" in data:
        return "".join(part["text"] for part in data["content"])
    return data.get("delta", {}).get("text", "")


def _generated(text: str, finish: str = "") -> Json:
    candidate: Json = {"content": {"parts": [{"text": text}], "role": "model"}, "index": 0}
    return {"candidates": [candidate | ({"finishReason": finish} if finish else {})], "modelVersion": "m"}


def _generate_events(texts: Sequence[str]) -> tuple[bytes, ...]:
    return (*(_data(_generated(text)) for text in texts[:-1]), _data(_generated(texts[-1], "STOP")))


def _generated_text(data: Json) -> str:
    candidates: list[Json] = data.get("candidates", [])
    parts = [part for candidate in candidates for part in candidate.get("content", {}).get("parts", [])]
    return "".join(part.get("text", "") for part in parts)


def _chat_asked(model: str) -> Json:
    return {"model": model, "messages": [{"role": "user", "content": "hi"}], "max_tokens": 64}


def _is_plain_error(data: Json) -> bool:
    """OpenAI's envelope, whose `type` is a word."""
    return bool(data.get("error", {}).get("message")) and bool(data["error"].get("type"))


def _is_message_error(data: Json) -> bool:
    return data.get("type") == "error" and _is_plain_error(data)


def _is_google_error(data: Json) -> bool:
    error: Json = data.get("error", {})
    return bool(error.get("message")) and isinstance(error.get("code"), int) and bool(error.get("status"))


OPENAI = Dialect(
    "openai",
    "/v1/chat/completions",
    "/v1/chat/completions",
    1,
    b"[DONE]",
    _chat_events,
    _chat_reply,
    _chat_text,
    _is_plain_error,
    _chat_asked,
)
ANTHROPIC = Dialect(
    "anthropic",
    "/v1/messages",
    "/v1/messages",
    2,
    b'"message_stop"',
    _message_events,
    _message_reply,
    _message_text,
    _is_message_error,
    _chat_asked,
)
GOOGLE = Dialect(
    "google",
    "/v1beta/models/{}:generateContent",
    "/v1beta/models/{}:streamGenerateContent?alt=sse",
    0,
    b'"finishReason"',
    _generate_events,
    lambda text: _generated(text, "STOP"),
    _generated_text,
    _is_google_error,
    lambda _: {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]},
)
DIALECTS = (OPENAI, ANTHROPIC, GOOGLE)


@dataclass(frozen=True)
class Pair:
    """A client's dialect and the dialect of the providers behind the gateway."""

    client: Dialect
    vendor: Dialect

    @override
    def __str__(self) -> str:
        return f"{self.client.name}-{self.vendor.name}"

    @property
    def is_relay(self) -> bool:
        """Whether bytes pass as they are."""
        return self.client is self.vendor


PAIRS = (
    *(Pair(dialect, dialect) for dialect in DIALECTS),
    Pair(ANTHROPIC, OPENAI),
    Pair(GOOGLE, ANTHROPIC),
)


def two_targets(vendor: Dialect, mode: str = "fallback", first: Json | None = None, **more: Any) -> Json:
    """A routing config of two deployments of a vendor; `first` is what only the first one has."""
    targets = [{"provider": f"one-{vendor.name}", **(first or {})}, {"provider": f"two-{vendor.name}"}]
    return {"strategy": {"mode": mode}, "targets": targets, **more}


def retried(vendor: Dialect, attempts: int = 2) -> Json:
    """A routing config of one deployment that is tried again."""
    return {"provider": f"one-{vendor.name}", "retry": {"attempts": attempts}}


def deployments(port: int) -> Mapping[str, Any]:
    """Two deployments of every vendor, all at the scripted provider."""
    return {
        f"{name}-{dialect.name}": {
            "provider": dialect.name,
            "base_url": f"http://127.0.0.1:{port}/{name}/{'v1beta' if dialect is GOOGLE else 'v1'}",
            "api_key": "sk-failover-key",
            "timeouts": {"connect_s": 5, "first_byte_s": 15, "gap_s": 15, "total_s": 30},
        }
        for name in ("one", "two")
        for dialect in DIALECTS
    }


@dataclass(frozen=True)
class Case:
    """One request: who asks, how it is routed, and how its first `failing` calls go wrong.

    Its model is named for it alone, so that the health of one case's provider is nothing to another's.
    """

    pair: Pair
    config: Json
    manner: Manner
    stream: bool = True
    failing: int = 1
    label: str = ""
    model: str = field(default_factory=lambda: f"m-{secrets.token_hex(8)}")

    @property
    def request(self) -> bytes:
        """The request as it goes over the wire."""
        client = self.pair.client
        body = client.asked(self.model) | ({"stream": True} if self.stream and client is not GOOGLE else {})
        target = (client.stream_path if self.stream else client.path).format(self.model).encode()
        config = b"x-headgate-config: " + json.dumps(self.config).encode() + b"\r\n"
        return post(json.dumps(body, separators=(",", ":")).encode(), config, target)


@dataclass
class Seen:
    """What came of a case: how the answer `ended`, what it said, and the calls that were made for it."""

    case: Case
    answer: Answer
    ended: str
    text: str
    calls: list[tuple[int, Call]]

    def is_whole_text_of(self, call: int) -> bool:
        """Whether the text is all that this call (by number among the case's) had to say, and nothing else."""
        return len(self.calls) > call and self.text == "".join(self.case.pair.vendor.texts(self.calls[call][0]))

    def is_part_of(self, call: int) -> bool:
        """Whether the text is how this call's text begins."""
        whole = "".join(self.case.pair.vendor.texts(self.calls[call][0]))
        return whole.startswith(self.text)


class Lab:
    """The scripted provider behind one gateway: cases are asked, and answered as they want."""

    def __init__(self, gateway: Gateway, upstream: Upstream) -> None:
        self.gateway = gateway
        self.upstream = upstream
        self._cases: dict[str, Case] = {}
        self._calls: dict[str, list[tuple[int, Call]]] = {}
        self._stamps = count(1)
        self._records: dict[str, Json] = {}
        self._read_bytes = 0
        upstream.script = self._script

    def calls(self, case: Case) -> list[tuple[int, Call]]:
        """The calls for a case so far, each with its stamp."""
        return self._calls.setdefault(case.model, [])

    async def call(self, case: Case, number: int = 0) -> Call:
        """The call of this number for a case, waiting for it."""
        await eventually(lambda: len(self.calls(case)) > number, f"call {number} was made", ANSWER_S)
        return self.calls(case)[number][1]

    def begin(self, case: Case) -> Case:
        """Make the case known to the provider."""
        self._cases[case.model] = case
        return case

    async def ask(self, case: Case, wire: Wire | None = None) -> Seen:
        """Carry out a case, over `wire` or a connection of its own."""
        self.begin(case)
        if wire is None:
            async with Wire.open(self.gateway) as own:
                return await self.ask(case, own)
        await wire.send(case.request)
        answer = await wire.answer(ANSWER_S)
        ended, text = read(answer, case)
        return Seen(case, answer, ended, text, self.calls(case))

    async def ask_all(self, cases: Iterable[Case]) -> list[Seen]:
        """Carry out cases, a dozen at a time, each worker over one connection as long as the gateway keeps it."""
        waiting, seen = iter(cases), list[Seen]()

        async def work() -> None:
            async with Wire.open(self.gateway) as wire:
                for case in waiting:
                    seen.append(await self.ask(case, wire))

        await asyncio.gather(*(work() for _ in range(CROWD)))
        return seen

    async def records(self, cases: Iterable[Case]) -> dict[str, Json]:
        """The record of every case by its model, waiting until all are written."""
        wanted = {case.model for case in cases}

        def are_here() -> bool:
            self._read_records()
            return wanted <= self._records.keys()

        await eventually(are_here, "every case was recorded", ANSWER_S)
        return {model: self._records[model] for model in wanted}

    def _read_records(self) -> None:
        """Take in the lines that were written since the last time. The last one may be half written, and is left."""
        path = self.gateway.folder / ".headgate/failover.jsonl"
        if not path.exists():
            return
        with path.open("rb") as file:
            file.seek(self._read_bytes)
            written = file.read()
        whole = written[: written.rfind(b"\n") + 1]
        self._read_bytes += len(whole)
        self._records.update({line["model"]: line for line in map(json.loads, whole.splitlines())})

    async def _script(self, call: Call) -> None:
        named = re.search(r"/models/([^:]+):", call.target)
        model: str = named[1] if named else call.json["model"]
        case, calls, stamp = self._cases[model], self._calls.setdefault(model, []), next(self._stamps)
        calls.append((stamp, call))
        data = case.pair.vendor.response(stamp, stream=case.stream)
        if len(calls) <= case.failing:
            await case.manner(call, data)
        else:
            await call.send(data)


@pytest.fixture(scope="module")
def gateway(
    tmp_path_factory: pytest.TempPathFactory, base_config: Mapping[str, Any], upstream_port: int
) -> Iterator[Gateway]:
    """One gateway for all cases of a module."""
    plugins: list[Any] = ["router-standard", {"logs-jsonl": {"path": "failover.jsonl", "flush_s": 0.05}}]
    hooks = (
        "uploads.authenticate",
        "open.authenticate",
        "router-standard.admit",
        "router-standard.route",
        "route.route",
    )
    changes = {
        "plugins": plugins,
        "providers": deployments(upstream_port),
        "budgets": dict.fromkeys(hooks, 20),  # hundreds of requests at once, on a machine that may be busy
    }
    made = Gateway(tmp_path_factory.mktemp("failover"), merged(base_config, changes))
    made.start()
    yield made
    made.stop()


@pytest.fixture
async def lab(gateway: Gateway, upstream: Upstream) -> AsyncIterator[Lab]:
    """The provider behind it; when a test is over nothing may run any more."""
    yield Lab(gateway, upstream)
    await eventually_idle(gateway)


def read(answer: Answer, case: Case) -> tuple[str, str]:
    """How an answer ended (`complete`, `cut`, its error status, or what is wrong with it), and its text."""
    client = case.pair.client
    if not answer.is_whole:
        return "the framing is cut", ""
    if answer.status != 200:
        return (str(answer.status) if client.is_error(answer.json) else f"no envelope: {answer.body!r}"), ""
    if not case.stream:
        return "complete", client.text_of(answer.json)
    body = answer.body
    if body.endswith((b"[DONE]", b"[DONE]\n")):  # nothing of it is missing but line ends, which never came
        body = body.rstrip() + b"\n\n"
    *events, rest = body.split(b"\n\n")
    if rest or not events:
        return f"half an event: {body!r}", ""
    told = [event.partition(b"data: ")[2] for event in events if b"data: " in event]
    decoded: list[Json] = [json.loads(data) for data in told if data != b"[DONE]"]
    text = "".join(map(client.text_of, decoded))
    errors = [data for data in decoded if "error" in data]
    if len(set(_STAMP.findall(text))) > 1:
        return "two calls in one answer", text
    if not errors:
        return ("complete" if client.end in events[-1] else "no end and no error"), text
    if len(errors) > 1 or errors[0] is not decoded[-1] or told[-1] == b"[DONE]":
        return "an error event is not the last", text
    if any(client.end in event for event in events) and not (client is GOOGLE and case.pair.is_relay):
        return "an end and an error", text  # Google's end stands in the last text, which a relay has passed on by then
    return ("cut" if client.is_error(errors[0]) else f"no error of its dialect: {errors[0]}"), text
