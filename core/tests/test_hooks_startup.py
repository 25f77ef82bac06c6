"""The hooks of a start and a stop, one test each, through a whole gateway."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pytest
from core.tests.asking import CANNED, ask, life, said
from litestar import get

from headgate import (
    Blocked,
    Check,
    CheckFactory,
    Command,
    Context,
    Exchange,
    Hooks,
    Outcome,
    Problem,
    Provider,
    Scene,
    StartupError,
    Strategy,
    Target,
    Verdict,
    cli,
    hookimpl,
    override,
)
from headgate.config import Loaded
from headgate.dialects import Dialect, OpenAIChat
from headgate.hooks import Fault, FindFacts, MakeGuards, ModelFacts, StoreFactory
from headgate.state import MemoryStateStore
from headgate.testing import Canned, gateway, hostile, load


async def test_hook_providers() -> None:
    """A provider class that a plugin brings can be deployed."""

    class Parrot(Canned):
        name = "parrot"

    class Birds(Hooks):
        @override
        @hookimpl
        def providers(self) -> Iterable[type[Provider]]:
            return [Parrot]

    async with gateway(Birds(), providers={"bird": {"provider": "parrot"}}) as client:
        reply = await ask(client, "squawk", model="bird/x")
    assert (said(reply), reply.headers["x-headgate-provider"]) == ("squawk", "parrot")


async def test_hook_dialects() -> None:
    """A dialect that a plugin brings is registered beside those of the core."""

    class AcmeChat(OpenAIChat):
        name = "acme.chat"

    class Acme(Hooks):
        @override
        @hookimpl
        def dialects(self) -> Iterable[Dialect]:
            return [AcmeChat()]

    async with gateway(Acme(), **CANNED) as client:
        dialects = client.gateway.plan.registry.dialects
    assert isinstance(dialects["acme.chat"], AcmeChat)
    assert "openai.chat" in dialects


class Last(Strategy):
    """Calls the last target, once."""

    @override
    def choose(self, target: Target, ex: Exchange, outcomes: Sequence[Outcome], scene: Scene) -> int | None:
        return None if outcomes else len(target.targets) - 1


async def test_hook_strategies() -> None:
    """A strategy that a plugin brings picks the target, under the mode it was registered for."""

    class Router(Hooks):
        @override
        @hookimpl
        def strategies(self) -> Mapping[str, Strategy]:
            return {"last": Last()}

    tree = {"strategy": {"mode": "last"}, "targets": ["canned/a", "canned/b"]}
    async with gateway(Router(), providers=CANNED["providers"], models={"m": tree}) as client:
        reply = await ask(client)
    assert (reply.status_code, reply.headers["x-headgate-last-used-option-index"]) == (200, "config.targets[1]")


class Without(Check):
    """Fails a text that holds a word."""

    def __init__(self, word: str) -> None:
        self.word = word

    @property
    @override
    def hold_chars(self) -> int:
        return len(self.word)

    @override
    async def judge(self, text: str) -> Verdict:
        return Verdict("fail" if self.word in text else "pass")


async def test_hook_checks() -> None:
    """A check that one plugin brings can be configured and used by another, whatever their order."""

    class Using(Hooks):
        check: Check

        @override
        @hookimpl
        def configure(self, ctx: Context) -> None:
            self.check = ctx.check("acme.without", {"word": "rude"})

        @override
        @hookimpl
        async def guard_request(self, ex: Exchange) -> None:
            for place in ex.texts():
                if (await self.check.judge(place.text)).outcome == "fail":
                    raise Blocked("it has a word that may not be sent")

    class Bringing(Hooks):
        @override
        @hookimpl
        def checks(self) -> Mapping[str, CheckFactory]:
            return {"acme.without": lambda parameters: Without(parameters["word"])}

    async with gateway(Using(), Bringing(), **CANNED) as client:
        assert [(await ask(client, text)).status_code for text in ("kind", "rude")] == [200, 446]


async def test_hook_stores() -> None:
    """A store that a plugin brings is the shared state when `state:` names it."""
    store = MemoryStateStore()

    class Shelf(Hooks):
        @override
        @hookimpl
        def stores(self) -> Mapping[str, StoreFactory]:
            return {"shelf": lambda ctx: store}

    async with gateway(Shelf(), config={"state": "shelf"}, **CANNED) as client:
        assert client.gateway.context.state is store
    with pytest.raises(StartupError, match="`state` `shelf` is no store of the enabled plugins"):
        async with gateway(config={"state": "shelf"}):
            pass


async def test_hook_routes() -> None:
    """A route that a plugin brings is served beside the gateway's own."""

    class Greeting(Hooks):
        @override
        @hookimpl
        def routes(self) -> Sequence[Any]:
            @get("/greeting", sync_to_thread=False)
            def greeting() -> dict[str, str]:
                return {"hello": "you"}

            return [greeting]

    async with gateway(Greeting(), **CANNED) as client:
        found, health = await client.get("/greeting"), await client.get("/v1/health")
    assert (found.json(), health.status_code) == ({"hello": "you"}, 200)


