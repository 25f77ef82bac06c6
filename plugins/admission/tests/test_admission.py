"""Admission in a whole gateway, with requests that really run at once: slots, queues, refusals, and clients that leave."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import httpx2
import msgspec
import pytest
from core.tests.realtime import provided, served
from typing_extensions import override
from websockets.exceptions import InvalidStatus

from headgate import Blocked, Exchange, Hooks, Principal, Provider, ProviderFailed, Reply, StartupError, hookimpl
from headgate.folds import begin
from headgate.operations import CHAT
from headgate.plan import implements
from headgate.testing import Canned, Client, OpenGateway, chat_request, eventually
from headgate_admission import Admission, AdmissionConfig, tenant_named

PATH = "/v1/chat/completions"


class Callers(Hooks):
    """Takes the bearer's word for the tenant and the priority: `NAME` or `NAME:PRIORITY`."""

    @override
    @hookimpl
    async def authenticate(self, ex: Exchange) -> Principal:
        name, _, priority = (ex.header("authorization") or "").removeprefix("Bearer ").partition(":")
        return Principal(name, priority=int(priority or 0))


class Desk:
    """What the provider of a test is doing. While it is `open`, calls are answered after some turns of the loop."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.order: list[str] = []
        self.running = 0
        self.most = 0

    async def serve(self, ex: Exchange) -> None:
        self.order.append(ex.principal.key if ex.principal is not None else "")
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await self.open.wait()
            for _ in range(5):
                await asyncio.sleep(0)
        finally:
            self.running -= 1


def provider_at(desk: Desk, failure: Exception | None = None) -> type[Provider]:
    class Served(Canned):
        name = "served"
        dialects: ClassVar[Mapping[str, str]] = Canned.dialects

        @override
        async def call(self, ex: Exchange) -> Reply:
            await desk.serve(ex)
            if failure is not None:
                raise failure
            return await super().call(ex)

    return Served


def settings(**config: Any) -> AdmissionConfig:
    return AdmissionConfig(**config)


async def opened(open_gateway: OpenGateway, plugin: Admission, kind: type[Provider], *others: Hooks) -> Client:
    providers = {"d": {"provider": "served"}}
    return await open_gateway(Callers(), plugin, *others, kind, providers=providers, models={"m": "d/echo"})


def ask(client: Client, caller: str, **more: Any) -> asyncio.Task[httpx2.Response]:
    body = chat_request("Hi there", model="m", **more)
    return asyncio.create_task(client.post(PATH, json=body, headers={"authorization": f"Bearer {caller}"}))


def exchange(caller: str = "a") -> Exchange:
    ex = Exchange(CHAT, {}, request_id="r", trace_id="t")
    ex.principal = Principal(caller)
    return ex


async def test_one_greedy_tenant_costs_the_others_nothing(gateway_client: OpenGateway) -> None:
    """All requests of two tenants are served while a third has ten times as many, whose surplus hears when to come back."""
    desk, plugin = Desk(), Admission(settings(in_flight=4, waiting=40, waiting_per_tenant=20, max_wait_s=30))
    client = await opened(gateway_client, plugin, provider_at(desk))
    greedy = [ask(client, "greedy") for _ in range(100)]
    await eventually(lambda: plugin.queue.waiting == 20, "the greedy tenant's queue is full")
    modest = [ask(client, f"modest-{at % 2}") for at in range(10)]
    await eventually(lambda: plugin.queue.waiting == 30, "the others wait, too")
    desk.open.set()
    replies = [await task for task in greedy]
    assert Counter(reply.status_code for reply in [await task for task in modest]) == {200: 10}
    assert Counter(reply.status_code for reply in replies) == {200: 24, 429: 76}
    refused = [reply for reply in replies if reply.status_code == 429]
    assert {reply.json()["error"]["code"] for reply in refused} == {"tenant_overloaded"}
    assert all(int(reply.headers["retry-after"]) >= 1 for reply in refused)
    last = max(at for at, caller in enumerate(desk.order) if caller != "greedy")
    assert (
        last < 4 + 20
    )  # the last of ten came when its tenant's fifth turn did, before the greedy tenant's queue was empty
    assert desk.most == 4
    await eventually(lambda: plugin.queue.running == 0, "every slot is given back")


async def test_a_critical_request_goes_first(gateway_client: OpenGateway) -> None:
    """Of those that wait the highest priority is served first, whoever came before it."""
    desk, plugin = Desk(), Admission(settings(in_flight=1))
    client = await opened(gateway_client, plugin, provider_at(desk))
    tasks = [ask(client, "first")]
    await eventually(lambda: desk.order, "the first runs")
    for at, caller in enumerate(("low", "lower:-1", "critical:9"), 1):
        tasks.append(ask(client, caller))
        await eventually(lambda at=at: plugin.queue.waiting == at, f"{caller} waits")
    desk.open.set()
    assert [(await task).status_code for task in tasks] == [200] * 4
    assert desk.order == ["first", "critical", "low", "lower"]


async def test_a_full_gateway_says_when_to_come_back(gateway_client: OpenGateway) -> None:
    """Whoever has asked for no more than its share gets a 503 with `Retry-After`."""
    desk, plugin = Desk(), Admission(settings(in_flight=1, waiting=0))
    client = await opened(gateway_client, plugin, provider_at(desk))
    running = ask(client, "a")
    await eventually(lambda: desk.running, "one runs")
    reply = await ask(client, "a")
    assert (reply.status_code, reply.json()["error"]["code"]) == (503, "overloaded")
    assert int(reply.headers["retry-after"]) >= 1
    desk.open.set()
    assert (await running).status_code == 200


async def test_nobody_waits_for_longer_than_is_allowed(gateway_client: OpenGateway) -> None:
    """At the end of the longest wait the request is refused, long before the hook's budget."""
    desk, plugin = Desk(), Admission(settings(in_flight=1, max_wait_s=0.05))
    client = await opened(gateway_client, plugin, provider_at(desk))
    running = ask(client, "a")
    await eventually(lambda: desk.running, "one runs")
    reply = await ask(client, "b")
    assert (reply.status_code, "retry-after" in reply.headers) == (503, True)
    assert (plugin.queue.waiting, desk.order) == (0, ["a"])
    desk.open.set()
    await running


