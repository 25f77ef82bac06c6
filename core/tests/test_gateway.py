"""What a gateway starts with: its plugins and their ends, what is composed from a configuration, and callers' own keys."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from core.tests import generations
from core.tests.generations import LIVES, Source, Vendor
from core.tests.loading import Brought

from headgate.context import Context
from headgate.errors import StartupError
from headgate.exchange import Exchange
from headgate.gateway import Gateway, compose
from headgate.operations import CHAT
from headgate.state import MemoryStateStore
from headgate.testing import ReplayUpstream

source = generations.source
start = generations.start

# starting


async def test_a_gateway_starts_and_stops_its_plugins(source: Source) -> None:
    """In order, and in reverse order; the upstream is closed last."""
    source.text = "plugins: [lively: {name: a}, second: {name: b}]"
    upstream = ReplayUpstream({})
    gateway = Gateway(source, upstream)
    await gateway.start()
    assert gateway.status()["status"] == "ready"
    await gateway.close()
    assert LIVES == ["start a", "start b", "stop b", "stop a"]
    assert upstream.is_closed


@pytest.mark.parametrize("fails", ["start", "hang"])
async def test_a_failed_start_stops_what_was_started(source: Source, fails: str) -> None:
    """The plugin that failed is named, those before it are stopped, and nothing is left open."""
    source.text = f"plugins: [lively: {{name: a}}, second: {{name: b, fails: {fails}}}]"
    upstream = ReplayUpstream({})
    gateway = Gateway(source, upstream)
    with pytest.raises(StartupError, match="plugin `second`"):
        await gateway.start()
    await gateway.abandon()
    assert LIVES == ["start a", "start b", "stop a"]
    assert upstream.is_closed


async def test_a_plugin_that_fails_to_stop_does_not_hinder_others(source: Source) -> None:
    """Every plugin is asked to stop."""
    source.text = "plugins: [lively: {name: a}, second: {name: b, fails: stop}]"
    gateway = Gateway(source, ReplayUpstream({}))
    await gateway.start()
    await gateway.close()
    assert LIVES[-2:] == ["stop b", "stop a"]


# composing


def composed(source: Source, text: str) -> None:
    source.text = text
    compose(source(), Context(ReplayUpstream({}), source.folder, ""))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plugins: [lively: {fails: create}]", "plugin `lively` cannot be created: ValueError: create"),
        ("plugins: [lively: {fails: configure}]", "plugin `lively` cannot be configured: ValueError: configure"),
        ("plugins: [lively: {fails: problems}]", "plugin `lively`: one\nplugin `lively`: two"),
        ("plugins: [lively: {fails: wrap}]", "plugin `lively`"),
        ("auth: {mode: keys}", "f.yaml:1:8: `auth.mode` is `keys`, but no enabled plugin authenticates"),
        ("plugins: [lively]\nstate: redis", "f.yaml:2:1: `state` `redis` is no store"),
        ("plugins: [lively]\nbudgets: {lively.admit: 1}", "`budgets.lively.admit` names no enabled plugin's hook"),
        ("plugins: [lively]\nproviders: {v: {provider: vendor}}", "f.yaml:2:13: `providers.v`: `api_key` is missing"),
        (
            "plugins: [lively]\nproviders: {v: {provider: local, base_url: nonsense}}",
            "f.yaml:2:34: `providers.v.base_url`: `nonsense` is no http or https URL",
        ),
        ("plugins: [lively]\nproviders: {v: {provider: faulty}}", "`providers.v`"),
        (
            "plugins: [lively]\nmodels: {m: nobody/x}",
            "f.yaml:2:10: `models.m`: `config` deployment `nobody` is not known",
        ),
        ("plugins: [lively]\nmodels: {m: {strategy: {mode: x}, targets: []}}", "`models.m`"),
        ("plugins: [lively]\nmodels: {m: {strategy: {mode: [x]}, targets: []}}", "`models.m`"),
    ],
)
def test_what_is_wrong_is_a_startup_error(source: Source, text: str, expected: str) -> None:
    """Whoever finds it, with the place where it stands."""
    with pytest.raises(StartupError) as caught:
        composed(source, text)
    assert expected in str(caught.value)


def test_every_problem_of_composing_is_listed(source: Source) -> None:
    """Deployments, models, state, budgets and plugins: mending one does not bring up the next."""
    with pytest.raises(StartupError) as caught:
        composed(
            source,
            """
