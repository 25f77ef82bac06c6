"""Retries, all without waiting: what is tried again, for how long, and that nothing is that is known to fail."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from core.tests.asking import NoUpstream
from typing_extensions import override

from headgate.builtin import Core
from headgate.calling import call_target
from headgate.context import Context
from headgate.dialects import OpenAIChat
from headgate.errors import Blocked, InvalidRequest, ProviderError, ProviderFailed, ProviderTimeout, RequestError
from headgate.exchange import Attempt, Exchange, Principal, Reply, Retry, Target
from headgate.fleet import Fleet
from headgate.operations import CHAT
from headgate.plan import Plan, Plugin, collect, compile_plan
from headgate.policies import BreakerRule, Health
from headgate.provider import DeploymentConfig, Provider
from headgate.routing import Known
from headgate_router_standard import RouterStandard

NOW = 1_800_000_000.0
RULE = BreakerRule(consecutive=5, share=0, penalty_s=1000)
Step = int | Reply | RequestError | Callable[[], Awaitable[Reply]]


class Scripted(Provider):
    """Answers with the next step of its script: a status, a reply, an error to raise, or a coroutine to await."""

    name = "scripted"
    is_keyless = True
    dialects = {"chat": "openai.chat"}  # noqa: RUF012 - read only

    def __init__(self, deployment: str, script: Sequence[Step]) -> None:
        super().__init__(deployment, DeploymentConfig(provider="scripted"), NoUpstream())
        self.script = list(script)
        self.calls = 0

    @override
    async def call(self, ex: Exchange) -> Reply:
        self.calls += 1
        step = self.script.pop(0)
        if isinstance(step, RequestError):
            raise step
        if isinstance(step, int):
            return Reply(step, body=str(self.calls).encode())
        return step if isinstance(step, Reply) else await step()


class Sleeper:
    """Counts waits instead of waiting."""

    def __init__(self) -> None:
        self.waits: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.waits.append(seconds)


def exchange() -> Exchange:
    ex = Exchange(CHAT, {}, request_id="r", trace_id="t", dialect=OpenAIChat())
    ex.body, ex.model, ex.principal = b'{"model":"m","messages":[]}', "m", Principal("k")
    return ex


# retries


async def retried(
    script: Sequence[Step], retry: Retry, limit_s: float = 0.0
) -> tuple[Any, Scripted, Attempt, list[float]]:
    """Run one attempt through `wrap_call`: what came of it, the provider, the attempt, the waits."""
    sleeper, provider, ex = Sleeper(), Scripted("a", script), exchange()
    plugin = RouterStandard(sleeper, random.Random(1))
    target = Target(deployment="a", retry=retry, request_timeout_s=limit_s)
    attempt = ex.attempt = Attempt(target, provider, "m", 0.0, fleet=Fleet(unix=lambda: NOW))
    call = plugin.wrap_call(provider.call)
    try:
        result: Any = await call(ex)
    except RequestError as error:
        result = error
    return result, provider, attempt, sleeper.waits


async def test_hook_wrap_call() -> None:
    """A listed status is tried again, as often as allowed, and the good reply comes back."""
    reply, provider, attempt, waits = await retried([500, 503, 200], Retry(2))
    assert (reply.status, reply.body, provider.calls, attempt.retries, len(waits)) == (200, b"3", 3, 2, 2)


@pytest.mark.parametrize(
    ("script", "retry", "status", "calls"),
    [
        ([500], Retry(0), 500, 1),
        ([500, 500, 500], Retry(2), 500, 3),
        ([400], Retry(3), 400, 1),
        ([418, 200], Retry(3, (418,)), 200, 2),
        ([500], Retry(3, (418,)), 500, 1),
        ([200], Retry(3, (200,)), 200, 1),
        ([ProviderFailed("no connection"), 200], Retry(1), 200, 2),
        ([ProviderFailed("no connection"), 200], Retry(1, (429,)), 200, 2),
        ([ProviderTimeout("silent"), ProviderFailed("cut")], Retry(1), 502, 2),
        ([InvalidRequest("not this provider"), 200], Retry(3), 400, 1),
        ([Blocked("refused"), 200], Retry(3), 446, 1),
    ],
)
async def test_what_is_retried(script: list[Step], retry: Retry, status: int, calls: int) -> None:
    """Listed statuses and failed connections are; good replies and the gateway's own refusals are not."""
    result, provider, attempt, waits = await retried(script, retry)
    assert (result.status, provider.calls, attempt.retries, len(waits)) == (status, calls, calls - 1, calls - 1)


