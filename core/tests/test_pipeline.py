"""The stages of an exchange, seen through plans of real plugins: what runs, in which order, and what each end means."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, ClassVar

import pytest
from typing_extensions import override

from headgate import pipeline
from headgate.dialects import OpenAIChat
from headgate.dialects.sse import DONE, data_of, events_of
from headgate.errors import (
    Blocked,
    Forbidden,
    HookFailed,
    InvalidRequest,
    ModelNotFound,
    ProviderFailed,
    ProviderTimeout,
    RequestError,
    Unauthenticated,
)
from headgate.exchange import Exchange, Principal, Reply, Target
from headgate.fleet import Fleet
from headgate.hooks import Call, Hooks, Outcome, Scene, Strategy, hookimpl
from headgate.operations import CHAT, EMBEDDINGS, PASSTHROUGH, Operation
from headgate.plan import Plan, Plugin, Registry, compile_plan
from headgate.provider import DeploymentConfig, Provider
from headgate.relay import discard
from headgate.testing import Recorded, ReplayUpstream

BODY = b'{"model":"m","messages":[{"role":"user","content":"hi"}]}'
JSON = ((b"content-type", b"application/json"),)


class Vendor(Provider):
    """Answers with what it is given, or raises it, one after another."""

    name = "vendor"
    is_keyless = True
    dialects: ClassVar[Mapping[str, str]] = {"chat": "openai.chat", "passthrough": ""}

    def __init__(self, *answers: Reply | Exception | Any, deployment: str = "main") -> None:
        super().__init__(deployment, DeploymentConfig(provider="vendor"), ReplayUpstream({"*": Recorded()}))
        self._answers = list(answers)
        self.calls: list[Exchange] = []

    @override
    async def call(self, ex: Exchange) -> Reply:
        self.calls.append(ex)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, BaseException):
            raise answer
        return answer


class InTurn(Strategy):
    """The next child after a failure."""

    @override
    def choose(self, target: Target, ex: Exchange, outcomes: Sequence[Outcome], scene: Scene) -> int | None:
        if outcomes and (outcomes[-1].is_final or outcomes[-1].status < 400 or len(outcomes) == len(target.targets)):
            return None
        return len(outcomes)


class Gate(Hooks):
    """Lets a principal in, routes to `target`, and notes which hooks ran."""

    def __init__(self, target: Target | None = None, principal: Principal | None = None) -> None:
        self._target = target or Target(deployment="main")
        self._principal = principal or Principal("k")
        self.ran: list[str] = []
        self.hit: Reply | None = None
        self.collects = False
        self.refuses: dict[str, Exception] = {}
        self.stored: list[bytes | None] = []

    def _note(self, hook: str) -> None:
        self.ran.append(hook)
        if hook in self.refuses:
            raise self.refuses[hook]

    @override
    @hookimpl
    async def authenticate(self, ex: Exchange) -> Principal | None:
        self._note("authenticate")
        return self._principal

    @override
    @hookimpl
    async def admit(self, ex: Exchange) -> None:
        self._note("admit")

    @override
    @hookimpl
    async def lookup(self, ex: Exchange) -> Reply | None:
        self._note("lookup")
        ex.collect = self.collects
        return self.hit

    @override
    @hookimpl
    async def store(self, ex: Exchange) -> None:
        self._note("store")
        self.stored.append(ex.reply_body)

    @override
    @hookimpl
    async def route(self, ex: Exchange) -> Target | None:
        self._note("route")
        return self._target

    @override
    @hookimpl
    async def guard_request(self, ex: Exchange) -> None:
        self._note("guard_request")

    @override
    @hookimpl
    async def guard_reply(self, ex: Exchange) -> None:
        self._note("guard_reply")

    @override
    @hookimpl
    async def settle(self, ex: Exchange) -> None:
        self._note("settle")

    @override
    @hookimpl
    async def record(self, ex: Exchange) -> None:
        self._note("record")


def plan_of(*plugins: Hooks, **vendors: Vendor) -> Plan:
    registry = Registry(strategies={"turn": InTurn()})
    named = [Plugin(f"p{at}", plugin) for at, plugin in enumerate(plugins)]
    return compile_plan(named, registry, vendors, {})


def exchange(operation: Operation = CHAT, **headers: Any) -> Exchange:
    held = {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
    dialect = OpenAIChat() if operation is CHAT else None
    return Exchange(operation, held, request_id="r", trace_id="t", dialect=dialect)


async def body() -> bytes:
    return BODY


async def run(plan: Plan, ex: Exchange, sent: bytes = BODY) -> Reply:
    async def read() -> bytes:
        return sent

    return await pipeline.run(plan, ex, read)


def ok(content: bytes = b'{"choices":[]}') -> Reply:
    return Reply(200, JSON, content)


def streaming(*pieces: bytes | Exception) -> Reply:
    async def chunks() -> AsyncIterator[bytes]:
        for piece in pieces:
            await asyncio.sleep(0)
            if isinstance(piece, Exception):
                raise piece
            yield piece

    return Reply(200, chunks=chunks())


# the order


async def test_the_stages_run_in_their_order() -> None:
    """Auth, cache, route, guardrail, call, guardrail; afterwards cache, budgets, record."""
    gate = Gate()
    gate.collects = True
    plan, ex = plan_of(gate, main=Vendor(ok())), exchange()
    ex.reply = await run(plan, ex)
    ex.outcome = "complete"
    await pipeline.finish(plan, ex)
    assert gate.ran == [
        "authenticate",
        "admit",
        "lookup",
        "route",
        "guard_request",
        "guard_reply",
        "store",
        "settle",
        "record",
    ]
    assert gate.stored == [b'{"choices":[]}']


async def test_the_body_is_read_after_authentication() -> None:
    """Somebody without a key cannot make the gateway read a body."""
    gate = Gate()
    gate.refuses["authenticate"] = Unauthenticated("no")

    async def never() -> bytes:
        raise AssertionError("the body was read")

    with pytest.raises(Unauthenticated):
        await pipeline.run(plan_of(gate, main=Vendor(ok())), exchange(), never)


async def test_nobody_answering_is_a_401() -> None:
    """Without a principal nothing goes on."""

    class Silent(Hooks):
        @override
        @hookimpl
        async def authenticate(self, ex: Exchange) -> Principal | None:
            return None

    with pytest.raises(Unauthenticated):
        await run(plan_of(Silent(), main=Vendor(ok())), exchange())


async def test_a_hit_ends_the_exchange() -> None:
    """What the cache holds is answered: nothing is routed, guarded or called, and it is not stored again."""
    gate, vendor = Gate(), Vendor(ok())
    gate.hit = ok(b"cached")
    gate.collects = True
    plan, ex = plan_of(gate, main=vendor), exchange()
    assert await run(plan, ex) is gate.hit
    assert (ex.cache_status, vendor.calls) == ("HIT", [])
    ex.outcome = "complete"
    await pipeline.finish(plan, ex)
    assert gate.ran == ["authenticate", "admit", "lookup", "settle", "record"]


async def test_a_refusal_ends_the_exchange() -> None:
    """Whichever stage refuses, the rest does not run; what comes after the reply still does."""
    for hook, refusal in (("admit", Forbidden("no")), ("route", ModelNotFound("no")), ("guard_request", Blocked("no"))):
        gate, vendor = Gate(), Vendor(ok())
        gate.refuses[hook] = refusal
        plan, ex = plan_of(gate, main=vendor), exchange()
        with pytest.raises(type(refusal)):
            await run(plan, ex)
        assert gate.ran[-1] == hook
        assert vendor.calls == []
        await pipeline.finish(plan, ex)
        assert gate.ran[-2:] == ["settle", "record"]


async def test_an_unauthenticated_exchange_is_recorded_and_not_settled() -> None:
    """There is nobody to settle with."""
    gate = Gate()
    gate.refuses["authenticate"] = Unauthenticated("no")
    plan, ex = plan_of(gate, main=Vendor(ok())), exchange()
    with pytest.raises(Unauthenticated):
        await run(plan, ex)
    await pipeline.finish(plan, ex)
    assert gate.ran == ["authenticate", "record"]


@pytest.mark.parametrize(("holder", "called"), [("main", ["main"]), ("other", ["other"]), ("gone", ["main", "other"])])
async def test_a_pinned_exchange_has_one_target(holder: str, called: list[str]) -> None:
    """Where a plugin knows who alone can answer, nobody else of the tree is called; a tree without it is as it was."""

    class Pin(Hooks):
        @override
        @hookimpl
        async def admit(self, ex: Exchange) -> None:
            ex.pinned = lambda provider: provider.deployment == holder

    nothing = Target(path="x", deployment="not there")
    inner = Target(strategy="turn", targets=(Target(path="y", deployment="other"), nothing))
    tree = Target(strategy="turn", targets=(Target(deployment="main"), inner.targets[0], inner))
    failed = Reply(500, JSON, b"{}")
    ex = exchange()
    plan = plan_of(Pin(), Gate(tree), main=Vendor(failed), other=Vendor(failed, deployment="other"))
    if called == ["main", "other"]:
        with pytest.raises(HookFailed):  # the tree was gone through, to the deployment that is not there
            await run(plan, ex)
        called = ["main", "other", "other"]
    else:
        assert (await run(plan, ex)).status == 500
    assert [attempt.target.deployment for attempt in ex.attempts] == called


async def test_a_replaced_body_is_what_is_read() -> None:
    """After `replace_body` everything sees the new request."""
    ex = exchange()
    ex.body = BODY
    assert [place.text for place in ex.texts()] == ["hi"]
    ex.replace_body(BODY.replace(b"hi", b"ho"))
    assert [place.text for place in ex.texts()] == ["ho"]
    assert ex.is_changed


async def test_the_time_of_each_stage() -> None:
    """Kept when asked for; the parts are positive and each stands once."""
    ex = exchange()
    ex.timings = {}
    await run(plan_of(Gate(), main=Vendor(ok())), ex)
    assert list(ex.timings) == ["auth", "cache", "route", "guardrail", "call"]
    assert all(seconds >= 0 for seconds in ex.timings.values())


# the request


@pytest.mark.parametrize(
    ("sent", "model", "stream", "user", "max_tokens"),
    [
        (b'{"model":"m"}', "m", False, None, None),
        (b'{"model":"m","stream":true,"user":"u","max_tokens":5}', "m", True, "u", 5),
        (b'{"model":"m","max_tokens":5,"max_completion_tokens":7,"user":3,"stream":null}', "m", False, None, 7),
        (b'{"model":"m","max_tokens":"many"}', "m", False, None, None),
        (b'{"model":"m","max_tokens":true}', "m", False, None, None),
    ],
)
async def test_what_the_gateway_reads_of_a_body(
    sent: bytes, model: str, stream: bool, user: str | None, max_tokens: int | None
) -> None:
    """The few members it needs; odd values of the others are the provider's business."""
    ex = exchange()
    await run(plan_of(Gate(), main=Vendor(ok())), ex, sent)
    assert (ex.model, ex.stream, ex.user, ex.max_tokens) == (model, stream, user, max_tokens)
    assert ex.body == sent


