"""Plans of checks, and requests, replies and streams for them to judge."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from core.tests.asking import NoUpstream
from typing_extensions import override

from headgate.builtin import Core
from headgate.context import Context
from headgate.dialects import Dialect, OpenAIChat, OpenAICompletions, OpenAIEmbeddings
from headgate.dialects.sse import DONE, data_event, data_of, events_of
from headgate.errors import RequestError
from headgate.exchange import Exchange, Reply
from headgate.folds import every
from headgate.guarding import StreamGuard
from headgate.hooks import Check, CheckFactory, Hooks, Verdict, hookimpl
from headgate.operations import CHAT, Operation
from headgate.plan import Plan, Plugin, collect, compile_plan
from headgate.routing import Known
from headgate.upstream import Upstream
from headgate_guard_basic import CheckConfig, GuardBasic, GuardBasicConfig

On = Literal["request", "reply"]
DIALECTS: Mapping[str, Dialect] = {
    "chat": OpenAIChat(),
    "completions": OpenAICompletions(),
    "embeddings": OpenAIEmbeddings(),
}


class Shouting:
    """A check of another package: shouts in capitals, fails on `bad`, says `error` on `ill` and breaks on `broken`."""

    def __init__(self, hold_chars: int) -> None:
        self.hold_chars = hold_chars

    async def judge(self, text: str) -> Verdict:
        if "broken" in text:
            raise ConnectionError("the service is away")
        if "ill" in text:
            return Verdict("error", "the service is ill")
        if "bad" in text:
            return Verdict("fail", data={"quoted": text})
        return Verdict("transformed", text=text.upper())


class Others(Hooks):
    """Another guardrail package."""

    @override
    @hookimpl
    def checks(self) -> Mapping[str, CheckFactory]:
        def shout(parameters: Mapping[str, Any]) -> Check:
            return Shouting(parameters.get("hold", 10))

        return {"others.shout": shout}


def plan_of(*checks: CheckConfig, passthrough: Literal["refuse", "allow"] = "refuse") -> Plan:
    """A plan with the plugin configured as the gateway does it."""
    guard = GuardBasic(GuardBasicConfig(list(checks), passthrough))
    plugins = [Plugin("guard-basic", guard), Plugin("others", Others()), Plugin("core", Core())]
    registry = collect(plugins)
    upstream: Upstream = NoUpstream()
    ctx = Context(upstream, Path(), "")
    ctx.known = Known((), {}, checks=registry.checks)
    guard.configure(ctx)
    return compile_plan(plugins, registry, {}, {})


def forbid(*words: str, on: Sequence[On] = ("request", "reply"), **settings: Any) -> CheckConfig:
    parameters = {"words": list(words), "operator": "none", **settings.pop("parameters", {})}
    return CheckConfig("contains", list(on), parameters, **settings)


def rule(text: str, on: Sequence[On] = ("request", "reply"), **parameters: Any) -> CheckConfig:
    return CheckConfig("regexMatch", list(on), {"rule": text, **parameters})


def not_matching(text: str) -> CheckConfig:
    return CheckConfig("regexMatch", ["request", "reply"], {"rule": text, "not": True})


def exchange(body: Any, operation: Operation = CHAT) -> Exchange:
    ex = Exchange(operation, {}, request_id="r", trace_id="t", dialect=DIALECTS.get(operation.name))
    ex.body = body if isinstance(body, bytes) else json.dumps(body).encode()
    return ex


def said(content: Any, role: str = "user", **members: Any) -> Exchange:
    return exchange({"messages": [{"role": role, "content": content, **members}]})


async def ask(plan: Plan, ex: Exchange) -> Exchange:
    await every(plan.guard_request, ex)
    return ex


async def whole(plan: Plan, message: Mapping[str, Any]) -> str:
    """Guard a whole reply; the content that is left of it."""
    ex = exchange({})
    ex.reply = Reply(200, body=json.dumps({"choices": [{"index": 0, "message": dict(message)}]}).encode())
    await every(plan.guard_reply, ex)
    return json.loads(ex.reply.body)["choices"][0]["message"]["content"]


class Streamed:
    """A stream that went through the guard: what came out of it before it ended or was cut by `error`."""

    def __init__(self) -> None:
        self.bytes = b""
        self.error: RequestError | None = None

    @property
    def text(self) -> str:
        chunks = [json.loads(data_of(event)) for event in events_of(self.bytes) if data_of(event) != b"[DONE]"]
        return "".join(choice["delta"].get("content", "") for chunk in chunks for choice in chunk["choices"])


def events_for(pieces: Sequence[str]) -> list[bytes]:
    deltas: list[dict[str, Any]] = [{"role": "assistant"}, *({"content": piece} for piece in pieces)]
    events = [data_event(json.dumps({"choices": [{"index": 0, "delta": delta}]}).encode()) for delta in deltas]
    return [*events, data_event(b'{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}'), DONE]


async def stream(plan: Plan, slices: Sequence[bytes]) -> Streamed:
    """Send slices of events through a StreamGuard."""

    async def chunks() -> AsyncGenerator[bytes, None]:
        for piece in slices:
            yield piece

    ex, result = exchange({}), Streamed()
    ex.reply = Reply(200, chunks=chunks())
    try:
        async for chunk in StreamGuard(plan, ex, DIALECTS["chat"]).run(chunks()):
            result.bytes += chunk
    except RequestError as error:
        result.error = error
    return result
