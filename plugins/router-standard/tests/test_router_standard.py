"""The strategies `single` and `fallback`, and routing configs that come with a request."""

from __future__ import annotations

import asyncio
import base64
import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from core.tests.asking import NoUpstream
from hypothesis import given
from hypothesis import strategies as st

from headgate.context import Context
from headgate.dialects import OpenAIChat
from headgate.errors import Forbidden, InvalidRequest
from headgate.exchange import Caching, Exchange, Principal, Target
from headgate.fleet import Fleet
from headgate.hooks import Outcome, Scene
from headgate.operations import CHAT
from headgate.routing import Known
from headgate.upstream import Upstream
from headgate_router_standard import Fallback, RouterStandard, Single


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
