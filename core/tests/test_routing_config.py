"""The members of a routing config beyond deployment and strategy: what they become, and what is said when they are wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from core.tests.test_routing import DEPLOYMENTS, STRATEGIES
from hypothesis import given
from hypothesis import strategies as st

from headgate.body import with_params
from headgate.errors import StartupError
from headgate.exchange import Caching, Patience, Target, caching_of
from headgate.hooks import CheckFactory, Fault, Hooks
from headgate.policies import BreakerRule
from headgate.routing import Asked, Known, decode_target
from headgate.secret import Secret

KNOWN = Known(
    DEPLOYMENTS,
    {**STRATEGIES, "conditional": STRATEGIES["single"]},
    models={"fast": "groq/llama", "spread": {"strategy": {"mode": "fallback"}, "targets": ["openai", "groq/x"]}},
    configs={},
    takes_keys=lambda name: name == "mistral",
)


def decode(value: Any, asked: Asked | None = None, known: Known = KNOWN) -> Target:
    return decode_target(value, known, asked=asked)


def problems(value: Any, asked: Asked | None = None, known: Known = KNOWN) -> list[str]:
    with pytest.raises(StartupError) as caught:
        decode(value, asked, known)
    return [str(problem) for problem in caught.value.problems]


def two(**fields: Any) -> Target:
    """A node with these fields over a plain leaf and one of its own."""
    return decode({"strategy": {"mode": "fallback"}, **fields, "targets": [{"provider": "openai"}, fields]})


@pytest.mark.parametrize(
    ("fields", "name", "value"),
    [
        ({"default_params": {"seed": 1}}, "default_params", {"seed": 1}),
        ({"drop_params": ["a.b", "tools[*].strict"]}, "drop_params", (("a", "b"), ("tools", -1, "strict"))),
        ({"cache": {"mode": "semantic", "max_age": 60}}, "cache", Caching("semantic", 60.0)),
        ({"cache": "simple"}, "cache", Caching("simple")),
        ({"custom_host": "https://models.example/v1/"}, "base_url", "https://models.example/v1"),
        ({"forward_headers": ["X-Team", "x-b"]}, "forward_headers", (b"x-team", b"x-b")),
        ({"forward_headers": "x-a, x-b"}, "forward_headers", (b"x-a", b"x-b")),
        ({"timeouts": {"first_token": 900, "gap": 5000}}, "patience", Patience(first_token_s=0.9, gap_s=5.0)),
        ({"release_after": 12}, "release_after", 12),
        ({"requestTimeout": 1500}, "request_timeout_s", 1.5),
    ],
)
def test_members_are_handed_down(fields: dict[str, Any], name: str, value: Any) -> None:
    """What a node says holds for the targets below it that say nothing themselves."""
    held = decode({"strategy": {"mode": "fallback"}, **fields, "targets": ["openai", {"provider": "groq"}]})
    assert [getattr(leaf, name) for leaf in held.targets] == [value, value]


def test_a_targets_own_word_counts() -> None:
    """Parameters are joined, the child's first; retry, cache, timeouts and the rest are replaced whole."""
    held = decode(
        {
            "strategy": {"mode": "fallback"},
            "default_params": {"seed": 1, "top_p": 0.5},
            "drop_params": ["user"],
            "cache": {"mode": "simple", "max_age": 60},
            "timeouts": {"gap": 1000, "connect": 500},
            "targets": [
                {
                    "provider": "openai",
                    "default_params": {"seed": 2},
                    "drop_params": ["stop"],
                    "cache": {"mode": "semantic"},
                    "timeouts": {"gap": 2000},
                }
            ],
        }
    ).targets[0]
    assert (held.default_params, held.drop_params) == ({"seed": 2, "top_p": 0.5}, (("user",), ("stop",)))
    assert (held.cache, held.patience) == (Caching("semantic"), Patience(connect_s=0.5, gap_s=2.0))


def test_what_is_dropped_is_not_overridden() -> None:
    """Portkey drops after it overrides, so a member that is dropped does not come back."""
    held = decode({"provider": "openai", "override_params": {"seed": 1, "user": "x"}, "drop_params": ["user"]})
    assert held.override_params == {"seed": 1}