@pytest.mark.parametrize(
    ("sent", "code"),
    [(b"{}", "missing_model"), (b'{"model":""}', "missing_model"), (b"{", "invalid_json"), (b"[]", "invalid_request")],
)
async def test_a_body_that_is_no_request(sent: bytes, code: str) -> None:
    """Refused before anything is admitted or called."""
    gate = Gate()
    with pytest.raises(InvalidRequest) as caught:
        await run(plan_of(gate, main=Vendor(ok())), exchange(), sent)
    assert caught.value.error_code == code
    assert gate.ran == ["authenticate"]


async def test_a_huge_model_name_is_refused() -> None:
    """A name that no model has, of a length that would be carried into logs and messages."""
    with pytest.raises(InvalidRequest):
        await run(plan_of(Gate(), main=Vendor(ok())), exchange(), json.dumps({"model": "m" * 100_000}).encode())


async def test_an_operation_that_cannot_stream_does_not() -> None:
    """`stream` in an embeddings request asks for nothing."""
    ex = exchange(EMBEDDINGS)
    gate = Gate()
    with pytest.raises(InvalidRequest, match="has no operation `embeddings`"):
        await run(plan_of(gate, main=Vendor(ok())), ex, b'{"model":"m","stream":true}')
    assert ex.stream is False


