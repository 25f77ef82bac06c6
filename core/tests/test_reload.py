"""Reloads: one swaps all at once or changes nothing, and a plugin stops once, after its last exchange."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from core.tests import generations
from core.tests.generations import BASE, LIVES, Local, Source, plugin, principal
from structlog.testing import capture_logs

from headgate.gateway import Gateway
from headgate.testing import ReplayUpstream, eventually

source = generations.source
start = generations.start

# reloading


async def test_a_reload_swaps_the_plan(source: Source, start: Callable[[str], Any]) -> None:
    """New exchanges run the new plan; the number goes up."""
    gateway = await start(BASE)
    source.text = BASE.replace("name: a", "name: b").replace("fast", "quick")
    assert await gateway.reload() is True
    assert (gateway.generation.number, list(gateway.plan.models), await principal(gateway)) == (2, ["quick"], "b")
    await eventually(lambda: LIVES == ["start a", "start b", "stop a"], "the old plugin was stopped")
    assert gateway.status()["config_error"] is None


async def test_what_did_not_change_is_kept(source: Source, start: Callable[[str], Any]) -> None:
    """Plugins and deployments with the same settings are the same objects, and not started again."""
    gateway = await start(BASE)
    kept, deployment = plugin(gateway, "lively"), gateway.plan.deployments["one"]
    source.text = BASE + "server: {timing: true}\nlimits: {in_flight: 7}\n"
    await gateway.reload()
    assert plugin(gateway, "lively") is kept
    assert gateway.plan.deployments["one"] is deployment
    assert gateway.generation.loaded.config.limits.in_flight == 7
    assert LIVES == ["start a"]


async def test_a_stale_plugin_is_made_anew(source: Source, start: Callable[[str], Any]) -> None:
    """One that says that what it read has changed is started again, and one that then fails leaves the old one at work."""
    gateway = await start(BASE)
    old = plugin(gateway, "lively")
    old.is_stale = lambda: True
    assert await gateway.reload()
    assert plugin(gateway, "lively") is not old
    await eventually(lambda: LIVES == ["start a", "start a", "stop a"], "the old plugin was stopped")


async def test_the_bound_of_the_store(source: Source, start: Callable[[str], Any]) -> None:
    """`limits.state_bytes` bounds the store in memory; a new bound waits for a restart, and that is said."""
    gateway = await start(BASE + "limits: {state_bytes: 400}\n")
    await gateway.context.state.set(b"a", b"x" * 500)
    assert await gateway.context.state.get(b"a") is None
    source.text = BASE
    with capture_logs() as logs:
        assert await gateway.reload()
    assert [line["settings"] for line in logs if "settings" in line] == [["limits.state_bytes"]]


async def test_a_changed_deployment_is_made_anew(source: Source, start: Callable[[str], Any]) -> None:
    """Other settings, another object."""
    gateway = await start(BASE)
    old = gateway.plan.deployments["one"]
    source.text = BASE.replace("{provider: local}", "{provider: local, models: [y]}")
    await gateway.reload()
    assert gateway.plan.deployments["one"] is not old


BAD = [
    ("a: [", "this is not valid YAML"),
    (BASE + "typo: 1\n", "`typo` is not known"),
    (BASE.replace("one/x", "two/x"), "deployment `two` is not known"),
    (BASE.replace("name: a", "fails: create"), "cannot be created"),
    (BASE.replace("name: a", "fails: configure"), "cannot be configured"),
    (BASE.replace("name: a", "name: z, fails: start"), "failed to start"),
    (BASE.replace("name: a", "name: z, fails: hang"), "did not start within"),
    (BASE.replace("name: a", "name: z, fails: wrap"), "lively"),
    (BASE.replace("provider: local", "provider: faulty"), "providers.one"),
    ("plugins: []", "no enabled plugin authenticates"),
    ("plugins: [!!bool x]", "YAML"),
    ("models: &a {x: *a}", ""),
]


@pytest.mark.parametrize(("text", "expected"), BAD)
async def test_a_bad_reload_keeps_the_last_good(
    source: Source, start: Callable[[str], Any], text: str, expected: str
) -> None:
    """Nothing changes, the status says why, and a good file later is taken."""
    gateway = await start(BASE)
    plan, generation = gateway.plan, gateway.generation
    source.text = text
    assert await gateway.reload() is False
    assert gateway.plan is plan
    assert gateway.generation is generation
    assert expected in "\n".join(gateway.status()["config_error"])
    assert await principal(gateway) == "a"
    assert "stop a" not in LIVES
    source.text = BASE + "server: {timing: true}\n"
    assert await gateway.reload() is True
    assert gateway.status()["config_error"] is None
    assert gateway.generation.number == 2


@pytest.mark.parametrize("error", [RuntimeError("bug"), OSError("disk"), KeyError("x"), RecursionError("deep")])
async def test_an_unexpected_error_keeps_the_last_good(
    source: Source, start: Callable[[str], Any], error: Exception
) -> None:
    """Whatever loading raises, the gateway goes on and says why: whoever watches the file must not die of it."""
    gateway = await start(BASE)
    source.error = error
    assert await gateway.reload() is False
    assert gateway.status()["config_error"]
    source.error = None
    assert await gateway.reload() is True


async def test_a_refused_reload_leaves_kept_plugins_as_they_were(source: Source, start: Callable[[str], Any]) -> None:
    """A plugin that is kept ends up configured for the configuration that runs, not for the one that was refused."""
    gateway = await start(BASE + "\n")
    kept = plugin(gateway, "lively")
    assert kept.seen == [("one",)]
    source.text = BASE.replace("[lively: {name: a}]", "[lively: {name: a}, second: {name: b, fails: start}]").replace(
        "{one: {provider: local}}", "{one: {provider: local}, two: {provider: local}}"
    )
    assert await gateway.reload() is False
    assert tuple(gateway.context.deployments) == ("one",)
    assert kept.seen[-1] == ("one",)


async def test_a_failed_reload_stops_what_it_started(source: Source, start: Callable[[str], Any]) -> None:
    """New plugins before the one that failed are stopped again; kept ones are not touched."""
    gateway = await start("plugins: [lively: {name: a}]")
    source.text = "plugins: [lively: {name: b}, second: {name: c, fails: start}]"
    assert await gateway.reload() is False
    assert LIVES == ["start a", "start b", "start c", "stop b"]
    assert await principal(gateway) == "a"


async def test_reloads_do_not_overlap(source: Source, start: Callable[[str], Any]) -> None:
    """Many at once are taken one after another."""
    gateway = await start(BASE)
    assert await asyncio.gather(*(gateway.reload() for _ in range(5))) == [True] * 5
    assert gateway.generation.number == 6
    assert LIVES == ["start a"]


async def test_a_reload_lets_exchanges_take_turns(
    source: Source, start: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the deployments and models of a large file, so that nobody waits for all of them."""
    gateway = await start(BASE)
    turns = 0
    made: list[int] = []
    make = Local.__init__

    def noted(self: Local, *arguments: Any) -> None:
        made.append(turns)
        make(self, *arguments)

    async def turn() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    monkeypatch.setattr(Local, "__init__", noted)
    monkeypatch.setattr("headgate.gateway.HOLD_S", 0)
    turning = asyncio.create_task(turn())
    many = ", ".join(f"d{at}: {{provider: local}}" for at in range(50))
    source.text = f"plugins: [lively: {{name: a}}]\nproviders: {{{many}}}\n"
    assert await gateway.reload() is True
    turning.cancel()
    assert len(made) == 50
    assert all(later > earlier for earlier, later in pairwise(made))


