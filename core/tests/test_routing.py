"""Routing configs: decoded into a tree with everything inherited, or refused with every problem at its place."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from typing_extensions import override

from headgate.errors import StartupError
from headgate.exchange import Exchange, Retry, Target
from headgate.hooks import Fault, Outcome, Scene, Strategy
from headgate.routing import Known, decode_target, leaf_of
from headgate.routing.decode import MAX_NODES
from headgate.routing.fields import MAX_HINTS


class First(Strategy):
    """Calls the first target."""

    @override
    def choose(self, target: Target, ex: Exchange, outcomes: Sequence[Outcome], scene: Scene) -> int | None:
        return None if outcomes else 0


DEPLOYMENTS = {"openai": 1, "groq": 1, "anthropic": 1}
STRATEGIES: dict[str, Strategy] = dict.fromkeys(("single", "fallback", "loadbalance"), First())


def decode(value: Any) -> Target:
    return decode_target(value, Known(DEPLOYMENTS, STRATEGIES))


def problems(value: Any) -> list[str]:
    with pytest.raises(StartupError) as caught:
        decode(value)
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("text", "deployment", "model"),
    [
        ("openai", "openai", ""),
        ("openai/gpt-4o", "openai", "gpt-4o"),
        ("@openai/gpt-4o", "openai", "gpt-4o"),
        ("groq/meta/llama-3", "groq", "meta/llama-3"),
    ],
)
def test_a_leaf_may_be_a_string(text: str, deployment: str, model: str) -> None:
    """`deployment/model`, with Portkey's `@` before it or not; only the first slash divides."""
    assert leaf_of(text) == Target(deployment=deployment, model=model)
    assert decode(text) == Target(deployment=deployment, model=model)


@pytest.mark.parametrize(
    ("value", "model"),
    [
        ({"provider": "openai"}, ""),
        ({"provider": "@openai"}, ""),
        ({"virtual_key": "openai"}, ""),
        ({"provider": "openai/gpt-4o"}, "gpt-4o"),
        ({"provider": "openai", "model": "gpt-4o"}, "gpt-4o"),
        ({"provider": "openai", "override_params": {"model": "gpt-4o"}}, "gpt-4o"),
        ({"provider": "openai/a", "override_params": {"model": "b"}}, "b"),
        ({"provider": "openai/a", "override_params": {"model": "b"}, "model": "c"}, "c"),
    ],
)
def test_where_a_leaf_takes_its_model_from(value: dict[str, Any], model: str) -> None:
    """`model`, then `override_params.model`, then the name behind the slash."""
    held = decode(value)
    assert (held.deployment, held.model, held.override_params) == ("openai", model, {})


def test_a_tree_inherits_downwards() -> None:
    """Retries, timeouts and overrides of a node are those of its leaves, unless a leaf has its own."""
    held = decode(
        {
            "strategy": {"mode": "fallback", "on_status_codes": [429, 500]},
            "retry": {"attempts": 2, "on_status_codes": [503], "use_retry_after_headers": True},
            "request_timeout": 1500,
            "override_params": {"temperature": 0, "seed": 1},
            "targets": [
                {"provider": "openai", "weight": 0.5, "override_params": {"seed": 2}},
                {
                    "strategy": {"mode": "loadbalance", "sticky": True},
                    "targets": [
                        {"provider": "groq", "retry": {"attempts": 0}, "request_timeout": 10},
                        "anthropic/claude",
                    ],
                },
            ],
        }
    )
    retry = Retry(2, (503,), use_retry_after_header=True)
    first, second = held.targets
    assert (held.path, held.strategy, held.on_status_codes, held.settings) == ("config", "fallback", (429, 500), {})
    assert first == Target(
        path="config.targets[0]",
        deployment="openai",
        weight=0.5,
        retry=retry,
        request_timeout_s=1.5,
        override_params={"temperature": 0, "seed": 2},
    )
    assert (second.path, second.settings) == ("config.targets[1]", {"sticky": True})
    assert second.targets[0].retry == Retry()
    assert second.targets[0].request_timeout_s == 0.01
    assert second.targets[1].path == "config.targets[1].targets[1]"


def test_the_root_alone_has_a_deadline() -> None:
    """It bounds the whole request; below the root it is refused with what to use there."""
    node = {"strategy": {"mode": "fallback"}, "targets": [{"provider": "openai"}]}
    held = decode({**node, "deadline": 1500})
    assert (held.deadline_s, held.targets[0].deadline_s) == (1.5, 0.0)
    with pytest.raises(StartupError, match=r"`config.targets\[0\].deadline` belongs to the root"):
        decode({**node, "targets": [{"provider": "openai", "deadline": 10}]})


