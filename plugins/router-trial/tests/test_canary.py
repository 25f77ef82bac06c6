"""Canaries: when one is taken back, when not, for how long, and what a reload changes about that."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import pytest
from structlog.testing import capture_logs
from typing_extensions import override

from headgate import Exchange, Provider, Reply, StartupError, Target
from headgate.dialects.openai.chat import OpenAIChat
from headgate.fleet import Fleet
from headgate.hooks import Outcome, Scene
from headgate.operations import CHAT
from headgate.routing import Asked, Known, decode_target
from headgate.testing import chat_request, gateway
from headgate_router_trial import Rollback, Rollout, RouterTrial, Rule
from headgate_router_trial.canary import Canary, Trial

RULE = Rule(share=0.05)
SEEDS = range(20)


def play(rule: Rule, canary: tuple[float, float], base: tuple[float, float], seed: int, calls: int = 40_000) -> Any:
    """Calls of both arms, each with its share of failures and its latency: the rollback and how many calls it took."""
    rng, rollout, taken = random.Random(seed), Rollout(rule), 0
    for number in range(calls):
        is_canary = rollout.draw(number / 10, rng)
        taken += is_canary
        failing, mean_s = canary if is_canary else base
        took_s = mean_s * rng.lognormvariate(0.0, 0.6)
        found = rollout.observed(number / 10, took_s, is_canary=is_canary, is_ok=rng.random() >= failing)
        if found is not None:
            return found, taken
    return None, taken


@pytest.mark.parametrize("failing", [0.0, 0.01, 0.05])
def test_an_equal_canary_stays(failing: float) -> None:
    """Two thousand calls of a canary that is as good as its base: never taken back."""
    arm = (failing, 1.0)
    assert [play(RULE, arm, arm, seed)[0] for seed in SEEDS] == [None] * len(SEEDS)


@pytest.mark.parametrize(
    ("canary", "reason", "within"),
    [
        ((1.0, 1.0), "errors", 50),
        ((0.3, 1.0), "errors", 100),
        ((0.1, 1.0), "errors", 250),
        ((0.01, 3.0), "latency", 100),
    ],
)
def test_a_bad_canary_is_taken_back(canary: tuple[float, float], reason: str, within: int) -> None:
    """What fails more, or takes longer, is found soon: what is far worse with the minimum sample."""
    for seed in SEEDS:
        found, taken = play(RULE, canary, (0.01, 1.0), seed)
        assert isinstance(found, Rollback)
        assert (found.reason, taken <= within) == (reason, True)


def test_a_faster_and_better_canary_stays() -> None:
    """It is compared in one direction."""
    assert play(RULE, (0.0, 0.3), (0.1, 1.0), 1)[0] is None


def test_what_was_good_for_long_is_still_taken_back() -> None:
    """Ten thousand good calls do not hide that it fails now."""
    rng, rollout = random.Random(1), Rollout(Rule(share=0.5))
    for number in range(20_000):
        rollout.observed(number / 10, 1.0, is_canary=rollout.draw(0.0, rng), is_ok=True)
    bad = 0
    for number in range(2000):
        is_canary = rollout.draw(2000.0, rng)
        bad += is_canary
        if rollout.observed(2000.0 + number / 10, 1.0, is_canary=is_canary, is_ok=not is_canary) is not None:
            break
    assert rollout.times == 1
    assert bad <= 100


def failing(rollout: Rollout, now: float) -> Rollback | None:
    """A hundred good calls of the base, then failed ones of the canary until it is taken back."""
    for _ in range(100):
        rollout.observed(now, 1.0, is_canary=False, is_ok=True)
    found = (rollout.observed(now, 1.0, is_canary=True, is_ok=False) for _ in range(60))
    return next((rollback for rollback in found if rollback is not None), None)


def test_it_gets_another_try_each_time_later() -> None:
    """After the cool-down its share is back and is judged anew; the next cool-down is twice as long."""
    rollout, rng = Rollout(Rule(share=0.9, cooldown_s=100.0)), random.Random(1)
    found = failing(rollout, 0.0)
    assert found is not None
    assert found.until == 100.0
    assert not any(rollout.draw(99.0, rng) for _ in range(100))
    assert any(rollout.draw(100.0, rng) for _ in range(100))
    again = failing(rollout, 100.0)
    assert again is not None
    assert again.until == 300.0


# the strategy


CANARY = Canary()


def config(*targets: Any, **strategy: Any) -> dict[str, Any]:
    return {"strategy": {"mode": "canary", **strategy}, "targets": list(targets or ("old/m", "new/m"))}


def decode(strategy: Canary, value: Any, asked: Asked | None = None) -> Target:
    return decode_target(value, Known(("old", "new"), {"canary": strategy}), asked=asked)


def exchange() -> Exchange:
    ex = Exchange(CHAT, {}, request_id="r", trace_id="t", dialect=OpenAIChat())
    ex.body, ex.model = b'{"model":"m","messages":[]}', "m"
    return ex


def run(strategy: Canary, target: Target, calls: int, seed: int = 1) -> tuple[Counter[int | None], Scene]:
    """Calls of which the canary's fail, and go to the base then."""
    drawn: Counter[int | None] = Counter()
    scene = Scene(0.0, random.Random(seed), Fleet(), "m")
    for _ in range(calls):
        outcomes: list[Outcome] = []
        while (index := strategy.choose(target, exchange(), outcomes, scene)) is not None:
            drawn[index] += 1
            outcomes.append(Outcome(index, 503 if index else 200, elapsed_s=0.1))
            strategy.ended(target, outcomes[-1], scene)
        assert outcomes[-1].index == 0
    return drawn, scene