async def test_a_client_that_leaves_gives_its_place_up(gateway_client: OpenGateway) -> None:
    """One that waits and goes is not served, and the next one is."""
    desk, plugin = Desk(), Admission(settings(in_flight=1))
    client = await opened(gateway_client, plugin, provider_at(desk))
    running = ask(client, "a")
    await eventually(lambda: desk.running, "one runs")
    gone = ask(client, "gone")
    await eventually(lambda: plugin.queue.waiting == 1, "one waits")
    waiting = ask(client, "b")
    await eventually(lambda: plugin.queue.waiting == 2, "two wait")
    gone.cancel()
    await eventually(lambda: plugin.queue.waiting == 1, "the place is given up")
    desk.open.set()
    assert [(await task).status_code for task in (running, waiting)] == [200, 200]
    assert desk.order == ["a", "b"]


async def test_a_turn_that_comes_as_the_client_leaves_is_passed_on() -> None:
    """Cancelled between its turn and the moment it takes it up, an exchange keeps no slot."""
    plugin = Admission(settings(in_flight=1))
    first, second = exchange("a"), exchange("b")
    await plugin.admit(first)
    task = asyncio.create_task(plugin.admit(second))
    await eventually(lambda: plugin.queue.waiting == 1, "the second waits")
    await plugin.record(first)
    assert plugin.queue.running == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert plugin.queue.running == 0
    await plugin.record(second)
    assert plugin.queue.running == 0


async def test_a_free_slot_costs_no_wait() -> None:
    """With room the hook is done at its first step: no task, no timer, no future."""
    plugin = Admission(settings(in_flight=1))
    assert begin(plugin.admit(exchange()), 10.0) == (True, None)


class Breaking(Canned):
    """Its streams break off after the first piece."""

    name = "served"

    @override
    async def call(self, ex: Exchange) -> Reply:
        reply = await super().call(ex)
        if reply.chunks is not None:
            reply.chunks = _broken(reply.chunks)
        return reply