def test_a_breaker_is_handed_down() -> None:
    """`cb_config` goes to the strategies and targets below, but not through `conditional`."""
    rule = {"failure_threshold": 3, "cooldown_interval": 60_000, "failure_status_codes": [401, 500]}
    inner = {"strategy": {"mode": "loadbalance"}, "targets": ["groq"]}
    held = decode({"strategy": {"mode": "fallback", "cb_config": rule}, "targets": ["openai", inner]})
    expected = BreakerRule(0, 0.0, 5, 60.0, 60.0, 3, frozenset({401, 500}))
    assert (held.targets[0].breaker, held.targets[1].targets[0].breaker) == (expected, expected)
    assert (held.settings, held.breaker) == ({}, None)
    nested = {"strategy": {"mode": "conditional"}, "targets": [inner]}
    held = decode({"strategy": {"mode": "fallback", "cb_config": rule}, "targets": [nested]})
    assert held.targets[0].targets[0].targets[0].breaker is None


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"cache": {"mode": "exact"}}, "`config.cache.mode` `exact` is not known: use `simple` or `semantic`"),
    ({"cache": {"max_age": "1h"}}, "`config.cache.max_age` must be a number"),
    ({"drop_params": ["a..b"]}, "`config.drop_params` `a..b` is no path"),
    ({"drop_params": ["[0]"]}, "`config.drop_params` `[0]` is no path"),
    ({"default_params": {"stream": True}}, "`config.default_params.stream` cannot be set"),
    ({"custom_host": "ftp://x"}, "`config.custom_host` must be an http or https base URL"),
    ({"forward_headers": ["authorization"]}, "`config.forward_headers` may not name `authorization`"),
    ({"release_after": 1001}, "`config.release_after` must be a whole number of 0 to 1000"),
    ({"timeouts": {"firstToken": 1, "frist": 1}}, "`config.timeouts.frist` is not known"),
    ({"strict_open_ai_compliance": "no"}, "`config.strict_open_ai_compliance` must be `true` or `false`"),
    ({"aws_region": "eu"}, "`config.aws_region` belongs to the deployment: set it below `providers:`"),
    ({"input_mutators": []}, "`config.input_mutators` is not supported"),
    ({"prompt_id": "p"}, "`config.prompt_id` is not supported"),
    ({"on_status_codes": [429]}, "`config.on_status_codes` belongs below `strategy`"),
    ({"input_guardrails": ["pg-1"]}, "`config.input_guardrails` needs a guardrail plugin"),
    ({"strategy": {"cb_config": {"failure_threshold": 1, "cooldown_interval": 5}}}, "at least 30000 milliseconds"),
    ({"strategy": {"cb_config": {}}}, "`config.strategy.cb_config.failure_threshold` is missing"),
    ({"strategy": {"cb_config": {"failure_threshold_percentage": 101}}}, "must be a number of 0 to 100"),
]


@pytest.mark.parametrize(("value", "expected"), WRONG)
def test_problems_name_their_place(value: dict[str, Any], expected: str) -> None:
    """What is wrong, where, and what to do."""
    found = problems({"provider": "openai", **value, **({"targets": ["openai"]} if "strategy" in value else {})})
    assert any(expected in problem for problem in found), found


# what a config leaves to the request


@pytest.mark.parametrize(
    ("value", "asked", "deployment", "model"),
    [
        ({"retry": {"attempts": 2}}, Asked("openai/gpt"), "openai", "gpt"),
        ({"retry": {"attempts": 2}}, Asked("@openai/gpt"), "openai", "gpt"),
        ({"retry": {"attempts": 2}}, Asked("fast"), "groq", "llama"),
        ({"retry": {"attempts": 2}}, Asked("gpt", "openai"), "openai", "gpt"),
        ({"passthrough": True}, Asked("gpt", "openai"), "openai", "gpt"),
        ({"override_params": {"model": "@groq/llama"}}, None, "groq", "llama"),
        ({"override_params": {"model": "fast"}}, Asked("openai/gpt"), "groq", "llama"),
        ({"provider": "openai", "override_params": {"model": "@groq/x"}}, None, "groq", "x"),
        ({"provider": "openai", "override_params": {"model": "@cf/x"}}, None, "openai", "@cf/x"),
        ({"model": "groq/llama"}, None, "groq", "llama"),
    ],
)
def test_targets_may_leave_it_to_the_model(
    value: dict[str, Any], asked: Asked | None, deployment: str, model: str
) -> None:
    """A target without `provider` goes where its model leads, else where the request would go by itself."""
    held = decode(value, asked)
    assert (held.deployment, held.model, held.override_params) == (deployment, model, {})