def test_the_share_is_kept_and_what_fails_goes_to_the_base() -> None:
    """One call in ten goes to the canary; until it is taken back each of them is answered by the base in the end."""
    canary = Canary()
    target = decode(canary, config(share=0.1))
    with capture_logs() as logs:
        drawn, _ = run(canary, target, 3000)
    assert drawn[1] == 50
    assert drawn[0] == 3000
    assert [(line["log_level"], line["canary"], line["reason"], line["canary_figure"]) for line in logs] == [
        ("warning", "new/m", "errors", 1.0)
    ]
    assert [trial.rollout.times for trial in canary.trials()] == [1]


def test_what_its_breaker_keeps_away_counts_as_failed() -> None:
    """A canary that is shut is taken back as soon as one that fails, and nobody has to wait for it that often."""
    canary = Canary()
    target, scene = decode(canary, config(share=0.5)), Scene(0.0, random.Random(1), Fleet(), "m")
    health = scene.health(target.targets[1])
    for _ in range(5):
        call = health.begin(0.0)
        health.failed(call, 0.0)
        health.end(call, 0.0)
    for _ in range(300):
        assert canary.choose(target, exchange(), (), scene) == 0
        canary.ended(target, Outcome(0, 200, elapsed_s=0.1), scene)
    assert [trial.rollout.times for trial in canary.trials()] == [1]


def test_a_pause_is_no_failure() -> None:
    """While the canary's provider wants no calls the base gets all of them, and nothing is held against the canary."""
    canary = Canary()
    target, scene = decode(canary, config(share=0.5)), Scene(0.0, random.Random(1), Fleet(), "m")
    scene.health(target.targets[1]).paused(0.0, 60.0)
    for _ in range(300):
        assert canary.choose(target, exchange(), (), scene) == 0
        canary.ended(target, Outcome(0, 200, elapsed_s=0.1), scene)
    assert [trial.rollout.times for trial in canary.trials()] == [0]


def test_a_reload_changes_nothing_while_the_node_is_the_same() -> None:
    """Decoded again it is the same rollout; with another share, model, or a caller's own, it is another one."""
    first: Trial = decode(CANARY, config(share=0.1)).compiled
    assert decode(CANARY, config(share=0.1)).compiled is first
    assert decode(CANARY, config(share=0.2)).compiled is not first
    assert decode(CANARY, config("old/m", "new/n", share=0.1)).compiled is not first
    assert decode(CANARY, config(share=0.1), Asked(is_callers=True)).compiled is not first
    nested = {"strategy": {"mode": "canary", "share": 0.5}, "targets": [config(share=0.1), "new/m"]}
    assert decode(CANARY, nested).targets[0].compiled is first


def test_callers_keys_are_told_apart() -> None:
    """Two callers whose configs differ in their own key alone do not share a canary."""
    known = Known(("old",), {"canary": CANARY}, takes_keys=lambda _: True)
    trials = [
        decode_target(config("old/m", {"provider": "x", "api_key": key}, share=0.1), known, asked=Asked("m")).compiled
        for key in ("sk-1", "sk-2", "sk-1")
    ]
    assert trials[0] is trials[2]
    assert trials[0] is not trials[1]


def test_settings_are_checked() -> None:
    """Everything that is wrong, at its place."""
    with pytest.raises(StartupError) as caught:
        decode(
            Canary(), config("old/m", confidence=2, latency_ratio=0.5, cooldown_s="1h", minimum_requests=1, sticky=True)
        )
    assert [str(problem).split("`")[1] for problem in caught.value.problems] == [
        "config.strategy.sticky",
        "config.targets",
        "config.strategy.share",
        "config.strategy.minimum_requests",
        "config.strategy.confidence",
        "config.strategy.latency_ratio",
        "config.strategy.cooldown_s",
    ]


class Versions(Provider):
    """The deployment `new` fails."""

    name = "versions"
    is_keyless = True
    dialects: ClassVar[Mapping[str, str]] = {"chat": "openai.chat"}
    called: ClassVar[list[str]] = []

    @override
    async def call(self, ex: Exchange) -> Reply:
        self.called.append(self.deployment)
        return Reply(404 if self.deployment == "new" else 200, body=b"{}")


async def _ask(client: Any, times: int) -> Sequence[int]:
    replies = [await client.post("/v1/chat/completions", json=chat_request("hi", model="x")) for _ in range(times)]
    return [reply.status_code for reply in replies]


async def test_through_a_gateway_and_a_reload() -> None:
    """The caller never sees the bad canary; it is taken back, and is so after a reload of the same configuration."""
    Versions.called.clear()
    router = RouterTrial()
    models = {"x": config(share=0.5, minimum_requests=10)}
    deployments = {name: {"provider": "versions"} for name in ("old", "new")}
    async with gateway(router, Versions, providers=deployments, models=models) as client:
        assert await _ask(client, 100) == [200] * 100
        assert [trial.rollout.times for trial in router.canary.trials()] == [1]
        tried = Versions.called.count("new")
        assert 10 <= tried <= 20
        assert await client.gateway.reload()
        assert await _ask(client, 50) == [200] * 50
        assert Versions.called.count("new") == tried