async def test_errors_that_are_not_retryable_stand() -> None:
    """A provider error that says that trying again is useless is raised at once."""

    class Useless(ProviderError):
        """Trying again cannot help."""

        retryable = False

    result, provider, _, _ = await retried([Useless("no"), 200], Retry(3))
    assert (result.status, provider.calls) == (502, 1)


def stream_of(closed: list[str], name: str) -> AsyncGenerator[bytes, None]:
    async def chunks() -> AsyncGenerator[bytes, None]:
        try:
            yield b"data: 1\n\n"
            yield b"data: 2\n\n"
        finally:
            closed.append(name)

    return chunks()


async def test_a_stream_that_began_is_not_retried() -> None:
    """A 2xx reply with chunks is returned as it is, whatever the list says."""
    closed: list[str] = []
    stream = Reply(200, chunks=stream_of(closed, "good"))
    reply, provider, _, _ = await retried([stream], Retry(3, (200,)))
    assert (reply is stream, provider.calls, closed) == (True, 1, [])


async def test_replies_given_up_are_closed() -> None:
    """A reply that is left for another try is closed before the wait, the last one is not."""
    closed: list[str] = []
    first, second = (Reply(503, chunks=stream_of(closed, name)) for name in ("first", "second"))
    for reply in (first, second):
        assert reply.chunks is not None
        await anext(reply.chunks)
    reply, _, _, _ = await retried([first, second], Retry(1))
    assert (reply is second, closed) == (True, ["first"])


def limited(status: int, value: bytes) -> Reply:
    return Reply(status, ((b"retry-after", value),))


async def test_retry_after_is_obeyed_where_asked() -> None:
    """With `use_retry_after_header` the wait is at least what the provider says, whichever status carries it."""
    for status in (429, 503):
        _, _, _, waits = await retried([limited(status, b"20"), 200], Retry(1, use_retry_after_header=True))
        assert 20.0 <= waits[0] <= 20.5
    _, _, _, waits = await retried([limited(429, b"20"), 200], Retry(1))
    assert waits[0] <= 0.5


async def test_a_long_retry_after_ends_the_retries() -> None:
    """Nobody waits longer than 60 s: the reply goes back at once, so that a fallback can go on."""
    reply, provider, _, waits = await retried([limited(429, b"61"), 200], Retry(3, use_retry_after_header=True))
    assert (reply.status, provider.calls, waits) == (429, 1, [])
    _, provider, _, waits = await retried([limited(429, b"60"), 200], Retry(3, use_retry_after_header=True))
    assert (provider.calls, waits) == (2, [60.0])


async def test_no_retry_starts_after_the_deadline() -> None:
    """A wait that would pass `request_timeout` is not begun: the last outcome stands."""
    reply, provider, _, waits = await retried([limited(429, b"20"), 200], Retry(3, use_retry_after_header=True), 10.0)
    assert (reply.status, provider.calls, waits) == (429, 1, [])


async def test_the_deadline_covers_every_try() -> None:
    """A later try that is still silent when `request_timeout` has passed is cancelled and becomes a 504."""
    cancelled = asyncio.Event()

    async def silent() -> Reply:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise
        raise AssertionError

    error, provider, attempt, _ = await retried(
        [limited(500, b"0"), silent, 200], Retry(3, use_retry_after_header=True), 0.1
    )
    assert isinstance(error, ProviderTimeout)
    assert (error.deployment, error.provider, cancelled.is_set()) == ("a", "scripted", True)
    assert (provider.calls, attempt.retries) == (2, 1)


async def test_a_timeout_of_the_call_itself_is_not_taken_for_the_deadline() -> None:
    """A TimeoutError from inside the call passes as it is."""

    async def broken() -> Reply:
        raise TimeoutError

    with pytest.raises(TimeoutError):
        await retried([broken], Retry(1), 60.0)


async def test_cancellation_ends_the_wait() -> None:
    """A client that leaves while a retry waits ends it."""
    waiting = asyncio.Event()

    async def sleep(_: float) -> None:
        waiting.set()
        await asyncio.Event().wait()

    provider, ex = Scripted("a", [500, 200]), exchange()
    ex.attempt = Attempt(Target(deployment="a", retry=Retry(1)), provider, "m", 0.0)
    task = asyncio.create_task(_run(RouterStandard(sleep).wrap_call(provider.call), ex))
    await waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert provider.calls == 1


async def _run(call: Callable[[Exchange], Awaitable[Reply]], ex: Exchange) -> Reply:
    return await call(ex)


# breakers