async def test_an_opaque_body_is_not_read() -> None:
    """A passed-through body may be anything."""
    ex = exchange(PASSTHROUGH)
    await run(plan_of(Gate(), main=Vendor(ok())), ex, b"\xff\x00")
    assert (ex.model, ex.body) == ("", b"\xff\x00")


@pytest.mark.parametrize(
    ("given", "expected"),
    [(None, {"team": "a"}), ("{}", {"team": "a"}), ('{"user":"u","team":"mine"}', {"user": "u", "team": "a"})],
)
async def test_metadata_of_the_key_goes_before_the_callers(given: str | None, expected: dict[str, str]) -> None:
    """A caller adds to what its key says, and changes nothing of it."""
    headers: dict[str, Any] = {} if given is None else {"x_headgate_metadata": given}
    ex = exchange(CHAT, **headers)
    gate = Gate(principal=Principal("k", metadata={"team": "a"}))
    await run(plan_of(gate, main=Vendor(ok())), ex)
    assert ex.metadata == expected


@pytest.mark.parametrize("given", ["x", "[]", '{"a":1}', '{"a":{"b":"c"}}', '{"a":"%s"}' % ("x" * 129), "[" * 9999])
async def test_metadata_that_is_refused(given: str) -> None:
    """Anything but short strings by name is a 400."""
    with pytest.raises(InvalidRequest) as caught:
        await run(plan_of(Gate(), main=Vendor(ok())), exchange(x_portkey_metadata=given))
    assert caught.value.error_code == "bad_metadata"


