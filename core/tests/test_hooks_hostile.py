"""Every hook in the hands of a plugin that misbehaves."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import httpx2
import msgspec
import pytest
from core.tests.asking import CANNED, Keeping, Noting, ask, life, said
from structlog.testing import capture_logs

from headgate import Exchange, Hooks, Principal, StartupError, hookimpl, override
from headgate.builtin import ANONYMOUS
from headgate.folds import failures
from headgate.hooks import STAGES
from headgate.testing import Hostile, eventually, gateway, hostile, request_hooks

BUDGET_S = 0.05
RULES = {
    **{hook: STAGES[hook].failure for hook in request_hooks()},
    "guard_request allow": "open",
    "guard_chunk allow": "open",
    "guard_reply allow": "open",
}
STATUS = {"closed": 503, "declared": 503, "open": 200, "as the call": 502}
CODE = {"closed": "plugin_failed", "declared": "plugin_failed", "as the call": "upstream_failed"}


@pytest.fixture(autouse=True)
def clean_principal() -> Iterator[None]:
    """The anonymous principal is one for all: what a plugin could write to it must not reach the next test."""
    yield
    if isinstance(ANONYMOUS.metadata, dict):
        ANONYMOUS.metadata.pop("hostile", None)


class Welcome(Hooks):
    """Lets everybody in whom no plugin before it has answered for."""

    @override
    @hookimpl
    async def authenticate(self, ex: Exchange) -> Principal | None:
        return ANONYMOUS


def made(kind: Any, case: str) -> tuple[Hostile, str]:
    hook, _, word = case.partition(" ")
    plugin = hostile(kind, hook)
    if word == "allow":
        plugin.on_error = "allow"
    return plugin, hook


@pytest.mark.parametrize("case", RULES)
@pytest.mark.parametrize("kind", ["raises", "hangs", "wrong-type"])
async def test_the_stage_rule_holds(case: str, kind: str) -> None:
    """Closed ends with an error envelope, open goes on; either way it is counted and named in the log.

    Plugins beside the hostile one do their work, and the next exchange meets the same gateway.
    """
    if (kind, case) == ("hangs", "wrap_call"):
        return  # the call has the provider's limits, not a budget; see test_a_hanging_call_ends_with_its_client
    plugin, hook = made(kind, case)
    name, noting, keeping = kind, Noting(), Keeping()
    is_ignored = kind == "wrong-type" and STAGES[hook].fold == "notify"
    budgets = {} if hook == "wrap_call" else {f"{name}.{hook}": BUDGET_S}
    is_stream = hook == "guard_chunk"
    before = failures[f"{name}.{hook}"]
    async with gateway(plugin, noting, keeping, Welcome(), config={"budgets": budgets}, **CANNED) as client:
        with capture_logs() as lines:
            started = time.monotonic()
            replies = [await ask(client, "Hello there", stream=is_stream) for _ in range(2)]
            took_s = time.monotonic() - started
    rule = RULES[case]
    for reply in replies:
        if is_stream and rule == "declared":
            assert reply.status_code == 200
            assert _last_error(reply)["code"] == "plugin_failed"
        else:
            assert reply.status_code == STATUS[rule]
        if rule == "open":
            assert said(reply) == "Hello there"
        elif not is_stream:
            assert reply.json()["error"]["code"] == CODE[rule]
            assert "purpose" not in reply.text
    assert len(noting.recorded) == 2
    assert all(
        ex.outcome == ("complete" if rule == "open" else "cut" if is_stream else "error") for ex in noting.recorded
    )
    if kind == "hangs":
        assert 2 * BUDGET_S <= took_s < 3
    if hook == "wrap_call":
        assert kind == "wrong-type" or [line["event"] for line in lines] == ["provider failed"] * 2
        return
    assert (failures[f"{name}.{hook}"] - before >= 2) == (not is_ignored)
    named = [line for line in lines if (line["plugin"], line["hook"]) == (name, hook)]
    assert (len(named) == len(lines), len(named) >= 2) == (True, not is_ignored)
    assert {line["request_id"] for line in named} <= {ex.id for ex in noting.recorded}


def _last_error(reply: httpx2.Response) -> dict[str, Any]:
    """The error of the event that ends a stream; nothing may follow it."""
    event = reply.content.split(b"\n\n")[-2]
    return msgspec.json.decode(event.removeprefix(b"data: "), type=dict[str, Any])["error"]


@pytest.mark.parametrize("hook", [hook for hook in request_hooks() if hook != "wrap_call"])
async def test_hangs_do_not_queue_up(hook: str) -> None:
    """While one exchange hangs in a hook others run, and the gateway answers about its health."""
    plugin, keeping = hostile("hangs", hook, budget_s=0.2), Keeping()
    async with gateway(plugin, keeping, Welcome(), **CANNED) as client:
        started = time.monotonic()
        tasks = [asyncio.create_task(ask(client, stream=hook == "guard_chunk")) for _ in range(20)]
        while plugin.calls < 20:
            await asyncio.sleep(0)
        assert (await client.get("/v1/health")).status_code == 200
        assert not any(task.done() for task in tasks)
        await asyncio.gather(*tasks)
        assert time.monotonic() - started < 2


@pytest.mark.parametrize("hook", request_hooks())
async def test_a_client_may_leave_a_hanging_hook(hook: str) -> None:
    """A client that leaves while a hook hangs ends the hook where it hangs, and the exchange is recorded as left.

    What runs after the reply is not the client's to end: there the budget does.
    """
    plugin, noting = hostile("hangs", hook, budget_s=0.2), Noting()
    async with gateway(plugin, noting, Keeping(), Welcome(), **CANNED) as client:
        task = asyncio.create_task(ask(client, stream=hook == "guard_chunk"))
        while plugin.calls < 1:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await eventually(lambda: client.gateway.in_flight == 0, "the exchange ended")
    is_after = STAGES[hook].fold == "notify"
    assert [ex.outcome for ex in noting.recorded] == ["complete" if is_after else "client_gone"]


@pytest.mark.parametrize("case", RULES)
async def test_mutations_stay_in_their_exchange(case: str) -> None:
    """What a plugin writes to while it handles one exchange is not seen by any other."""
    plugin, hook = made("mutates", case)
    models = {"m": {"provider": "canned", "override_params": {"seed": 1}}}
    async with gateway(plugin, Keeping(), Welcome(), providers=CANNED["providers"], models=models) as client:
        reply = await ask(client, stream=hook == "guard_chunk")
    assert (reply.status_code, plugin.calls > 0) == (200, True)
    assert sorted(set(plugin.changed) - Hostile.OWN) == []


@pytest.mark.parametrize("case", RULES)
async def test_a_slow_hook_slows_and_does_no_harm(case: str) -> None:
    """A hook that computes for long cannot be cut, as nothing else can run meanwhile; its exchange ends well."""
    plugin, hook = made("slow", case)
    async with gateway(plugin, Keeping(), Welcome(), **CANNED) as client:
        reply = await ask(client, stream=hook == "guard_chunk")
    assert (said(reply), plugin.calls > 0) == ("Hello", True)


@pytest.mark.parametrize("kind", ["raises", "hangs"])
async def test_a_hostile_start(kind: Any) -> None:
    """A plugin that fails to start, or does not come to an end, keeps the gateway from starting and is named."""
    reason = "failed to start: RuntimeError" if kind == "raises" else r"did not start within 0\.05 s"
    with pytest.raises(StartupError, match=f"plugin `{kind}` {reason}"):
        async with gateway(hostile(kind, "start", BUDGET_S), **CANNED):
            pass


@pytest.mark.parametrize("kind", ["raises", "hangs"])
async def test_a_hostile_stop(kind: Any) -> None:
    """A plugin that fails to stop is named in the log, and the others are stopped."""
    seen: list[str] = []
    with capture_logs() as lines:
        async with gateway(life("a", seen), hostile(kind, "stop", BUDGET_S), **CANNED):
            pass
    assert [(line["event"], line["plugin"]) for line in lines] == [("plugin failed to stop", kind)]
    assert seen == ["a starts", "a stops"]


async def test_a_hostile_configure() -> None:
    """A plugin that fails to configure keeps the gateway from starting and is named."""
    with pytest.raises(StartupError, match="plugin `raises` cannot be configured: RuntimeError"):
        async with gateway(hostile("raises", "configure"), **CANNED):
            pass
