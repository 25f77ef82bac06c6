"""Strategies, inline routing configs, and the waits and ends of retries, all without waiting."""

from __future__ import annotations

import asyncio
import base64
import json
import math
import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typing_extensions import override

from headgate.builtin import Core
from headgate.calling import call_target
from headgate.context import Context
from headgate.dialects import OpenAIChat
from headgate.errors import (
    Blocked,
    Forbidden,
    InvalidRequest,
    ProviderError,
    ProviderFailed,
    ProviderTimeout,
    RequestError,
)
from headgate.exchange import Attempt, Caching, Exchange, Principal, Reply, Retry, Target
from headgate.fleet import Fleet
from headgate.hooks import Outcome, Scene
from headgate.operations import CHAT
from headgate.plan import Plan, Plugin, collect, compile_plan
from headgate.policies import retry_after_s
from headgate.provider import DeploymentConfig, Provider
from headgate.routing import Known
from headgate.upstream import Upstream, UpstreamRequest, UpstreamResponse
from headgate_router_standard import Fallback, RouterStandard, Single, delay

NOW = 1_800_000_000.0
Step = int | Reply | RequestError | Callable[[], Awaitable[Reply]]


class NoUpstream:
    """An upstream nobody may call."""

    async def send(self, request: UpstreamRequest) -> UpstreamResponse:
        raise AssertionError(f"nothing may be sent, and {request.url} was")

    async def close(self) -> None:
        """Nothing is open."""


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


def exchange(headers: Mapping[str, str] | None = None, principal: Principal | None = None) -> Exchange:
    raw = {name.encode(): value.encode() for name, value in (headers or {}).items()}
    ex = Exchange(CHAT, raw, request_id="r", trace_id="t", dialect=OpenAIChat())
    ex.body, ex.model = b'{"model":"m","messages":[]}', "m"
    ex.principal = principal or Principal("k")
    return ex


def router(tmp_path: Path, deployments: Sequence[str] = ("a", "b")) -> tuple[RouterStandard, Context]:
    upstream: Upstream = NoUpstream()
    plugin, ctx = RouterStandard(), Context(upstream, tmp_path, "")
    ctx.known = Known(tuple(deployments), plugin.strategies())
    plugin.configure(ctx)
    return plugin, ctx


def config(value: Any) -> dict[str, str]:
    return {"x-headgate-config": value if isinstance(value, str) else json.dumps(value)}


# strategies


def chosen(strategy: Single | Fallback, target: Target, *outcomes: Outcome) -> int | None:
    return strategy.choose(target, exchange(), outcomes, Scene(0.0, random.Random(0), Fleet()))


TWO = Target(targets=(Target(deployment="a"), Target(deployment="b")))


def test_single_calls_the_first_target_once() -> None:
    """`single` calls its first target, and whatever comes stands."""
    assert chosen(Single(), TWO) == 0
    assert chosen(Single(), TWO, Outcome(0, 500)) is None


@pytest.mark.parametrize(
    ("codes", "outcome", "expected"),
    [
        ((), Outcome(0, 200), None),
        ((), Outcome(0, 246), None),
        ((), Outcome(0, 299), None),
        ((), Outcome(0, 300), 1),
        ((), Outcome(0, 400), None),
        ((), Outcome(0, 422), None),
        ((), Outcome(0, 401), 1),
        ((), Outcome(0, 404), 1),
        ((), Outcome(0, 429), 1),
        ((400,), Outcome(0, 400), 1),
        ((), Outcome(0, 502), 1),
        ((), Outcome(0, 446, is_final=True), None),
        ((), Outcome(0, 400, is_final=True), None),
        ((446,), Outcome(0, 446, is_final=True), 1),
        ((429,), Outcome(0, 446, is_final=True), None),
        ((429,), Outcome(0, 429), 1),
        ((429,), Outcome(0, 500), None),
        ((200,), Outcome(0, 200), 1),
    ],
)
def test_fallback_leaves_a_target(codes: tuple[int, ...], outcome: Outcome, expected: int | None) -> None:
    """Listed statuses are left exactly; with no list all failures but the caller's own mistakes, whoever names them."""
    target = Target(targets=TWO.targets, on_status_codes=codes)
    assert chosen(Fallback(), target) == 0
    assert chosen(Fallback(), target, outcome) == expected