async def _broken(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield await anext(chunks)
    raise ProviderFailed("the stream broke")


class Refusing(Hooks):
    """Refuses every request after it was admitted."""

    @override
    @hookimpl
    async def guard_request(self, ex: Exchange) -> None:
        raise Blocked("no")


@pytest.mark.parametrize(
    ("kind", "others", "status"),
    [
        (Canned, (), 200),
        (Breaking, (), 200),
        (None, (), 502),
        (Canned, (Refusing(),), 446),
    ],
    ids=["complete", "broken off", "provider failed", "refused later"],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_a_slot_is_given_back_however_it_ends(
    kind: type[Provider] | None, others: tuple[Hooks, ...], status: int, stream: bool, gateway_client: OpenGateway
) -> None:
    """Replies, streams that end and that break, errors and refusals: afterwards all slots are free."""
    desk, plugin = Desk(), Admission(settings(in_flight=1, max_wait_s=0.05))
    desk.open.set()
    name = type("Served", (kind,), {"name": "served"}) if kind is not None else None
    client = await opened(gateway_client, plugin, name or provider_at(desk, ProviderFailed("down")), *others)
    for _ in range(3):
        assert (await ask(client, "a", stream=stream)).status_code == status
        await eventually(lambda: plugin.queue.running == 0, "the slot is free")


async def test_a_stream_holds_its_slot_until_its_reader_leaves(gateway_client: OpenGateway) -> None:
    """What runs on after its first byte still runs; a reader that goes gives the slot back."""

    class Endless(Canned):
        name = "served"

        @override
        async def call(self, ex: Exchange) -> Reply:
            reply = await super().call(ex)
            reply.chunks = _endless()
            return reply

    plugin = Admission(settings(in_flight=1))
    client = await opened(gateway_client, plugin, Endless)
    headers, body = {"authorization": "Bearer a"}, chat_request("Hi", model="m", stream=True)
    async with client.stream("POST", PATH, json=body, headers=headers) as reply:
        assert (reply.status_code, plugin.queue.running) == (200, 1)
        waiting = ask(client, "b", stream=True)
        await eventually(lambda: plugin.queue.waiting == 1, "another waits")
    await eventually(lambda: plugin.queue.waiting == 0, "the other has the slot")
    assert plugin.queue.running == 1
    waiting.cancel()
    await eventually(lambda: plugin.queue.running == 0, "all slots are free")


async def _endless() -> AsyncIterator[bytes]:
    while True:
        yield b": still here\n\n"
        await asyncio.sleep(0.001)


async def test_a_session_holds_its_slot_to_its_end(tmp_path: Path) -> None:
    """A realtime session runs until both sides have closed, and then its slot is free."""
    plugin = Admission(settings(in_flight=1, waiting=0))
    async with provided() as provider, served(provider.port, tmp_path, plugin) as gateway:
        async with gateway.connect() as session:
            await session.send("hello")
            assert (await session.recv(), plugin.queue.running) == ("hello", 1)
            with pytest.raises(InvalidStatus) as refused:
                await gateway.connect()
            assert (refused.value.response.status_code, refused.value.response.headers["retry-after"]) == (503, "1")
        await eventually(lambda: plugin.queue.running == 0, "the slot is free")


async def test_a_shadow_gives_nothing_back() -> None:
    """A mirrored request carries the data of the one it repeats, whose slot is not its own."""
    plugin, ex = Admission(settings(in_flight=1)), exchange()
    await plugin.admit(ex)
    shadow = ex.fork()
    shadow.shadow_of = ex.id
    await plugin.record(shadow)
    assert plugin.queue.running == 1


# settings


async def test_one_tenant_has_no_more_slots_than_its_share_allows() -> None:
    """`tenant_share` leaves slots to others, whatever one of them has running."""
    plugin = Admission(settings(in_flight=4, tenant_share=0.5))
    for caller in ("a", "a", "b"):
        await plugin.admit(exchange(caller))
    task = asyncio.create_task(plugin.admit(exchange("a")))
    await eventually(lambda: plugin.queue.waiting == 1, "the third of the first waits")
    assert plugin.queue.running == 3
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_the_hook_has_time_for_the_longest_wait() -> None:
    """No setting lets a request wait for longer than the hook's budget."""
    longest_s = Admission.budgets["admit"]
    with pytest.raises(msgspec.ValidationError, match="max_wait_s"):
        msgspec.convert({"max_wait_s": longest_s}, AdmissionConfig)
    assert msgspec.convert({"max_wait_s": longest_s - 5.0}, AdmissionConfig).max_wait_s < longest_s


def test_what_is_not_configured_costs_nothing() -> None:
    """Without gates no call is wrapped, without slots nothing is counted, and only an adaptive limit needs a watch."""

    def used(**config: Any) -> set[str]:
        plugin = Admission(settings(**config))
        return {hook for hook in ("start", "stop", "admit", "record", "wrap_call") if implements(plugin, hook)}

    assert used() == {"admit", "record"}
    assert used(adaptive=True) == {"start", "stop", "admit", "record"}
    assert used(in_flight=0, adaptive=True) == set()


def test_weights_name_tenants() -> None:
    """A key by its name, a workspace with its organisation: the same as the tenant of such a caller."""
    assert tenant_named("ci") == Principal("ci").tenant
    assert tenant_named("acme/prod") == Principal("x", organisation="acme", workspace="prod").tenant
    assert tenant_named("acme/") == Principal("x", organisation="acme").tenant


async def test_a_gate_for_no_deployment_is_a_mistake(gateway_client: OpenGateway) -> None:
    """The start is refused with the name that is meant."""
    with pytest.raises(StartupError, match=r"`deployments\.dem` names no deployment.*`demo`"):
        await gateway_client(config={"plugins": [{"admission": {"deployments": {"dem": {"in_flight": 1}}}}]})


async def test_a_gate_watches_its_deployment(gateway_client: OpenGateway) -> None:
    """A gate needs to know how its deployment does, also where no routing config leaves a choice."""
    client = await gateway_client(config={"plugins": [{"admission": {"deployments": {"demo": {"in_flight": 1}}}}]})
    watched = client.gateway.context.fleet.watched
    assert watched is not None
    assert "demo" in watched


async def test_an_adaptive_limit_goes_down_when_the_loop_lags(gateway_client: OpenGateway) -> None:
    """What the gateway notices of its own lateness lowers the limit; every tick is late by this measure."""
    plugin = Admission(settings(in_flight=50, adaptive=True, max_lag_s=1e-9))
    await gateway_client(plugin)
    await eventually(lambda: plugin.queue.limit < 50, "the limit goes down", 20.0)
