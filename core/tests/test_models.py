"""The model list: aliases and deployments' models, as far as the caller may use them."""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec
import pytest

from headgate.exchange import Exchange, Principal, Target
from headgate.models import list_models
from headgate.operations import MODELS
from headgate.plan import Plan, Registry, call_provider
from headgate.provider import DeploymentConfig, Provider
from headgate.testing import ReplayUpstream


class Named(Provider):
    name = "named"
    is_keyless = True
    models: ClassVar[tuple[str, ...]] = ("one", "two")


class Open(Provider):
    name = "open"
    is_keyless = True


def listed(principal: Principal | None = None, **aliases: Target) -> dict[str, str]:
    upstream = ReplayUpstream({})
    deployments = {
        "mine": Named("mine", DeploymentConfig(provider="named"), upstream),
        "less": Named("less", DeploymentConfig(provider="named", models=["two", "three"]), upstream),
        "any": Open("any", DeploymentConfig(provider="open"), upstream),
    }
    plan = Plan((), Registry(), deployments, {"fast": Target(), "*": Target(), **aliases}, call_provider)
    ex = Exchange(MODELS, {}, request_id="r", trace_id="t", method="GET")
    ex.principal = principal
    body: dict[str, Any] = msgspec.json.decode(list_models(plan, ex))
    assert body["object"] == "list"
    assert all(set(model) == {"id", "object", "created", "owned_by"} for model in body["data"])
    return {model["id"]: model["owned_by"] for model in body["data"]}


def test_aliases_and_models_of_every_deployment() -> None:
    """The star is no model; a deployment without a list is shown as open to any name."""
    assert listed() == {
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
def test_a_key_sees_what_it_may_use(models: tuple[str, ...], expected: set[str]) -> None:
    """Nothing that would be refused is listed."""
    assert set(listed(Principal("k", models=models))) == expected