def test_fallback_ends_with_its_last_target() -> None:
    """There is nothing behind the last target, so its failure stands."""
    assert chosen(Fallback(), TWO, Outcome(0, 500), Outcome(1, 500)) is None


# the option `config`


async def test_hook_route(tmp_path: Path) -> None:
    """An inline config becomes a tree; without the header others decide."""
    plugin, _ = router(tmp_path)
    assert await plugin.route(exchange()) is None
    value = {"strategy": {"mode": "fallback", "on_status_codes": [429]}, "targets": ["a/x", {"provider": "b"}]}
    target = await plugin.route(exchange(config(value)))
    assert target is not None
    assert (target.strategy, target.on_status_codes) == ("fallback", (429,))
    assert [(leaf.deployment, leaf.model) for leaf in target.targets] == [("a", "x"), ("b", "")]
    assert await plugin.route(exchange({"x-portkey-config": json.dumps(value)})) is target


SAVED: dict[str, Any] = {
    "eu": {"strategy": {"mode": "fallback"}, "targets": ["a/x", "b/y"]},
    "patient": {"retry": {"attempts": 2}, "cache": {"mode": "simple", "max_age": 60}},
}


def with_saved(tmp_path: Path) -> RouterStandard:
    plugin, ctx = router(tmp_path)
    ctx.known = Known(("a", "b"), plugin.strategies(), configs=SAVED)
    return plugin


async def test_a_saved_config_is_named(tmp_path: Path) -> None:
    """The header may hold the name of a config of the file, which a key may name that must not bring any of its own."""
    plugin = with_saved(tmp_path)
    for principal in (Principal("k"), Principal("k", allow_config=False)):
        target = await plugin.route(exchange(config("eu"), principal))
        assert target is not None
        assert [leaf.deployment for leaf in target.targets] == ["a", "b"]
    with pytest.raises(InvalidRequest, match=r"`configs:` has no `ue`"):
        await plugin.route(exchange(config("ue")))


async def test_a_key_has_a_config_of_its_own(tmp_path: Path) -> None:
    """Requests that bring no config take the key's; what it leaves open is the request's own model."""
    plugin = with_saved(tmp_path)
    ex = exchange(principal=Principal("k", config="patient"))
    ex.model = "b/m"
    await plugin.admit(ex)
    target = await plugin.route(ex)
    assert target is not None
    assert (target.deployment, target.model, target.retry.attempts) == ("b", "m", 2)
    assert ex.caching == Caching("simple", 60.0)
    ex = exchange(config("eu"), Principal("k", config="patient"))
    target = await plugin.route(ex)
    assert target is not None
    assert target.strategy == "fallback"


async def test_one_callers_config_is_not_anothers(tmp_path: Path) -> None:
    """That a config was decoded before lets nobody bring it who may not."""
    plugin, _ = router(tmp_path)
    assert await plugin.route(exchange(config({"provider": "a"}))) is not None
    with pytest.raises(Forbidden):
        await plugin.route(exchange(config({"provider": "a"}), Principal("k", allow_config=False)))


async def test_a_config_may_come_in_base64(tmp_path: Path) -> None:
    """Some of Portkey's clients encode it."""
    plugin, _ = router(tmp_path)
    written = base64.b64encode(b'{"provider": "b"}').decode()
    target = await plugin.route(exchange(config(written)))
    assert target is not None
    assert target.deployment == "b"