# calling


async def test_an_attempt_is_what_was_called() -> None:
    """Model, deployment, status and times of the call; the model of the target goes before the caller's."""
    vendor, ex = Vendor(ok()), exchange()
    await run(plan_of(Gate(Target(deployment="main", model="other")), main=vendor), ex)
    attempt = ex.attempts[0]
    assert ex.attempt is attempt
    assert (attempt.model, attempt.provider, attempt.status, attempt.error) == ("other", vendor, 200, "")
    assert attempt.started <= attempt.ended
    ex = exchange()
    await run(plan_of(Gate(), main=vendor), ex)
    assert ex.attempts[0].model == "m"


@pytest.mark.parametrize(
    ("answer", "status", "code"),
    [
        (ProviderTimeout("slow"), 504, "upstream_timeout"),
        (RuntimeError("bug"), 502, "upstream_failed"),
        (KeyError("bug"), 502, "upstream_failed"),
        ("no reply", 502, "upstream_failed"),
        (None, 502, "upstream_failed"),
        (InvalidRequest("no"), 400, "invalid_request"),
    ],
)
async def test_a_failed_attempt_is_noted(answer: Any, status: int, code: str) -> None:
    """A provider that fails, raises anything, or answers with no reply: the client's error and the attempt's agree."""
    ex = exchange()
    with pytest.raises(RequestError) as caught:
        await run(plan_of(Gate(), main=Vendor(answer)), ex)
    assert (caught.value.status, caught.value.error_code) == (status, code)
    attempt = ex.attempts[0]
    assert (attempt.status, attempt.error) == (status, code)
    assert attempt.ended > 0
    assert "bug" not in caught.value.message


async def test_a_cancelled_attempt_ends() -> None:
    """Its time is known, and the cancellation is not swallowed."""
    hanging = asyncio.Event()

    class Hanging(Vendor):
        @override
        async def call(self, ex: Exchange) -> Reply:
            hanging.set()
            await asyncio.Event().wait()
            raise AssertionError

    ex = exchange()
    task = asyncio.create_task(run(plan_of(Gate(), main=Hanging(ok())), ex))
    await hanging.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ex.attempts[0].ended > 0


TREE = Target(strategy="turn", targets=tuple(Target(deployment=name) for name in ("one", "two", "three")))