async def test_what_was_replaced_is_freed_without_the_collector(source: Source, start: Callable[[str], Any]) -> None:
    """Nothing of an old generation holds itself: what a reload has made is never walked by the collector again."""
    gateway = await start(BASE)
    source.text = BASE + "limits: {in_flight: 7}\n"
    await gateway.reload()
    gc.disable()
    try:
        old = [weakref.ref(gateway.plan.deployments), weakref.ref(gateway.generation.loaded.document)]
        source.text = BASE.replace("{provider: local}", "{provider: local, models: [y]}")
        assert await gateway.reload() is True
        assert gc.isenabled() is False
        await eventually(lambda: [ref() for ref in old] == [None, None], "the old generation was freed")
    finally:
        gc.enable()


@pytest.mark.parametrize("text", [BASE, "a: [", BASE.replace("one/x", "two/x")])
async def test_the_collector_runs_after_a_reload(source: Source, start: Callable[[str], Any], text: str) -> None:
    """Whether the reload was good or not."""
    gateway = await start(BASE)
    source.text = text
    await gateway.reload()
    assert gc.isenabled()


# exchanges across reloads


async def test_an_exchange_ends_on_the_plan_it_began_on(source: Source, start: Callable[[str], Any]) -> None:
    """Its plugins are stopped when it has ended, and not before."""
    gateway = await start(BASE)
    held = gateway.enter()
    plan = held.plan
    source.text = BASE.replace("name: a", "name: b")
    await gateway.reload()
    await asyncio.sleep(0)
    assert (held.plan is plan, held.retired, "stop a" in LIVES) == (True, True, False)
    assert gateway.enter().plan is not plan
    gateway.leave(held)
    await eventually(lambda: "stop a" in LIVES, "the old plugin was stopped")
    assert LIVES == ["start a", "start b", "stop a"]
    gateway.leave(gateway.generation)


