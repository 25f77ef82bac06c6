"""Which models there are: aliases and deployments' models, as far as the caller may use them, and what is known of them."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any, ClassVar

import msgspec
import pytest

from headgate import listing
from headgate.dialects import AnthropicMessages, Dialect, GoogleGenerate
from headgate.errors import ModelNotFound
from headgate.exchange import Exchange, Principal, Target
from headgate.fleet import Fleet, call_provider
from headgate.hooks import ModelFacts
from headgate.listing import answer_models
from headgate.models import HOLD_S, Model, find_model, usable_models
from headgate.operations import GENERATE_MODELS, MODELS
from headgate.plan import Plan, Registry
from headgate.provider import DeploymentConfig, Provider
from headgate.testing import ReplayUpstream


class Named(Provider):
    name = "named"
    is_keyless = True
    dialects: ClassVar[Mapping[str, str]] = {"embeddings": "openai.embeddings"}
    models: ClassVar[tuple[str, ...]] = ("one", "two")


class Open(Provider):
    name = "open"
    is_keyless = True
    dialects: ClassVar[Mapping[str, str]] = {"chat": "openai.chat"}


def plan_of(**aliases: Target) -> Plan:
    upstream = ReplayUpstream({})
    deployments = {
        "mine": Named("mine", DeploymentConfig(provider="named"), upstream),
        "less": Named("less", DeploymentConfig(provider="named", models=["two", "three"]), upstream),
        "any": Open("any", DeploymentConfig(provider="open"), upstream),
    }
    return Plan((), Registry(), deployments, {"fast": Target(), "*": Target(), **aliases}, call_provider, Fleet())


async def listed(principal: Principal | None = None) -> dict[str, str]:
    return {model.id: model.owner for model in await usable_models(plan_of(), principal)}


async def test_aliases_and_models_of_every_deployment() -> None:
    """The star is no model; a deployment without a list is shown as open to any name."""
    assert await listed() == {
        "fast": "headgate",
        "mine/one": "named",
        "mine/two": "named",
        "less/two": "named",
        "less/three": "named",
        "any/*": "open",
    }


@pytest.mark.parametrize(
    ("models", "expected"),
    [
        (("fast",), {"fast"}),
        (("mine/*", "fast"), {"fast", "mine/one", "mine/two"}),
        (("less/two", "nothing"), {"less/two"}),
        (("any/*",), {"any/*"}),
        (("*",), {"fast", "mine/one", "mine/two", "less/two", "less/three", "any/*"}),
        ((), {"fast", "mine/one", "mine/two", "less/two", "less/three", "any/*"}),
    ],
)
async def test_a_key_sees_what_it_may_use(models: tuple[str, ...], expected: set[str]) -> None:
    """Nothing that would be refused is listed."""
    assert set(await listed(Principal("k", models=models))) == expected


@pytest.mark.parametrize("name", ["fast", "mine/two", "less/three", "any/thing/at:all", "any/*", "any/x"])
def test_what_can_be_looked_up(name: str) -> None:
    """What is listed, and every name of a deployment that names none."""
    assert find_model(plan_of(), None, name).id == name


@pytest.mark.parametrize(
    ("name", "allowed"),
    [
        ("*", ()),
        ("nobody", ()),
        ("mine", ()),
        ("mine/", ()),
        ("mine/three", ()),
        ("nobody/*", ()),
        ("fast", ("mine/*",)),
        ("any/x", ("mine/*",)),
    ],
)
def test_what_cannot_be_looked_up(name: str, allowed: tuple[str, ...]) -> None:
    """What is not listed, and what the key may not use, which sound the same."""
    with pytest.raises(ModelNotFound, match="is not known") as caught:
        find_model(plan_of(), Principal("k", models=allowed), name)
    assert caught.value.param == "model"


def test_a_hint_names_only_what_the_key_may_use() -> None:
    """A mistyped name is told the nearest one of the caller's own."""
    with pytest.raises(ModelNotFound, match="did you mean `mine/one`"):
        find_model(plan_of(), None, "mine/onw")
    with pytest.raises(ModelNotFound, match=r"is not known$"):
        find_model(plan_of(), Principal("k", models=("fast",)), "mine/onw")