async def test_a_strategy_goes_on_until_it_is_content() -> None:
    """Failures and error replies are followed by the next child; the last outcome stands."""
    vendors = {"one": Vendor(ProviderFailed("x")), "two": Vendor(Reply(503)), "three": Vendor(ok(b"third"))}
    ex = exchange()
    reply = await run(plan_of(Gate(TREE), **vendors), ex)
    assert reply.body == b"third"
    assert [attempt.status for attempt in ex.attempts] == [502, 503, 200]


async def test_the_last_outcome_stands() -> None:
    """When all fail, the last error is raised, or the last error reply is answered."""
    failing = {"one": Vendor(Reply(500)), "two": Vendor(Reply(503)), "three": Vendor(ProviderTimeout("last"))}
    with pytest.raises(ProviderTimeout, match="last"):
        await run(plan_of(Gate(TREE), **failing), exchange())
    failing |= {"three": Vendor(Reply(429, body=b"last"))}
    reply = await run(plan_of(Gate(TREE), **failing), exchange())
    assert (reply.status, reply.body) == (429, b"last")


async def test_what_is_not_the_providers_fault_is_final() -> None:
    """A guardrail's refusal is not retried elsewhere."""
    gate = Gate(TREE)
    gate.refuses["guard_request"] = Blocked("no")
    vendors = {name: Vendor(ok()) for name in ("one", "two", "three")}
    ex = exchange()
    with pytest.raises(Blocked):
        await run(plan_of(gate, **vendors), ex)
    assert len(ex.attempts) == 1


async def test_a_reply_left_behind_is_closed() -> None:
    """A running reply that a strategy passes over is closed before the next call."""
    closed: list[str] = []

    async def chunks() -> AsyncIterator[bytes]:
        try:
            yield b"x"
        finally:
            closed.append("first")

    running = chunks()
    await anext(running)
    vendors = {"one": Vendor(Reply(500, chunks=running)), "two": Vendor(ok()), "three": Vendor(ok())}
    await run(plan_of(Gate(TREE), **vendors), exchange())
    assert closed == ["first"]


async def test_guards_run_for_each_attempt() -> None:
    """Another provider may have another policy."""
    gate = Gate(TREE)
    vendors = {"one": Vendor(Reply(500)), "two": Vendor(ok()), "three": Vendor(ok())}
    await run(plan_of(gate, **vendors), exchange())
    assert gate.ran.count("guard_request") == 2
    assert gate.ran.count("guard_reply") == 1


async def test_error_replies_are_not_guarded() -> None:
    """They hold no answer of a model."""
    gate = Gate()
    reply = await run(plan_of(gate, main=Vendor(Reply(400, JSON, b"{}"))), exchange())
    assert (reply.status, "guard_reply" in gate.ran) == (400, False)


async def test_a_blocked_reply_is_not_answered() -> None:
    """The provider's answer is not in the error."""
    gate = Gate()
    gate.refuses["guard_reply"] = Blocked("no")
    with pytest.raises(Blocked):
        await run(plan_of(gate, main=Vendor(ok())), exchange())


async def test_wrappers_wrap_the_call() -> None:
    """The first plugin is outermost, and each sees the attempt."""
    order: list[str] = []

    class Wrapping(Hooks):
        def __init__(self, name: str) -> None:
            self._name = name

        @override
        @hookimpl
        def wrap_call(self, call: Call) -> Call:
            async def wrapped(ex: Exchange) -> Reply:
                assert ex.attempt is not None
                order.append(f"{self._name} in")
                reply = await call(ex)
                order.append(f"{self._name} out")
                return reply

            return wrapped

    await run(plan_of(Gate(), Wrapping("a"), Wrapping("b"), main=Vendor(ok())), exchange())
    assert order == ["a in", "b in", "b out", "a out"]