def test_hook_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that a plugin brings is a subcommand of `headgate`, with its arguments and exit code."""
    seen: list[str] = []

    def run(arguments: argparse.Namespace) -> int:
        seen.append(arguments.who)
        return 3

    class Greeter(Hooks):
        @override
        @hookimpl
        def commands(self) -> Iterable[Command]:
            return [Command("greet", "say hello", run, lambda parser: parser.add_argument("who") and None)]

    loaded = load(Greeter())

    def find(_: object) -> Loaded:
        return loaded

    monkeypatch.setattr("headgate.cli.inspecting.load", find)
    assert (cli.main(["greet", "you"]), seen) == (3, ["you"])


async def test_hook_facts() -> None:
    """What a plugin knows of models stands beside them in the list; the first that knows counts, one that fails does not hurt."""

    class Facts(Hooks):
        def __init__(self, known: Mapping[str, ModelFacts]) -> None:
            self.known = known

        @override
        @hookimpl
        def facts(self) -> FindFacts:
            return lambda provider, model: self.known.get(f"{provider.name}/{model}")

    class Failing(Hooks):
        @override
        @hookimpl
        def strategies(self) -> Mapping[str, Strategy]:
            return {"mine": Last()}

        @override
        @hookimpl
        def facts(self) -> FindFacts:
            def fail(provider: Provider, model: str) -> ModelFacts | None:
                raise KeyError(model)

            return fail

    one = ModelFacts(8192, 1024, {"input": 0.5, "output": 2}, ("tools",))
    plugins = Failing(), Facts({"demo/echo": one}), Facts({"demo/echo": ModelFacts(), "demo/x": ModelFacts(7)})
    providers = {"demo": {"provider": "demo", "models": ["echo", "x", "y"]}}
    models = {"fast": "demo/echo", "some": {"strategy": {"mode": "mine"}, "targets": ["demo/echo"]}, "*": "demo"}
    async with gateway(*plugins, providers=providers, models=models) as client:
        listed = (await client.get("/v1/models")).json()["data"]
        find = client.gateway.context.find_facts
        assert [find("demo", "echo"), find("demo", "y"), find("nobody", "echo")] == [one, None, None]
    told = {
        "context_window": 8192,
        "max_output_tokens": 1024,
        "usd_per_million_tokens": {"input": 0.5, "output": 2},
        "capabilities": ["tools"],
    }
    plain = {"object", "created", "owned_by", "id"}
    assert {each["id"]: {name: each[name] for name in each if name not in plain} for each in listed} == {
        "fast": told,
        "some": {},
        "demo/echo": told,
        "demo/x": {"context_window": 7},
        "demo/y": {},
    }


async def test_hook_guards() -> None:
    """What a routing config says of guardrails is made into hooks by the one plugin that can, and judges that target's calls."""
    made: list[Mapping[str, Any]] = []

    class Refusing(Hooks):
        @override
        @hookimpl
        async def guard_request(self, ex: Exchange) -> None:
            raise Blocked("not this")

    class Making(Hooks):
        @override
        @hookimpl
        def guards(self) -> MakeGuards:
            def make(written: Mapping[str, Any], checks: Mapping[str, CheckFactory], fault: Fault) -> Hooks:
                made.append(written)
                return Refusing()

            return make

    guarded = {"provider": "canned/x", "input_guardrails": [{"default.contains": {"words": ["no"]}}]}
    models = {"free": "canned/x", "guarded": guarded}
    async with gateway(Making(), providers=CANNED["providers"], models=models) as client:
        assert (await ask(client, model="free")).status_code == 200
        assert (await ask(client, model="guarded")).status_code == 446
    assert made == [{"input_guardrails": guarded["input_guardrails"]}]
    with pytest.raises(StartupError, match="guardrails of routing configs are made by"):
        await gateway(Making(), Making(), **CANNED).__aenter__()


async def test_hook_configure() -> None:
    """Before anything starts, a plugin sees what others registered and may refuse with every problem."""
    seen: list[Any] = []

    class Looking(Hooks):
        @override
        @hookimpl
        def configure(self, ctx: Context) -> None:
            seen.append((tuple(ctx.deployments), ctx.decode_target("canned/x").model))

        @override
        @hookimpl
        async def start(self, ctx: Context) -> None:
            seen.append("started")

    class Refusing(Hooks):
        @override
        @hookimpl
        def configure(self, ctx: Context) -> None:
            raise StartupError([Problem("`limit` is negative"), Problem("`unit` is not known")])

    async with gateway(Looking(), **CANNED):
        assert seen == [(("canned",), "x"), "started"]
    with pytest.raises(StartupError) as caught:
        await gateway(Refusing(), Looking(), **CANNED).__aenter__()
    assert [str(problem) for problem in caught.value.problems] == [
        "plugin `refusing`: `limit` is negative",
        "plugin `refusing`: `unit` is not known",
    ]
    assert seen.count("started") == 1


async def test_hook_start() -> None:
    """Plugins start once, in order, before the first request, with shared state at hand."""
    seen: list[str] = []
    async with gateway(life("a", seen), life("b", seen), **CANNED) as client:
        assert seen == ["a starts", "b starts"]
        await ask(client)
        assert len(seen) == 2
        assert await client.gateway.context.state.get(b"a") == b"here"


async def test_hook_stop() -> None:
    """Plugins stop in reverse order; when one does not start, those before it are stopped and no others."""
    seen: list[str] = []
    async with gateway(life("a", seen), life("b", seen), **CANNED):
        seen.clear()
    assert seen == ["b stops", "a stops"]
    seen.clear()
    with pytest.raises(StartupError):
        async with gateway(life("a", seen), hostile("raises", "start"), life("b", seen)):
            pass
    assert seen == ["a starts", "a stops"]