class Sick(Provider):
    """Fails with a status, or without an answer where that is 0."""

    name = "sick"
    is_keyless = True

    def __init__(self, status: int) -> None:
        super().__init__("a", DeploymentConfig(provider="sick"), NoUpstream())
        self.status = status
        self.calls = 0

    @override
    async def call(self, ex: Exchange) -> Reply:
        self.calls += 1
        if self.status:
            return Reply(self.status, body=b"sorry")
        raise ProviderFailed("no answer")


class Run:
    """One attempt with two retries, on a clock that only its waits move; `while_waiting` happens in each of them."""

    def __init__(self, status: int, while_waiting: Callable[[Health], object] = lambda _: None) -> None:
        self.now = 0.0
        self.fleet = Fleet(lambda: self.now, rng=random.Random(1))
        self.health = self.fleet.health("a", "m", RULE)
        self.provider = Sick(status)
        target = Target(deployment="a", retry=Retry(2), breaker=RULE)
        self.attempt = Attempt(target, self.provider, "m", 0.0, fleet=self.fleet, health=self.health)
        self._while_waiting = while_waiting

    async def sleep(self, seconds: float) -> None:
        """Let the time pass."""
        self.now += seconds
        self._while_waiting(self.health)

    async def outcome(self) -> Reply:
        """What comes of it."""
        ex = Exchange(CHAT, {}, request_id="r", trace_id="t", dialect=OpenAIChat())
        ex.attempt = self.attempt
        return await RouterStandard(self.sleep, random.Random(1)).wrap_call(self.provider.call)(ex)


def fail_often(health: Health) -> None:
    """As many failures of others as open the breaker."""
    for _ in range(RULE.consecutive):
        call = health.begin(0.0)
        health.failed(call, 0.0)
        health.end(call, 0.0)


@pytest.mark.parametrize("status", [503, 0])
async def test_no_retry_goes_to_a_target_whose_breaker_is_open(status: int) -> None:
    """The failure that is there stands, at once: waiting for a try that would fail helps nobody."""
    run = Run(status)
    fail_often(run.health)
    if status:
        assert (await run.outcome()).body == b"sorry"
    else:
        with pytest.raises(ProviderFailed, match="no answer"):
            await run.outcome()
    assert (run.provider.calls, run.attempt.retries, run.now) == (1, 0, 0.0)


@pytest.mark.parametrize("status", [503, 0])
async def test_a_breaker_that_opens_while_a_retry_waits_ends_it(status: int) -> None:
    """What fails for everybody meanwhile is not tried again; the caller gets the failure that was there before the wait."""
    run = Run(status, fail_often)
    if status:
        assert (await run.outcome()).body == b"sorry"
    else:
        with pytest.raises(ProviderFailed, match="no answer"):
            await run.outcome()
    assert (run.provider.calls, run.attempt.retries) == (1, 0)
    assert run.now > 0


async def test_a_closed_breaker_leaves_retries_alone() -> None:
    """A target that fails now and then is tried again as often as it says."""
    run = Run(503)
    assert (await run.outcome()).status == 503
    assert (run.provider.calls, run.attempt.retries) == (3, 2)


# together


def plan_of(*providers: Scripted) -> Plan:
    plugins = [Plugin("router-standard", RouterStandard(Sleeper())), Plugin("core", Core())]
    return compile_plan(plugins, collect(plugins), {provider.deployment: provider for provider in providers}, {})


async def test_hook_strategies(tmp_path: Path) -> None:
    """Retries happen inside a leaf, then the fallback goes on; each leaf is one attempt."""
    plugin, ctx = RouterStandard(), Context(NoUpstream(), tmp_path, "")
    ctx.known = Known(("a", "b"), plugin.strategies())
    plugin.configure(ctx)
    first, second = Scripted("a", [500, ProviderFailed("cut"), 503]), Scripted("b", [429, 200])
    target = ctx.decode_target(
        {
            "strategy": {"mode": "fallback"},
            "retry": {"attempts": 2},
            "targets": [{"provider": "a/x"}, {"provider": "b/y"}],
        }
    )
    ex = exchange()
    reply = await call_target(plan_of(first, second), ex, target)
    assert (reply.status, first.calls, second.calls) == (200, 3, 2)
    assert [(attempt.status, attempt.retries) for attempt in ex.attempts] == [(503, 2), (200, 1)]


async def test_fallback_gives_back_the_last_failure() -> None:
    """When every target fails the caller gets the last one's outcome."""
    plan = plan_of(Scripted("a", [500]), Scripted("b", [ProviderFailed("cut")]))
    target = Target(strategy="fallback", targets=(Target(deployment="a"), Target(deployment="b")))
    with pytest.raises(ProviderFailed):
        await call_target(plan, exchange(), target)