async def test_a_plugin_used_by_an_older_generation_is_not_stopped(source: Source, start: Callable[[str], Any]) -> None:
    """Kept in one reload and gone in the next, a plugin lives until the last exchange of any generation that has it."""
    gateway = await start(BASE)
    held = gateway.enter()
    source.text = BASE + "server: {timing: true}\n"
    await gateway.reload()
    source.text = BASE.replace("name: a", "name: b")
    await gateway.reload()
    for _ in range(5):
        await asyncio.sleep(0)
    assert LIVES == ["start a", "start b"]
    gateway.leave(held)
    await eventually(lambda: "stop a" in LIVES, "the old plugin was stopped")
    assert LIVES.count("stop a") == 1


async def test_a_plugin_is_stopped_once(source: Source, start: Callable[[str], Any]) -> None:
    """However many generations had it."""
    gateway = await start(BASE)
    held = [gateway.enter()]
    for number in range(3):
        source.text = BASE + f"limits: {{in_flight: {number + 5}}}\n"
        await gateway.reload()
        held.append(gateway.enter())
    source.text = BASE.replace("name: a", "name: b")
    await gateway.reload()
    for generation in held:
        gateway.leave(generation)
    await eventually(lambda: "stop a" in LIVES, "the old plugin was stopped")
    for _ in range(5):
        await asyncio.sleep(0)
    assert LIVES == ["start a", "start b", "stop a"]


async def test_closing_stops_what_older_exchanges_still_had(source: Source) -> None:
    """An exchange cut by the end of the process does not keep its plugin from flushing."""
    source.text = BASE
    gateway = Gateway(source, ReplayUpstream({}))
    await gateway.start()
    gateway.enter()
    source.text = BASE.replace("name: a", "name: b")
    await gateway.reload()
    await gateway.close()
    assert sorted(LIVES) == ["start a", "start b", "stop a", "stop b"]


async def test_in_flight_counts_every_generation(source: Source, start: Callable[[str], Any]) -> None:
    """A reload does not make running exchanges invisible to the limit and to readiness."""
    gateway = await start(BASE)
    held = [gateway.enter() for _ in range(3)]
    assert gateway.in_flight == 3
    await gateway.reload()
    held.append(gateway.enter())
    assert gateway.in_flight == 4
    assert gateway.status()["in_flight"] == 4
    for generation in held:
        gateway.leave(generation)
    assert gateway.in_flight == 0