@pytest.mark.parametrize("choice", [7, -1, "x", RuntimeError("bug")])
async def test_a_broken_strategy_fails_closed(choice: Any) -> None:
    """An index no child has, a wrong type or an exception is the gateway's error in its own words, not a crash."""

    class Broken(Strategy):
        @override
        def choose(self, target: Target, ex: Exchange, outcomes: Sequence[Outcome], scene: Scene) -> int | None:
            if isinstance(choice, Exception):
                raise choice
            return choice if not outcomes else None

    gate = Gate(Target(strategy="broken", targets=(Target(deployment="main"),)))
    registry = Registry(strategies={"broken": Broken()})
    plan = compile_plan([Plugin("gate", gate)], registry, {"main": Vendor(ok())}, {})
    with pytest.raises(HookFailed):
        await run(plan, exchange())


async def test_a_route_to_nowhere_fails_closed() -> None:
    """A router that names a deployment nobody has is told as a failure of the route stage or of the model."""
    with pytest.raises((HookFailed, ModelNotFound)):
        await run(plan_of(Gate(Target(deployment="nobody")), main=Vendor(ok())), exchange())


# streams


async def relayed(ex: Exchange, reply: Reply) -> bytes:
    sent: list[bytes] = []

    async def send(data: bytes) -> None:
        sent.append(data)

    assert reply.chunks is not None
    ex.reply = reply
    await pipeline.relay_stream(ex, reply.chunks, send)
    return b"".join(sent)


async def test_a_stream_is_sent_and_counted() -> None:
    """Bytes, their number, the time of the first, and the outcome."""
    ex = exchange()
    assert await relayed(ex, streaming(b"data: 1\n\n", DONE)) == b"data: 1\n\n" + DONE
    assert (ex.outcome, ex.reply_bytes, ex.reply_body) == ("complete", 9 + len(DONE), None)
    assert ex.ttft_s is not None
    assert ex.ttft_s > 0


async def test_a_broken_stream_ends_with_an_error_event() -> None:
    """What clients raise on, and no `[DONE]`."""
    ex = exchange()
    got = await relayed(ex, streaming(b"data: 1\n\n", ProviderFailed("cut", code="upstream_cut")))
    last = events_of(got)[-1]
    assert json.loads(data_of(last))["error"]["code"] == "upstream_cut"
    assert DONE not in got
    assert ex.outcome == "cut"
    assert ex.error is not None


async def test_an_opaque_stream_has_no_error_event() -> None:
    """The connection must be cut instead, so the error goes on."""
    ex = exchange(PASSTHROUGH)
    with pytest.raises(ProviderFailed):
        await relayed(ex, streaming(b"x", ProviderFailed("cut")))
    assert ex.outcome == "cut"


async def test_a_collected_stream_is_stored_whole() -> None:
    """A cache that asked for it gets all bytes, once the stream was complete."""
    gate = Gate()
    ex = exchange()
    ex.collect = True
    await relayed(ex, streaming(b"data: 1\n\n", DONE))
    await pipeline.finish(plan_of(gate), ex)
    assert gate.stored == [b"data: 1\n\n" + DONE]


async def test_what_is_collected_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream past the bound is sent and not kept; the bound is made small here."""
    monkeypatch.setattr(pipeline, "MAX_COLLECTED_BYTES", 10)
    gate = Gate()
    ex = exchange()
    ex.collect = True
    assert len(await relayed(ex, streaming(b"x" * 6, b"x" * 6))) == 12
    await pipeline.finish(plan_of(gate), ex)
    assert (gate.stored, ex.reply_body) == ([], None)


async def test_the_end_of_a_long_stream_is_kept_where_it_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a stream past the bound at least `tail_bytes` of the end are kept, in whole chunks, and not taken for all of it."""
    monkeypatch.setattr(pipeline, "MAX_COLLECTED_BYTES", 10)
    gate = Gate()
    ex = exchange()
    ex.collect, ex.tail_bytes = True, 5
    assert len(await relayed(ex, streaming(b"a" * 6, b"b" * 6, b"c" * 3, b"d" * 3))) == 18
    await pipeline.finish(plan_of(gate), ex)
    assert (gate.stored, ex.reply_body, ex.reply_tail) == ([None], None, b"cccddd")


@pytest.mark.parametrize("outcome", ["cut", "error", "client_gone", ""])
async def test_only_a_complete_reply_is_stored(outcome: Any) -> None:
    """Nothing that ended otherwise may be served again."""
    gate = Gate()
    ex = exchange()
    ex.collect, ex.outcome, ex.reply = True, outcome, ok()
    await pipeline.finish(plan_of(gate), ex)
    assert gate.stored == []