plugins: [lively: {fails: create}]
providers: {v: {provider: vendor}, w: {provider: local, base_url: nonsense}, one: {provider: local}}
models: {m: nobody/x, n: one/y, o: oen/z}
state: redis
""",
        )
    shown = str(caught.value)
    for words in ("`lively`", "`providers.v`", "`providers.w.base_url`", "`models.m`", "did you mean `one`", "`state`"):
        assert words in shown, words


def test_a_model_may_use_a_deployment_that_could_not_be_made(source: Source) -> None:
    """A deployment with a mistake of its own is known by its name: no second problem is made of it."""
    with pytest.raises(StartupError) as caught:
        composed(source, "plugins: [lively]\nproviders: {v: {provider: vendor}}\nmodels: {m: v/x}\n")
    assert len(caught.value.problems) == 1


def test_a_provider_of_a_plugin_is_deployed(source: Source) -> None:
    """What `providers()` brings can be used at once."""
    source.text = "auth: {mode: open}\nplugins: [bringer]\nproviders: {b: {provider: brought}}"
    plan = compose(source(), Context(ReplayUpstream({}), source.folder, ""))
    assert isinstance(plan.deployments["b"], Brought)


async def test_checks_and_stores_reach_the_context(source: Source, start: Callable[[str], Any]) -> None:
    """Other plugins' checks by id, with or without the `default.` before it; the chosen store."""
    gateway = await start("auth: {mode: open}\nplugins: [stores]\nstate: mine")
    context = gateway.context
    assert isinstance(context.state, MemoryStateStore)
    for name in ("never", "default.never"):
        with pytest.raises(StartupError, match=r"no \{'a': 1\}"):
            context.check(name, {"a": 1})
    with pytest.raises(StartupError, match=r"did you mean `default\.never`"):
        context.check("nevr", {})


@pytest.mark.parametrize(
    ("mode", "expected"),
    [("open", ["uploads", "open"]), ("passthrough", ["uploads", "passthrough"]), ("keys", ["uploads", "lively"])],
)
async def test_the_mode_says_who_authenticates(start: Callable[[str], Any], mode: str, expected: list[str]) -> None:
    """In the modes without keys no plugin is asked, but for the address of an upload."""
    gateway = await start(f"auth: {{mode: {mode}}}\nplugins: [lively]")
    assert [step.plugin for step in gateway.plan.authenticate] == expected


# callers' own keys


async def test_passthrough_deploys_providers_by_their_own_name(start: Callable[[str], Any]) -> None:
    """No configuration and no key: the caller brings it. What is not installed is not there."""
    gateway = await start("auth: {mode: passthrough}")
    deployment = gateway.plan.deployments["vendor"]
    assert isinstance(deployment, Vendor)
    assert deployment is gateway.plan.deployments["vendor"]
    assert (deployment.deployment, deployment.config.api_key) == ("vendor", None)
    with pytest.raises(KeyError):
        gateway.plan.deployments["nobody"]


async def test_passthrough_survives_a_provider_that_cannot_be_made(start: Callable[[str], Any]) -> None:
    """A provider whose constructor fails is one that cannot be called, not a crash."""
    gateway = await start("auth: {mode: passthrough}")
    route = next(held.hooks for held in gateway.plan.plugins if held.name == "route")
    assert vars(route)["_find"]("faulty") is None


@pytest.mark.parametrize("mode", ["open", "keys"])
async def test_other_modes_have_only_what_is_configured(start: Callable[[str], Any], mode: str) -> None:
    """The gateway's own keys are never lent to a provider nobody configured."""
    gateway = await start(f"auth: {{mode: {mode}}}\nplugins: [lively]\nproviders: {{one: {{provider: local}}}}")
    assert list(gateway.plan.deployments) == ["one"]
    with pytest.raises(KeyError):
        gateway.plan.deployments["vendor"]


async def test_a_callers_key_goes_to_the_callers_host(start: Callable[[str], Any]) -> None:
    """Own key and own host: the credential is bound to that host and to no other."""
    gateway = await start("auth: {mode: passthrough}")
    vendor = gateway.plan.deployments["vendor"]
    ex = Exchange(CHAT, {b"authorization": b"Bearer sk-own"}, request_id="r", trace_id="t")
    ex.principal = await gateway.plan.authenticate[-1].call(ex)
    held = vendor.credential(ex)
    assert held is not None
    assert (held.secret.reveal(), held.origins) == ("sk-own", frozenset({"https://api.example.com:443"}))
    ex.base_url = "https://own.example.com/v1"
    held = vendor.credential(ex)
    assert held is not None
    assert held.origins == frozenset({"https://own.example.com:443"})