async def test_config_may_hold_any_text(tmp_path: Path) -> None:
    """A header's bytes are UTF-8, whatever the server made of them."""
    plugin, _ = router(tmp_path)
    target = await plugin.route(exchange(config('{"provider":"a","override_params":{"user":"Zoë"}}')))
    assert target is not None
    assert target.override_params == {"user": "Zoë"}


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("pc-prod-1", "`configs:` has no `pc-prod-1`"),
        ("fallback", "send the config itself"),
        ('["a/m"]', "send the config itself"),
        ('{"provider":', "not valid JSON"),
        ('{"provider":"a"}' + " " * 65536, "larger than 65536 bytes"),
        ('{"targets":[' * 100 + "1" + "]}" * 100, "nested deeper"),
        ('{"provider":"c"}', "deployment `c` is not known"),
        ('{"provider":"a","api_kee":"x"}', "`config.api_kee` is not known"),
        ('{"strategy":{"mode":"fallbak"},"targets":["a"]}', "did you mean `fallback`"),
    ],
)
async def test_wrong_configs(tmp_path: Path, written: str, words: str) -> None:
    """A config that cannot be used is the caller's mistake, and the message says which."""
    plugin, _ = router(tmp_path)
    with pytest.raises(InvalidRequest) as caught:
        await plugin.route(exchange(config(written)))
    assert words in caught.value.message
    assert caught.value.param == "x-headgate-config"


@given(st.binary(max_size=200) | st.text('{}[]",:ab01tnufale\\', max_size=60).map(str.encode))
def test_any_bytes_are_read_or_refused(written: bytes) -> None:
    """Whatever the header holds, the answer is a tree or InvalidRequest."""
    plugin, _ = router(Path())
    ex = exchange()
    ex.headers = {b"x-headgate-config": written}
    try:
        asyncio.run(plugin.route(ex))
    except InvalidRequest:
        return


async def test_keys_that_may_not_send_configs(tmp_path: Path) -> None:
    """`allow_config: false` refuses the header before it is looked at, and nothing else."""
    plugin, _ = router(tmp_path)
    principal = Principal("k", allow_config=False)
    assert await plugin.route(exchange(principal=principal)) is None
    with pytest.raises(Forbidden):
        await plugin.route(exchange(config("pc-1"), principal))


@pytest.mark.parametrize(
    ("models", "is_allowed"),
    [((), True), (("a/*", "b/m"), True), (("a/x", "b/m"), True), (("a/x",), False), (("m", "b/m"), False)],
)
async def test_models_of_a_key_bind_every_leaf(tmp_path: Path, models: tuple[str, ...], is_allowed: bool) -> None:
    """Each leaf's `deployment/model` must be allowed, the request's model standing in where the leaf names none."""
    plugin, _ = router(tmp_path)
    inner = {"strategy": {"mode": "fallback"}, "targets": ["a/x", "b"]}
    ex = exchange(config({"strategy": {"mode": "single"}, "targets": [inner]}), Principal("k", models=models))
    if is_allowed:
        assert await plugin.route(ex) is not None
        return
    with pytest.raises(Forbidden, match="may not use"):
        await plugin.route(ex)


async def test_override_params_do_not_smuggle_a_model(tmp_path: Path) -> None:
    """A model in `override_params`, of a parent too, is the model that must be allowed."""
    plugin, _ = router(tmp_path)
    value = {"strategy": {"mode": "single"}, "targets": ["b", {"provider": "a"}], "override_params": {"model": "x"}}
    with pytest.raises(Forbidden, match="`a/x`"):
        await plugin.route(exchange(config(value), Principal("k", models=("m", "a/m", "b/*"))))


async def test_trees_are_cached_until_the_configuration_changes(tmp_path: Path) -> None:
    """Equal headers share a tree; a reload that removes a deployment makes the same header wrong."""
    plugin, ctx = router(tmp_path)
    first = await plugin.route(exchange(config('{"provider":"b"}')))
    assert await plugin.route(exchange(config('{"provider":"b"}'))) is first
    ctx.known = Known(("a",), ctx.known.strategies)
    with pytest.raises(InvalidRequest, match="`b` is not known"):
        await plugin.route(exchange(config('{"provider":"b"}')))