def test_an_alias_inherits() -> None:
    """The meaning of an alias is put in its place: what the config says around it holds for its targets."""
    held = decode({"retry": {"attempts": 3}}, Asked("spread"))
    assert [(leaf.deployment, leaf.retry.attempts) for leaf in held.targets] == [("openai", 3), ("groq", 3)]


def test_without_a_request_nothing_is_left_to_it() -> None:
    """An alias of the file must say where it goes; a saved config need not, and is checked all the same."""
    assert "names no deployment" in problems({"retry": {"attempts": 1}})[0]
    assert decode({"retry": {"attempts": 1}}, Asked(is_open=True)).deployment == ""
    assert "attempts" in problems({"retry": {"attempts": 9}}, Asked(is_open=True))[0]


# what a caller may say


def test_a_config_may_bring_a_key() -> None:
    """With a key beside it any installed provider can be named, and the key goes there in place of the deployment's."""
    held = decode({"provider": "openai", "api_key": "sk-1"}, Asked(is_callers=True))
    assert (held.deployment, held.credential, held.is_callers) == ("openai", Secret("sk-1"), True)
    held = decode({"provider": "mistral", "api_key": "sk-2"}, Asked(is_callers=True))
    assert (held.deployment, held.credential) == ("inline:mistral", Secret("sk-2"))
    assert "`mistral` is not known" in problems({"provider": "mistral"})[0]


def test_a_callers_base_url_needs_a_key_of_its_own() -> None:
    """The gateway's keys are never sent where a caller says."""
    value = {"provider": "openai", "custom_host": "https://evil.example/v1"}
    assert "needs an `api_key` beside it" in problems(value, Asked(is_callers=True))[0]
    assert decode(value, Asked(is_callers=True, brings_key=True)).base_url == "https://evil.example/v1"
    assert decode({**value, "api_key": "own"}, Asked(is_callers=True)).base_url == "https://evil.example/v1"
    assert decode(value).base_url == "https://evil.example/v1"


# guardrails and cache


def test_guardrails_are_replaced_whole_and_made_once() -> None:
    """A child that names any has only its own; targets that inherit share what was made."""
    made: list[Mapping[str, Any]] = []

    def make(written: Mapping[str, Any], checks: Mapping[str, CheckFactory], fault: Fault) -> Hooks:
        made.append(written)
        return Hooks()

    known = Known(DEPLOYMENTS, STRATEGIES, guards=make)
    outer, inner = [{"default.contains": {"words": ["a"]}}], [{"default.contains": {"words": ["b"]}}]
    held = decode(
        {
            "strategy": {"mode": "fallback"},
            "input_guardrails": outer,
            "targets": ["openai", "groq", {"provider": "groq", "after_request_hooks": inner}],
        },
        known=known,
    )
    assert made == [{"input_guardrails": outer}, {"after_request_hooks": inner}]
    first, second, third = (leaf.guards for leaf in held.targets)
    assert first is second
    assert third is not first


def test_the_cache_of_a_tree() -> None:
    """What the root says of the cache, else the first target that says anything."""
    leaf = {"provider": "openai", "cache": {"mode": "simple", "max_age": 5}}
    assert caching_of(decode({"strategy": {"mode": "fallback"}, "targets": ["groq", leaf]})) == Caching("simple", 5.0)
    assert caching_of(decode({"strategy": {"mode": "fallback"}, "targets": ["groq"]})) is None


# parameters of a body