def test_a_string_inherits_as_a_mapping_does() -> None:
    """The short form of a leaf is the same leaf."""
    node = {"strategy": {"mode": "fallback"}, "retry": {"attempts": 3}, "override_params": {"seed": 1}}
    short, long = (decode({**node, "targets": [leaf]}) for leaf in ("openai/gpt", {"provider": "openai/gpt"}))
    assert short == long


def test_targets_without_a_strategy_are_single() -> None:
    """Portkey's default mode."""
    assert decode({"targets": ["openai"]}).strategy == "single"
    assert decode({"strategy": {}, "targets": ["openai"]}).strategy == "single"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (5, "`config` must be a mapping"),
        (None, "`config` must be a mapping"),
        ("nobody/x", "`config` deployment `nobody` is not known"),
        ("openia/x", "did you mean `openai`?"),
        ("", "`config` deployment `` is not known"),
        ({}, "`config` names no deployment"),
        ({"provider": 5}, "`config` names no deployment"),
        ({"provider": "opnai"}, "`config.provider` deployment `opnai` is not known (did you mean `openai`?)"),
        ({"provider": "openai", "wieght": 1}, "`config.wieght` is not known (did you mean `weight`?)"),
        ({"provider": "openai", "weight": "heavy"}, "`config.weight` must be a number"),
        ({"provider": "openai", "weight": -1}, "`config.weight` must be a number"),
        ({"provider": "openai", "weight": True}, "`config.weight` must be a number"),
        ({"provider": "openai", "weight": float("nan")}, "`config.weight` must be a number"),
        ({"provider": "openai", "weight": float("inf")}, "`config.weight` must be a number"),
        ({"provider": "openai", "request_timeout": "1s"}, "`config.request_timeout` must be a number"),
        ({"provider": "openai", "override_params": [1]}, "`config.override_params` must be a mapping"),
        ({"provider": "openai", "retry": 3}, "`config.retry` must be a mapping"),
        ({"provider": "openai", "retry": {"attempts": 6}}, "`config.retry.attempts` must be a whole number of 0 to 5"),
        ({"provider": "openai", "retry": {"attempts": float("inf")}}, "`config.retry.attempts` must be"),
        ({"provider": "openai", "retry": {"attemps": 1}}, "`config.retry.attemps` is not known"),
        ({"provider": "openai", "retry": {1: 1}}, "`config.retry.1` is not known"),
        ({"provider": "openai", 1: 1}, "`config.1` is not known"),
        ({"provider": "openai", "retry": {"on_status_codes": "5xx"}}, "`config.retry.on_status_codes` must be a list"),
        (
            {"strategy": {"mode": "fallbak"}, "targets": ["openai"]},
            "`config.strategy.mode` `fallbak` is not known (did you",
        ),
        ({"strategy": {"mode": ["x"]}, "targets": ["openai"]}, "`config.strategy.mode`"),
        ({"strategy": {"mode": {}}, "targets": []}, "`config.targets` must be a list"),
        ({"strategy": "fallback", "targets": ["openai"]}, "`config.strategy` must be a mapping"),
        ({"strategy": {"mode": "fallback"}}, "`config.targets` must be a list with at least one"),
        ({"targets": {"a": 1}}, "`config.targets` must be a list with at least one"),
        ({"targets": ["openai", {"targets": [7]}]}, "`config.targets[1].targets[0]` must be a mapping"),
    ],
)
def test_a_problem_names_its_place(value: Any, expected: str) -> None:
    """What is wrong, where, and what was meant."""
    assert any(expected in problem for problem in problems(value)), problems(value)


def test_every_problem_is_listed() -> None:
    """All of them at once, whichever branch they are in."""
    found = problems(
        {
            "strategy": {"mode": "x"},
            "typo": 1,
            "retry": {"attempts": 9},
            "targets": [{"provider": "nobody"}, 5, {"targets": [{"weight": "x", "provider": "groq"}]}],
        }
    )
    assert len(found) == 6
    for place in ("mode", "typo", "attempts", "targets[0].provider", "targets[1]", "targets[2].targets[0].weight"):
        assert sum(f"{place}`" in problem for problem in found) == 1, (place, found)


