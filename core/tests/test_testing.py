"""The test tools themselves: a gateway without a socket, vendors that misbehave, contracts that catch."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx2
import pytest
from core.tests.test_testing_contracts import Plain
from msgspec import Struct
from structlog.testing import capture_logs

from headgate import (
    BudgetExceeded,
    Exchange,
    Hooks,
    Principal,
    Reply,
    StartupError,
    hookimpl,
    override,
)
from headgate.hooks import STAGES
from headgate.testing import (
    AppTransport,
    Canned,
    Client,
    MockUpstream,
    OpenGateway,
    ReplayUpstream,
    chat_request,
    eventually,
    gateway,
    hostile,
    load,
    request_hooks,
    samples,
)
from headgate.testing.hostility import KINDS
from headgate.testing.running import plugin_name

CHAT = "/v1/chat/completions"
CANNED: Mapping[str, Any] = {"providers": {"canned": {"provider": "canned"}}}
OTHER_NAME = "canned/echo"


class SpendCap(Hooks):
    class Config(Struct, frozen=True, forbid_unknown_fields=True):
        """The most that may be spent."""

        limit: float

    def __init__(self, config: Config) -> None:
        self.limit = config.limit

    @override
    @hookimpl
    async def admit(self, ex: Exchange) -> None:
        if self.limit <= 0:
            raise BudgetExceeded(f"the limit of {self.limit:g} is reached")


class Ending(Hooks):
    """Remembers how exchanges ended."""

    def __init__(self) -> None:
        self.outcomes: list[str] = []

    @override
    @hookimpl
    async def record(self, ex: Exchange) -> None:
        self.outcomes.append(ex.outcome)


class Doorman(Hooks):
    """Lets in whoever says the word."""

    @override
    @hookimpl
    async def authenticate(self, ex: Exchange) -> Principal | None:
        return Principal("guest") if ex.header("x-word") == "sesame" else None


# the gateway


async def test_a_plugin_instance_is_enough() -> None:
    """A gateway made of one plugin instance serves, and the plugin is asked."""
    async with gateway(SpendCap(SpendCap.Config(limit=0))) as client:
        reply = await client.post(CHAT, json=chat_request())
    assert (reply.status_code, reply.json()["error"]["code"]) == (412, "budget_exceeded")


async def test_without_a_provider_there_is_a_demo() -> None:
    """With nothing said about providers `demo/echo` and its alias `fast` answer."""
    async with gateway(SpendCap(SpendCap.Config(limit=1))) as client:
        for model in ("demo/echo", "fast"):
            reply = await client.post(CHAT, json=chat_request("Hello", model))
            assert reply.status_code == 200
            assert isinstance(reply.json()["choices"][0]["message"]["content"], str)


async def test_the_canned_provider_echoes() -> None:
    """`canned` answers with the last message, whole or word by word."""
    async with gateway(**CANNED) as client:
        whole = await client.post(CHAT, json=chat_request("one two", OTHER_NAME))
        streamed = await client.post(CHAT, json=chat_request("one two", OTHER_NAME, stream=True))
    assert whole.json()["choices"][0]["message"]["content"] == "one two"
    assert streamed.headers["content-type"] == "text/event-stream"
    assert b'"content":"one "' in streamed.content
    assert streamed.content.endswith(b"data: [DONE]\n\n")


async def test_configuration_as_text() -> None:
    """The rest of headgate.yaml may be given as text; its values count."""
    async with gateway(config="server: {timing: true}\nmodels: {m: demo/echo}\n") as client:
        reply = await client.post(CHAT, json=chat_request(model="m"))
    assert (reply.status_code, "route;dur=" in reply.headers["server-timing"]) == (200, True)


async def test_plugin_names_come_from_classes() -> None:
    """A plugin is called as its class, a second one of the class gets a number; budgets and logs use these names."""
    first, second = SpendCap(SpendCap.Config(limit=1)), SpendCap(SpendCap.Config(limit=1))
    async with gateway(first, second, config={"budgets": {"spend-cap-2.admit": 3}}) as client:
        steps = client.gateway.plan.admit
    assert [(step.plugin, step.budget_s) for step in steps[:2]] == [("spend-cap", 1.0), ("spend-cap-2", 3)]


@pytest.mark.parametrize(
    ("name", "expected"), [("SpendCap", "spend-cap"), ("HTTPGuard", "http-guard"), ("_X1Cache", "x1-cache")]
)
def test_plugin_name(name: str, expected: str) -> None:
    """Class names become words with dashes."""
    assert plugin_name(type(name, (Hooks,), {})()) == expected


async def test_access_is_open_unless_a_plugin_authenticates() -> None:
    """Nobody needs a key in a test, except of a plugin that asks for one, or where the configuration says so."""
    async with gateway(Doorman(), **CANNED) as client:
        refused = await client.post(CHAT, json=chat_request(model=OTHER_NAME))
        admitted = await client.post(CHAT, json=chat_request(model=OTHER_NAME), headers={"x-word": "sesame"})
    assert (refused.status_code, admitted.status_code) == (401, 200)
    with pytest.raises(StartupError, match="no enabled plugin authenticates"):
        async with gateway(config={"auth": {"mode": "keys"}}):
            pass


async def test_problems_are_told() -> None:
    """A configuration that cannot work raises what a real start would."""
    with pytest.raises(StartupError, match=r"`models\.m`: `config` deployment `nowhere` is not known"):
        async with gateway(models={"m": "nowhere/x"}):
            pass
    with pytest.raises(StartupError, match=r"`budgets\.nobody\.admit` names no enabled plugin's hook"):
        async with gateway(config={"budgets": {"nobody.admit": 1}}):
            pass


async def test_a_failed_start_is_cleaned_up() -> None:
    """When a plugin does not start, the error names it and nothing stays open."""
    upstream = ReplayUpstream()
    with pytest.raises(StartupError, match="plugin `raises` failed to start: RuntimeError"):
        async with gateway(hostile("raises", "start"), upstream=upstream):
            pass
    assert upstream.is_closed


async def test_provider_classes_count_as_installed() -> None:
    """A provider class can be used without a package that announces it."""

    class Parrot(Canned):
        name = "parrot"

    async with gateway(Parrot, providers={"bird": {"provider": "parrot"}}) as client:
        reply = await client.post(CHAT, json=chat_request("squawk", "bird/x"))
    assert reply.headers["x-headgate-provider"] == "parrot"


async def test_installed_plugins_by_name() -> None:
    """The configuration may enable plugins by name; an unknown one is named as at a real start."""
    with pytest.raises(StartupError, match="plugin `no-such-plugin` is not installed"):
        load(config={"plugins": ["no-such-plugin"]})


async def test_upstream_can_be_replayed() -> None:
    """Providers call through the upstream that was given."""
    upstream = ReplayUpstream({"/v1/chat/completions": samples.REPLY})
    providers = {"p": {"provider": "plain", "api_key": "sk-sample"}}
    async with gateway(Plain, providers=providers, upstream=upstream) as client:
        reply = await client.post(CHAT, json=chat_request(model="p/x"))
    assert (reply.content, len(upstream.requests)) == (samples.REPLY.body, 1)
    assert upstream.is_closed


async def test_streams_come_as_they_are_made() -> None:
    """The first events of a stream are here while its provider still waits, and the rest comes when it goes on."""
    go_on = asyncio.Event()

    class Pausing(Canned):
        name = "pausing"

        @override
        async def call(self, ex: Exchange) -> Reply:
            async def chunks() -> AsyncIterator[bytes]:
                yield b"data: 1\n\n"
                await go_on.wait()
                yield b"data: [DONE]\n\n"

            return Reply(200, ((b"content-type", b"text/event-stream"),), chunks=chunks())

    async with (
        gateway(Pausing, providers={"p": {"provider": "pausing"}}) as client,
        client.stream("POST", CHAT, json=chat_request(model="p/x", stream=True)) as reply,
    ):
        pieces = reply.aiter_raw()
        assert await anext(pieces) == b"data: 1\n\n"
        go_on.set()
        assert [piece async for piece in pieces] == [b"data: [DONE]\n\n"]


async def test_leaving_a_stream_tells_the_gateway() -> None:
    """A client that closes a stream early is gone: the provider's stream is closed and the exchange recorded so."""
    closed, ending = asyncio.Event(), Ending()

    class Endless(Canned):
        name = "endless"

        @override
        async def call(self, ex: Exchange) -> Reply:
            async def chunks() -> AsyncIterator[bytes]:
                try:
                    while True:
                        yield b"data: 1\n\n"
                finally:
                    closed.set()

            return Reply(200, ((b"content-type", b"text/event-stream"),), chunks=chunks())

    async with gateway(Endless, ending, providers={"e": {"provider": "endless"}}) as client:
        async with client.stream("POST", CHAT, json=chat_request(model="e/x", stream=True)) as reply:
            assert (await anext(reply.aiter_raw())).startswith(b"data: 1")
        assert (closed.is_set(), ending.outcomes) == (True, ["client_gone"])