async def test_a_long_list_lets_others_have_their_turn() -> None:
    """Facts that take a while to find hold nobody up for longer than one of them and what a turn may take."""
    names = [f"m{number}" for number in range(40)]
    turns = [0]

    def find(_: Provider, model: str) -> ModelFacts:
        asked.append((model, turns[0]))
        time.sleep(2 * HOLD_S / 3)
        return ModelFacts(context_window=len(model))

    async def others() -> None:
        while True:
            turns[0] += 1
            await asyncio.sleep(0)

    asked: list[tuple[str, int]] = []
    config = DeploymentConfig(provider="named", models=names)
    plan = Plan((), Registry(facts=(find,)), {"d": Named("d", config, ReplayUpstream({}))}, {}, call_provider, Fleet())
    task = asyncio.create_task(others())
    found = await usable_models(plan, None)
    task.cancel()
    assert [(model.id, dict(model.facts)) for model in found] == [
        (f"d/{name}", {"context_window": len(name)}) for name in names
    ]
    assert [model for model, _ in asked] == names
    in_one_turn = Counter(turn for _, turn in asked)
    assert max(in_one_turn.values()) <= 2


def test_a_name_that_is_not_known_asks_for_no_facts() -> None:
    """The hint is made of names alone: a mistyped one does not have every model looked up."""

    def find(_: Provider, model: str) -> ModelFacts:
        raise AssertionError(model)

    plan = msgspec.structs.replace(plan_of(), registry=Registry(facts=(find,)))
    with pytest.raises(ModelNotFound, match="did you mean `mine/one`"):
        find_model(plan, None, "mine/onw")


async def test_an_alias_can_do_what_one_of_its_leaves_can() -> None:
    """Nodes are looked through to their deployments; one that is not there can do nothing."""
    leaves = (
        Target(deployment="any", model="x"),
        Target(targets=(Target(deployment="mine"),)),
        Target(deployment="no"),
    )
    plan = plan_of(both=Target(targets=leaves), none=Target(deployment="no"), plain=Target(deployment="any"))
    found = {model.id: (model.can_chat, model.can_embed) for model in await usable_models(plan, None)}
    assert (found["both"], found["none"], found["plain"]) == ((True, True), (False, False), (True, False))


@pytest.mark.parametrize(
    ("dialect", "expected"),
    [
        (None, {"context_window": 8, "max_output_tokens": 4, "price": 1}),
        (AnthropicMessages(), {"max_input_tokens": 8, "max_tokens": 4}),
        (GoogleGenerate(), {"inputTokenLimit": 8, "outputTokenLimit": 4}),
    ],
)
async def test_facts_stand_where_each_shape_has_them(
    monkeypatch: pytest.MonkeyPatch, dialect: Dialect | None, expected: dict[str, int]
) -> None:
    """OpenAI's shape has all that is known beside the name, the others the limits in their own words."""
    facts = {"context_window": 8, "max_output_tokens": 4, "price": 1}

    def find(*_: object) -> Model:
        return Model("x", "o", can_chat=True, can_embed=False, facts=facts)

    monkeypatch.setattr(listing, "find_model", find)
    ex = Exchange(MODELS, {}, request_id="r", trace_id="t", method="GET", path="/v1/models/x")
    ex.error_dialect = dialect
    body: dict[str, Any] = msgspec.json.decode(await answer_models(plan_of(), ex))
    assert {name: body.get(name) for name in expected} == expected


async def test_a_page_goes_on_when_its_last_model_is_the_end() -> None:
    """Google's token of the last model gives an empty page, which has no token of its own."""
    ex = Exchange(
        GENERATE_MODELS,
        {},
        request_id="r",
        trace_id="t",
        method="GET",
        path="/v1beta/models",
        query=b"pageToken=YW55Lyo=",
    )
    ex.error_dialect = GoogleGenerate()
    assert msgspec.json.decode(await answer_models(plan_of(), ex)) == {"models": []}