def test_a_config_has_a_bounded_number_of_targets() -> None:
    """A thousand nodes are taken, more are refused: one header cannot ask for unbounded work."""
    decode({"targets": ["openai"] * (MAX_NODES - 1)})
    assert "at most 1000 targets" in problems({"targets": ["openai"] * MAX_NODES})[0]


@pytest.mark.parametrize("depth", [30, 60, 400, 900, 5000])
def test_deep_configs_are_decoded_or_refused(depth: int) -> None:
    """Nesting never ends in anything but a tree or a StartupError."""
    value: Any = "openai"
    for _ in range(depth):
        value = {"targets": [value]}
    with contextlib.suppress(StartupError):
        assert decode(value).targets


def test_unknown_deployments_list_the_known() -> None:
    """Somebody who guesses is told what there is."""
    assert "`anthropic`, `groq`, `openai`" in problems("zzz")[0]
    with pytest.raises(StartupError, match="has none"):
        decode_target("zzz", Known({}, {}))


KEYS = (
    *("name", "strategy", "mode", "targets", "provider", "virtual_key", "model", "override_params", "weight"),
    *("retry", "attempts", "request_timeout", "on_status_codes", "use_retry_after_header", 0, 1),
)
ODD = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["openai", "fallback"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5),
    max_leaves=12,
)


@settings(deadline=None)
@given(ODD)
@example({"provider": "openai", "retry": {"attempts": 1e300}})
@example({"provider": "openai", "model": ["x"]})
def test_anything_is_a_tree_or_refused(value: Any) -> None:
    """Whatever a routing config holds, the answer is a tree of well-typed targets, or StartupError."""
    try:
        held = decode(value)
    except StartupError:
        return
    waiting = [held]
    while waiting:
        target = waiting.pop()
        waiting += target.targets
        assert isinstance(target.model, str)
        assert 0 <= target.retry.attempts <= 5
        assert 0 <= target.weight < float("inf")
        assert 0 <= target.request_timeout_s < float("inf")
        assert bool(target.targets) != bool(target.deployment)


def test_a_portkey_config_is_taken_as_it_is() -> None:
    """The example of Portkey's documentation, JSON and all."""
    text = """{
        "strategy": {"mode": "loadbalance"},
        "targets": [
            {"virtual_key": "openai", "weight": 0.7},
            {"provider": "@groq", "override_params": {"model": "llama-3.3-70b"}, "weight": 0.3}
        ]
    }"""
    held = decode(json.loads(text))
    assert [(leaf.deployment, leaf.model, leaf.weight) for leaf in held.targets] == [
        ("openai", "", 0.7),
        ("groq", "llama-3.3-70b", 0.3),
    ]


def test_only_the_first_problems_have_hints() -> None:
    """A config of many unknown names is refused with all of them, but few are searched among the known ones."""
    found = problems({"strategy": {"mode": "fallback"}, "targets": ["opanai"] * 50})
    assert len(found) == 50
    assert [problem for problem in found if "did you mean `openai`" in problem] == found[:MAX_HINTS]
    assert all("`providers:` has `anthropic`, `groq`, `openai`" in problem for problem in found)


class Failing(First):
    """Cannot read any settings."""

    @override
    def compile(self, target: Target, fault: Fault) -> None:
        raise KeyError("threshold")


def test_a_strategy_that_fails_is_named() -> None:
    """What a plugin's strategy raises is a problem of the config, at its place."""
    config = {"strategy": {"mode": "mine"}, "targets": ["openai"]}
    with pytest.raises(StartupError, match="`config` made the strategy `mine` fail: KeyError: 'threshold'"):
        decode_target(config, Known(DEPLOYMENTS, {"mine": Failing()}))


def test_what_a_strategy_made_is_kept() -> None:
    """A strategy reads its settings once, and tells what is wrong with them below the node."""

    class Reading(First):
        @override
        def compile(self, target: Target, fault: Fault) -> str:
            if "limit" not in target.settings:
                fault("strategy.limit", "is missing")
            return f"{len(target.targets)} of {target.settings.get('limit')}"

    known = Known(DEPLOYMENTS, {"mine": Reading()})
    node = {"strategy": {"mode": "mine", "limit": 3}, "targets": ["openai", "groq"]}
    assert decode_target(node, known).compiled == "2 of 3"
    with pytest.raises(StartupError, match=r"`config.targets\[0\].strategy.limit` is missing"):
        decode_target({**node, "targets": [{"strategy": {"mode": "mine"}, "targets": ["groq"]}]}, known)