async def test_leaving_before_the_reply_tells_the_gateway() -> None:
    """A client that gives up waiting is gone as well: the call is cancelled."""
    began, ended, ending = asyncio.Event(), asyncio.Event(), Ending()

    class Silent(Canned):
        name = "silent"

        @override
        async def call(self, ex: Exchange) -> Reply:
            began.set()
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()
            raise AssertionError

    async with gateway(Silent, ending, providers={"s": {"provider": "silent"}}) as client:
        task = asyncio.create_task(client.post(CHAT, json=chat_request(model="s/x")))
        await began.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (ended.is_set(), ending.outcomes) == (True, ["client_gone"])


async def test_a_reply_means_the_exchange_is_recorded() -> None:
    """When a reply has been read to its end, what happens after the reply has happened."""
    ending = Ending()
    async with gateway(ending, **CANNED) as client:
        await client.post(CHAT, json=chat_request(model=OTHER_NAME))
        await client.post(CHAT, json=chat_request(model=OTHER_NAME, stream=True))
    assert ending.outcomes == ["complete", "complete"]


async def test_a_body_may_come_in_pieces() -> None:
    """A request body that is itself a stream reaches the gateway whole."""

    async def body() -> AsyncIterator[bytes]:
        yield b'{"model": "canned/echo", "messages": '
        yield b'[{"role": "user", "content": "in pieces"}]}'

    async with gateway(**CANNED) as client:
        reply = await client.post(CHAT, content=body())
    assert reply.json()["choices"][0]["message"]["content"] == "in pieces"


