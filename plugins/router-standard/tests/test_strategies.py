"""The strategies `loadbalance` and `conditional`, on exchanges made by hand."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest

from headgate.dialects.openai.chat import OpenAIChat
from headgate.errors import InvalidRequest, StartupError
from headgate.exchange import Exchange, Target
from headgate.fleet import Fleet
from headgate.hooks import Outcome, Scene, Strategy
from headgate.operations import CHAT
from headgate.routing import Known, decode_target
from headgate_router_standard import Conditional, Fallback, LoadBalance, Single

STRATEGIES: Mapping[str, Strategy] = {
    "single": Single(),
    "fallback": Fallback(),
    "loadbalance": LoadBalance(),
    "conditional": Conditional(),
}
DEPLOYMENTS = ("a", "b", "c")


def decode(value: Any) -> Target:
    return decode_target(value, Known(DEPLOYMENTS, STRATEGIES))


def problems(value: Any) -> list[str]:
    with pytest.raises(StartupError) as caught:
        decode(value)
    return [str(problem) for problem in caught.value.problems]


def exchange(metadata: Mapping[str, str] | None = None, **params: Any) -> Exchange:
    ex = Exchange(CHAT, {}, request_id="r", trace_id="t", dialect=OpenAIChat())
    ex.body, ex.model = json.dumps({"model": "m", "messages": [], **params}).encode(), "m"
    ex.metadata = metadata or {}
    return ex


def choose(target: Target, ex: Exchange, *outcomes: Outcome, seed: int = 0) -> int | None:
    return STRATEGIES[target.strategy].choose(target, ex, outcomes, Scene(0.0, random.Random(seed), Fleet()))


def balanced(*weights: float, **strategy: Any) -> dict[str, Any]:
    """A config that balances over deployments of these weights."""
    return {
        "strategy": {"mode": "loadbalance", **strategy},
        "targets": [{"provider": name, "weight": weight} for name, weight in zip(DEPLOYMENTS, weights, strict=False)],
    }


def test_load_follows_the_weights() -> None:
    """3 : 1 : 0 gives three quarters, a quarter and nothing."""
    target, ex, scene = decode(balanced(3, 1, 0)), exchange(), Scene(0.0, random.Random(7), Fleet())
    drawn = Counter(LoadBalance().choose(target, ex, (), scene) for _ in range(4000))
    assert abs(drawn[0] / 4000 - 0.75) < 0.03
    assert drawn[2] == 0


def test_load_balancing_fails_over() -> None:
    """What failed is left for one that was not tried; when none is left the last outcome stands."""
    target, ex = decode(balanced(1, 1, 0)), exchange()
    assert choose(target, ex, Outcome(1, 503)) == 0
    assert choose(target, ex, Outcome(1, 503), Outcome(0, 503)) is None
    assert choose(target, ex, Outcome(1, 200)) is None
    assert choose(target, ex, Outcome(1, 400)) is None


def test_load_balancing_leaves_what_is_listed() -> None:
    """`on_status_codes` says exactly what is left, as for `fallback`."""
    target, ex = decode(balanced(1, 1, on_status_codes=[429])), exchange()
    assert choose(target, ex, Outcome(0, 429)) == 1
    assert choose(target, ex, Outcome(0, 503)) is None


def test_weights_of_nothing_are_refused() -> None:
    """A balancer that could never call anything is a mistake."""
    assert problems(balanced(0, 0)) == ["`config.targets` have no weight above 0: none could ever be called"]


CONDITIONAL: dict[str, Any] = {
    "strategy": {
        "mode": "conditional",
        "conditions": [
            {"query": {"metadata.user_plan": {"$eq": "paid"}}, "then": "first"},
            {"query": {"params.temperature": {"$gt": 0.9}}, "then": "second"},
        ],
        "default": "third",
    },
    "targets": [
        {"name": "first", "provider": "a"},
        {"name": "second", "provider": "b"},
        {"name": "third", "strategy": {"mode": "fallback"}, "targets": ["b", "c"]},
    ],
}


def test_the_first_condition_that_holds_decides() -> None:
    """Conditions in order, then the default; the outcome of the branch stands."""
    target = decode(CONDITIONAL)
    assert choose(target, exchange({"user_plan": "paid"}, temperature=1)) == 0
    assert choose(target, exchange({"user_plan": "free"}, temperature=1)) == 1
    assert choose(target, exchange()) == 2
    assert choose(target, exchange(), Outcome(2, 503)) is None


def test_a_request_that_fits_nothing_is_refused() -> None:
    """Without a default it is the caller's request that no branch is for: 400."""
    strategy = {**CONDITIONAL["strategy"]}
    del strategy["default"]
    target = decode({**CONDITIONAL, "strategy": strategy})
    with pytest.raises(InvalidRequest, match="no condition of `config` holds"):
        choose(target, exchange())


def test_every_problem_of_a_conditional_is_named() -> None:
    """Names that are none, queries that are none, members that are not known: all at once, each at its place."""
    bad = {
        "strategy": {
            "mode": "conditional",
            "conditions": [
                {"query": {"metadata.plan": {"$is": 1}}, "then": "first"},
                {"query": {"params.n": 1}, "then": "nobody", "else": "x"},
                "paid",
            ],
            "default": "nowhere",
            "sticky": True,
        },
        "targets": [{"name": "first", "provider": "a"}],
    }
    found = problems(bad)
    assert [text.split("`")[1] for text in found] == [
        "config.strategy.sticky",
        "config.strategy.conditions[0].query.metadata.plan.$is",
        "config.strategy.conditions[1].else",
        "config.strategy.conditions[1].then",
        "config.strategy.conditions[2]",
        "config.strategy.default",
    ]
    assert "there is `first`" in found[3]


def test_a_conditional_needs_conditions() -> None:
    """A list of none is a mistake, too."""
    config = {"strategy": {"mode": "conditional"}, "targets": ["a"]}
    assert problems(config) == ["`config.strategy.conditions` must be a list of `{query, then}`"]