@pytest.mark.parametrize(
    ("defaults", "dropped", "expected"),
    [
        ({"seed": 1}, (), b'{"model":"m","top_p":0.50,"tools":[{"a":1,"b":2},{"b":3}],"seed":1}'),
        ({"top_p": 1}, (), None),
        ({}, (("top_p",),), b'{"model":"m","tools":[{"a":1,"b":2},{"b":3}]}'),
        ({}, (("tools", -1, "b"),), b'{"model":"m","top_p":0.50,"tools":[{"a":1},{}]}'),
        ({}, (("tools", 1),), b'{"model":"m","top_p":0.50,"tools":[{"a":1,"b":2}]}'),
        (
            {},
            (("tools", 7, "b"), ("none", "of"), ("model", "x")),
            b'{"model":"m", "top_p": 0.50, "tools":[{"a":1,"b":2},{"b":3}]}',
        ),
    ],
)
def test_params_of_a_body(defaults: dict[str, Any], dropped: Any, expected: bytes | None) -> None:
    """Defaults are for what is missing; what is dropped may stand deep; nothing to do leaves every byte."""
    body = b'{"model":"m", "top_p": 0.50, "tools":[{"a":1,"b":2},{"b":3}]}'
    assert with_params(body, defaults, dropped) == (body if expected is None else expected)


# any tree

SAID: st.SearchStrategy[Any] = st.fixed_dictionaries(
    {},
    optional={
        "retry": st.fixed_dictionaries({"attempts": st.integers(0, 5)}),
        "request_timeout": st.integers(1, 90_000),
        "override_params": st.dictionaries(st.sampled_from(["seed", "top_p", "user"]), st.integers(0, 3), min_size=1),
        "default_params": st.dictionaries(st.sampled_from(["seed", "n"]), st.integers(0, 3), min_size=1),
        "cache": st.fixed_dictionaries({"mode": st.just("simple"), "max_age": st.integers(1, 99)}),
        "release_after": st.integers(0, 9),
    },
)


def _leaf(said: dict[str, Any], name: str) -> dict[str, Any]:
    return {**said, "provider": name}


def _node(said: dict[str, Any], mode: str, targets: list[Any]) -> dict[str, Any]:
    return {**said, "strategy": {"mode": mode}, "targets": targets}


def _nodes(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.builds(_node, SAID, st.sampled_from(sorted(STRATEGIES)), st.lists(inner, min_size=1, max_size=3))


LEAVES: st.SearchStrategy[Any] = st.builds(_leaf, SAID, st.sampled_from(sorted(DEPLOYMENTS)))
TREES: st.SearchStrategy[Any] = st.recursive(LEAVES, _nodes, max_leaves=12)


def leaves_of(target: Target) -> list[Target]:
    return [leaf for child in target.targets for leaf in leaves_of(child)] if target.targets else [target]


def said_of(written: dict[str, Any], above: dict[str, Any], path: str = "config") -> list[tuple[str, dict[str, Any]]]:
    """Path and word of every leaf, by the rule: parameters are joined, all else is replaced."""
    own = {name: value for name, value in written.items() if name not in {"strategy", "targets", "provider"}}
    joined = {
        name: {**above.get(name, {}), **own.get(name, {})}
        for name in ("override_params", "default_params")
        if name in above or name in own
    }
    held = {**above, **own, **joined}
    if "targets" not in written:
        return [(path, held)]
    listed = enumerate(written["targets"])
    return [found for at, child in listed for found in said_of(child, held, f"{path}.targets[{at}]")]


@given(TREES)
def test_any_tree_is_inherited_by_the_rule(written: dict[str, Any]) -> None:
    """Every leaf of every tree has what the nodes above it say and it does not say itself."""
    found = leaves_of(decode(written))
    expected = said_of(written, {})
    assert [leaf.path for leaf in found] == [path for path, _ in expected]
    for leaf, (_, said) in zip(found, expected, strict=True):
        assert leaf.retry.attempts == said.get("retry", {}).get("attempts", 0)
        assert leaf.request_timeout_s == said.get("request_timeout", 0) / 1000
        assert leaf.override_params == said.get("override_params", {})
        assert leaf.default_params == said.get("default_params", {})
        assert (leaf.cache.max_age_s if leaf.cache else None) == said.get("cache", {}).get("max_age")
        assert leaf.release_after == said.get("release_after", 0)