async def test_the_cache_is_bounded(tmp_path: Path) -> None:
    """However many configs are sent, only the latest are kept."""
    plugin, _ = router(tmp_path)
    configs = [config(f'{{"provider":"a/{number}"}}') for number in range(257)]
    targets = [await plugin.route(exchange(sent)) for sent in configs]
    assert await plugin.route(exchange(configs[-1])) is targets[-1]
    assert await plugin.route(exchange(configs[0])) is not targets[0]


# delays


@given(st.integers(1, 2000), st.integers())
def test_delay_is_a_jittered_backoff(retry_number: int, seed: int) -> None:
    """Without `Retry-After` a wait lies between 0 and 0.5 s doubled per retry, never above 8 s."""
    wait = delay(retry_number, random.Random(seed))
    assert 0.0 <= wait <= min(8.0, 0.5 * 2.0 ** min(retry_number - 1, 10))


@given(st.integers(1, 10), st.integers(), st.floats(allow_nan=False))
def test_delay_with_retry_after(retry_number: int, seed: int, after: float) -> None:
    """`Retry-After` is a floor up to the cap of 60 s."""
    wait = delay(retry_number, random.Random(seed), after)
    assert min(60.0, max(0.0, after)) <= wait <= min(60.0, max(0.0, after) + 8.0)


def test_delays_spread() -> None:
    """A thousand callers that fail together do not come back together."""
    waits = [delay(3, random.Random(seed)) for seed in range(1000)]
    in_one_moment = max(sum(1 for wait in waits if at <= wait * 100 < at + 1) for at in range(200))
    assert in_one_moment < 25
    assert (min(waits) < 0.05, max(waits) > 1.95) == (True, True)


def header_date(then: float) -> bytes:
    return format_datetime(datetime.fromtimestamp(then, UTC), usegmt=True).encode()


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ((), None),
        (((b"retry-after", b"7"),), 7.0),
        (((b"retry-after", b"0.5"),), 0.5),
        (((b"retry-after", b"0"),), 0.0),
        (((b"retry-after", b"-3"),), None),
        (((b"retry-after", b"nan"),), None),
        (((b"retry-after", b"inf"),), None),
        (((b"retry-after", b"soon"),), None),
        (((b"retry-after", b"99999999"),), 99999999.0),
        (((b"retry-after", header_date(NOW + 30)),), 30.0),
        (((b"retry-after", header_date(NOW - 30)),), 0.0),
        (((b"retry-after", b"Fri Jan 15 08:00:09 2027"),), 9.0),
        (((b"retry-after-ms", b"250"), (b"retry-after", b"7")), 0.25),
        (((b"retry-after-ms", b"x"), (b"retry-after", b"7")), 7.0),
        (((b"x-ms-retry-after-ms", b"1500"),), 1.5),
    ],
)
def test_retry_after_forms(headers: tuple[tuple[bytes, bytes], ...], expected: float | None) -> None:
    """Seconds, milliseconds and all forms of HTTP date are read; nonsense counts as nothing said."""
    assert retry_after_s(headers, NOW) == expected


@given(
    st.binary(max_size=60)
    | st.from_regex(r"[A-Z][a-z]{2}, \d{1,3} [A-Z][a-z]{2} \d{1,6} \d+:\d+:\d+ \S{0,6}").map(lambda text: text.encode())
)
def test_retry_after_never_fails(value: bytes) -> None:
    """Whatever a provider sends, reading it gives a finite wait or nothing."""
    wait = retry_after_s(((b"retry-after", value),), NOW)
    assert wait is None or (math.isfinite(wait) and wait >= 0)


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


# together


def plan_of(*providers: Scripted) -> Plan:
    plugins = [Plugin("router-standard", RouterStandard(Sleeper())), Plugin("core", Core())]
    return compile_plan(plugins, collect(plugins), {provider.deployment: provider for provider in providers}, {})


async def test_hook_strategies(tmp_path: Path) -> None:
    """Retries happen inside a leaf, then the fallback goes on; each leaf is one attempt."""
    _, ctx = router(tmp_path)
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
    target = Target(strategy="fallback", targets=TWO.targets)
    with pytest.raises(ProviderFailed):
        await call_target(plan, exchange(), target)