@pytest.mark.parametrize("status", [199, 300, 400, 429, 500])
async def test_only_a_good_reply_is_stored(status: int) -> None:
    """An error of the provider is not served again."""
    gate = Gate()
    ex = exchange()
    ex.collect, ex.outcome, ex.reply = True, "complete", Reply(status)
    await pipeline.finish(plan_of(gate), ex)
    assert gate.stored == []


class Real(Provider):
    """Calls through an upstream, as providers do."""

    name = "real"
    is_keyless = True
    dialects: ClassVar[Mapping[str, str]] = {"chat": "openai.chat"}

    @override
    def prepare(self, ex: Exchange) -> Any:
        from headgate.upstream import UpstreamRequest

        return UpstreamRequest("POST", "https://example.com/x", body=ex.body)


async def test_a_stream_that_ends_in_an_error_event_is_not_stored() -> None:
    """A provider's own error in the middle of a stream passes to the client, and the cache never serves it to another."""
    failing = Recorded.from_events({"choices": [{"delta": {"content": "a"}}]}, {"error": {"message": "overloaded"}})
    failing = failing.varied(body=failing.body.removesuffix(DONE))
    upstream = ReplayUpstream({"*": failing})
    gate = Gate()
    gate.collects = True
    plan = compile_plan(
        [Plugin("gate", gate)], Registry(), {"main": Real("main", DeploymentConfig(provider="real"), upstream)}, {}
    )
    ex = exchange()
    reply = await run(plan, ex, BODY.replace(b"}]}", b'}],"stream":true}'))
    assert b"overloaded" in await relayed(ex, reply)
    await pipeline.finish(plan, ex)
    assert gate.stored == []
    assert ex.outcome != "complete"


async def test_giving_up_a_guarded_stream_closes_the_providers() -> None:
    """Whether anybody has begun to read it or not."""
    for begin in (True, False):
        closed: list[str] = []

        async def chunks(closed: list[str] = closed) -> AsyncIterator[bytes]:
            try:
                for _ in range(9):
                    yield b'data: {"choices":[]}\n\n'
            finally:
                closed.append("provider")

        running = chunks()
        await anext(running)
        gate = Gate()
        reply = await run(plan_of(gate, Chunks(), main=Vendor(Reply(200, chunks=running))), exchange())
        assert reply.chunks is not None
        if begin:
            await anext(reply.chunks)
        await discard(reply)
        assert closed == ["provider"], begin


class Chunks(Hooks):
    @override
    @hookimpl
    async def guard_chunk(self, ex: Exchange, window: Any) -> str | None:
        return None

    @override
    @hookimpl
    async def guard_reply(self, ex: Exchange) -> None:
        return None


async def test_discarding_a_whole_reply_is_nothing() -> None:
    """There is nothing to close."""
    await discard(Reply(200, body=b"x"))


@pytest.mark.parametrize(
    ("asked", "allowed_s", "left_s"),
    [(None, 0.0, None), (None, 2.0, 2.0), (b"500", 2.0, 0.5), (b"5000", 2.0, 2.0), (b"500", 0.0, 0.5)],
)
async def test_the_deadline_of_a_request(asked: bytes | None, allowed_s: float, left_s: float | None) -> None:
    """What the caller asks for, at most what the key allows; without either there is none."""

    class Knowing(Hooks):
        @override
        @hookimpl
        async def authenticate(self, ex: Exchange) -> Principal:
            return Principal("k", deadline_s=allowed_s)

    plugins = [Plugin("knowing", Knowing())]
    plan = compile_plan(plugins, Registry(), {}, {}, fleet=Fleet(clock=lambda: 100.0))
    headers = {} if asked is None else {b"x-headgate-deadline": asked}
    ex = Exchange(CHAT, headers, request_id="r", trace_id="t")
    await pipeline.authenticate(plan, ex)
    assert ex.deadline == (math.inf if left_s is None else 100.0 + left_s)