async def test_a_broken_reply_raises() -> None:
    """An application that leaves a reply unfinished is a broken connection, with its own error as the cause."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        raise OSError("it broke")

    async with httpx2.AsyncClient(transport=AppTransport(app), base_url="http://t") as client:
        with pytest.raises(httpx2.RemoteProtocolError) as caught:
            await client.get("/")
    assert isinstance(caught.value.__cause__, OSError)


async def test_a_silent_application_raises() -> None:
    """An application that returns without a reply is a broken connection."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        """Say nothing."""

    async with httpx2.AsyncClient(transport=AppTransport(app), base_url="http://t") as client:
        with pytest.raises(httpx2.RemoteProtocolError):
            await client.get("/")


async def test_a_slow_reader_slows_the_application() -> None:
    """Only a few pieces wait for a reader that does not read."""
    sent = 0

    async def app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal sent
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(1000):
            await send({"type": "http.response.body", "body": b"x", "more_body": True})
            sent += 1
        await send({"type": "http.response.body", "body": b""})

    async with (
        httpx2.AsyncClient(transport=AppTransport(app), base_url="http://t") as client,
        client.stream("GET", "/") as reply,
    ):
        pieces = reply.aiter_raw()
        await anext(pieces)
        assert sent < 50
        assert sum([len(piece) async for piece in pieces]) == 999


# fixtures


async def test_fixture_gateway_client(gateway_client: OpenGateway) -> None:
    """The fixture opens any number of gateways for one test."""
    refusing: Client = await gateway_client(SpendCap(SpendCap.Config(limit=0)))
    serving = await gateway_client(SpendCap(SpendCap.Config(limit=1)), **CANNED)
    statuses = [
        (await client.post(CHAT, json=chat_request(model=OTHER_NAME))).status_code for client in (refusing, serving)
    ]
    assert statuses == [412, 200]


async def test_fixture_mock_upstream(mock_upstream: MockUpstream) -> None:
    """The fixture is a running vendor without an answer for anything."""
    async with httpx2.AsyncClient(base_url=mock_upstream.url, trust_env=False) as client:
        reply = await client.get("/v1/models?x=1")
    assert (reply.status_code, mock_upstream.requests[0].path) == (404, "/v1/models?x=1")


def test_the_pytest_plugin_imports_little() -> None:
    """Being loaded in every pytest run, the plugin imports neither the server nor any of the test tools."""
    code = (
        "import sys, headgate.testing.fixtures\n"
        "print([name for name in sys.modules if name in ('litestar', 'aiohttp', 'uvicorn')\n"
        "       or (name.startswith('headgate.testing.') and name != 'headgate.testing.fixtures')])\n"
    )
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert found.strip() == "[]"


def test_every_public_name_can_be_imported() -> None:
    """What `__all__` promises is there, and anything else is an ordinary AttributeError."""
    import headgate.testing as tools

    assert [name for name in tools.__all__ if getattr(tools, name, None) is None] == []
    with pytest.raises(AttributeError, match=r"`headgate\.testing` has no `nothing`"):
        _ = tools.nothing


# replaying


async def test_eventually() -> None:
    """Waiting ends when the predicate, plain or async, is true, and fails with its words after the deadline."""
    seen: list[int] = []

    async def three() -> bool:
        seen.append(1)
        return len(seen) == 3

    await eventually(three, "three came")
    with pytest.raises(AssertionError, match=r"within 0.01 s it did not happen that pigs flew"):
        await eventually(lambda: False, "pigs flew", 0.01)


# hostile plugins


def test_hostile_is_made_for_hooks_alone() -> None:
    """An unknown hook, and a hang that would stop the process, are refused by name."""
    with pytest.raises(ValueError, match="`admitt` is no hook"):
        hostile("raises", "admitt")
    with pytest.raises(ValueError, match="`providers` is a plain `def`"):
        hostile("hangs", "providers")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("hook", STAGES)
def test_hostile_plugins_look_harmless(hook: str, kind: Any) -> None:
    """Every hostile plugin passes the checks of the plan: it has the right name, colour and arguments."""
    from headgate.plan import Plugin, implements, validate

    if kind == "hangs" and hook not in {*request_hooks(), "start", "stop"}:
        return
    plugin = hostile(kind, hook)
    assert [name for name in STAGES if implements(plugin, name)] == [hook]
    assert validate([Plugin(kind, plugin)]) == []


# contracts


async def test_nothing_is_logged_in_peace() -> None:
    """A gateway that does its work writes nothing to the log."""
    with capture_logs() as lines:
        async with gateway(**CANNED) as client:
            await client.post(CHAT, json=chat_request(model=OTHER_NAME))
    assert lines == []
