"""The strategies one choice at a time, their settings, and all of them through a gateway."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import pytest
from structlog.testing import capture_logs
from typing_extensions import override

from headgate import Exchange, Hooks, Principal, Provider, Reply, StartupError, Target, hookimpl
from headgate.dialects.openai.chat import OpenAIChat
from headgate.fleet import Fleet
from headgate.hooks import FindFacts, ModelFacts, Outcome, Scene, Strategy
from headgate.operations import CHAT
from headgate.routing import Known, decode_target
from headgate.testing import chat_request, gateway
from headgate.testing.samples import chat_reply
from headgate_router_adaptive import Adaptive, Affinity, Cost, Latency, Outliers, RouterAdaptive
from headgate_router_adaptive.affinity import beginning, conversation
from headgate_router_adaptive.outliers import MINIMUM, SWEEP_S

PRICES = {"a": (3.0, 15.0), "b": (0.5, 1.5), "c": (1.0, 1.0)}
COST = Cost()
STRATEGIES: Mapping[str, Strategy] = {
    "adaptive": Adaptive(),
    "latency": Latency(),
    "cost": COST,
    "affinity": Affinity(),
}


def facts(deployment: str, model: str) -> ModelFacts | None:
    del model
    price = PRICES.get(deployment)
    return ModelFacts(usd_per_million_tokens={"input": price[0], "output": price[1]}) if price else None


COST.find = facts


def decode(mode: str, *targets: Any, **strategy: Any) -> Target:
    return decode_target(
        {"strategy": {"mode": mode, **strategy}, "targets": list(targets)}, Known(("a", "b", "c", "d"), STRATEGIES)
    )


def problems(mode: str, *targets: Any, **strategy: Any) -> list[str]:
    with pytest.raises(StartupError) as caught:
        decode(mode, *targets, **strategy)
    return [str(problem) for problem in caught.value.problems]


def exchange(body: Mapping[str, Any] | None = None, **metadata: str) -> Exchange:
    ex = Exchange(CHAT, {b"x-session": b"h1"}, request_id="r", trace_id="t", dialect=OpenAIChat())
    ex.body, ex.model = json.dumps(body or {"model": "m", "messages": []}).encode(), "m"
    ex.principal, ex.metadata = Principal("k"), metadata
    return ex


def scene(fleet: Fleet | None = None, now: float = 0.0, seed: int = 1) -> Scene:
    return Scene(now, random.Random(seed), fleet or Fleet(), "m")


def choose(target: Target, at: Scene, *outcomes: Outcome, ex: Exchange | None = None) -> int | None:
    return STRATEGIES[target.strategy].choose(target, ex or exchange(), outcomes, at)


def answer(at: Scene, leaf: Target, took_s: float, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
    """A call of a leaf that began at the scene's moment."""
    health = at.health(leaf)
    call = health.begin(at.now)
    raw = tuple((name.encode(), value.encode()) for name, value in (headers or {}).items())
    health.answered(call, at.now + took_s, status, raw, 0.0)
    health.end(call, at.now + took_s)


@pytest.mark.parametrize("mode", STRATEGIES)
def test_each_fails_over(mode: str) -> None:
    """What failed is left for one that was not called; the caller's own mistake and a good reply stand."""
    target, at = decode(mode, "a/m", "b/m"), scene()
    first = choose(target, at)
    assert first is not None
    assert choose(target, at, Outcome(first, 503)) == 1 - first
    assert choose(target, at, Outcome(first, 503), Outcome(1 - first, 503)) is None
    assert choose(target, at, Outcome(first, 400)) is None
    assert choose(target, at, Outcome(first, 200)) is None


@pytest.mark.parametrize("mode", STRATEGIES)
def test_settings_are_checked(mode: str) -> None:
    """Unknown settings, and weights that leave nobody."""
    found = problems(mode, {"provider": "a", "weight": 0}, speed=1)
    assert [text.split("`")[1] for text in found] == ["config.targets", "config.strategy.speed"]


def test_what_has_little_left_of_a_limit_gets_little() -> None:
    """At a hundredth of its rate limit a target is drawn far less than its sibling."""
    target, at = decode("adaptive", "a/m", "b/m"), scene()
    stated = {"x-ratelimit-limit-requests": "100", "x-ratelimit-reset-requests": "60s"}
    for child, left in zip(target.targets, ("1", "90"), strict=True):
        answer(at, child, 0.5, headers={**stated, "x-ratelimit-remaining-requests": left})
    later = Scene(1.0, random.Random(1), at.fleet, "m")
    assert Counter(choose(target, later) for _ in range(400))[0] == 0


def test_what_comes_back_starts_slowly() -> None:
    """Just after its breaker closed again a target is not drawn before its sibling, later it is as often."""
    target, fleet = decode("adaptive", "a/m", "b/m"), Fleet(rng=random.Random(1))
    at = scene(fleet)
    for _ in range(5):
        answer(at, target.targets[0], 0.1, 503)
    back_s = at.health(target.targets[0]).wait_s(0.0) + 0.1
    for child in target.targets:
        answer(scene(fleet, back_s), child, 0.5)
    drawn = Counter(choose(target, scene(fleet, back_s + 0.6, seed)) for seed in range(200))
    assert drawn[0] == 0
    drawn = Counter(choose(target, scene(fleet, back_s + 20, seed)) for seed in range(200))
    assert 60 < drawn[0] < 140


def test_the_fastest_is_called() -> None:
    """`latency` takes the least of live latency times calls under way; of a node that of its best leaf."""
    inner = {"strategy": {"mode": "latency"}, "targets": ["b/m", "c/m"]}
    target, fleet = decode("latency", "a/m", inner), Fleet()
    at = scene(fleet)
    answer(at, target.targets[0], 0.4)
    answer(at, target.targets[1].targets[0], 2.0)
    answer(at, target.targets[1].targets[1], 0.3)
    assert choose(target, scene(fleet, 1.0)) == 1
    at.health(target.targets[1].targets[1]).begin(0.5)
    assert choose(target, scene(fleet, 1.0)) == 0


# outliers


def sweep(outliers: Outliers, failing: Mapping[int, float], since_s: float, took: Mapping[int, float]) -> float:
    """A hundred calls of each target, and the end of the sweep."""
    for number in range(100):
        for index, share in failing.items():
            is_failure = number < 100 * share
            outliers.ended(index, since_s, took.get(index, 1.0), is_failure=is_failure)
    outliers.wanted([0], since_s + SWEEP_S, random.Random(1))
    return since_s + SWEEP_S


def test_the_last_is_never_left_out() -> None:
    """Of two that stand out from the third only the worse one goes; of two one stays; a single one always does."""
    three = Outliers(["m", "m", "m"])
    sweep(three, {0: 0.9, 1: 0.8, 2: 0.0}, sweep(three, {0: 0.9, 1: 0.8, 2: 0.0}, 0.0, {}), {})
    assert three.apart() == [0]
    two = Outliers(["m", "m"])
    sweep(two, {0: 1.0, 1: 0.5}, 0.0, {})
    assert two.apart() == [0]
    one = Outliers(["m"])
    sweep(one, {0: 1.0}, 0.0, {})
    assert one.apart() == []
    assert two.wanted([0], 11.0, random.Random(1)) == [0]


def test_only_siblings_of_the_same_model_are_compared() -> None:
    """What fails beside targets of other models, and nodes, stay: nothing says that it is them."""
    outliers = Outliers(["m", "n", ""])
    sweep(outliers, {0: 1.0, 1: 0.0, 2: 0.0}, 0.0, {})
    assert outliers.apart() == []


def test_few_calls_are_no_evidence() -> None:
    """One call less than ten, all of them failed, wait for the next sweep."""
    outliers = Outliers(["m", "m"])
    for number in range(MINIMUM):
        outliers.ended(1, 0.0, 1.0, is_failure=False)
        if number:
            outliers.ended(0, 0.0, 1.0, is_failure=True)
    outliers.wanted([0, 1], SWEEP_S, random.Random(1))
    assert outliers.apart() == []
    outliers.ended(0, SWEEP_S, 1.0, is_failure=True)
    outliers.wanted([0, 1], 2 * SWEEP_S, random.Random(1))
    assert outliers.apart() == [0]


@pytest.mark.parametrize(("by_time", "apart"), [(True, [0]), (False, [])])
def test_the_slow_stand_out_where_time_counts(by_time: bool, apart: Sequence[int]) -> None:
    """Four times as long as the others is left out by those that follow latency alone."""
    outliers = Outliers(["m", "m", "m"], by_time=by_time)
    sweep(outliers, {0: 0.0, 1: 0.0, 2: 0.0}, 0.0, {0: 4.0})
    assert outliers.apart() == apart


def test_a_trial_decides() -> None:
    """After its time apart a target gets one call of 200; when it is well it is back for good, else out for longer."""
    outliers, rng = Outliers(["m", "m"]), random.Random(1)
    now = sweep(outliers, {0: 1.0, 1: 0.0}, 0.0, {}) + 30.0
    outliers.wanted([0, 1], now, rng)
    drawn = [list(outliers.wanted([0, 1], now, rng)) for _ in range(4000)]
    assert 8 <= drawn.count([0]) <= 35
    assert drawn.count([1]) == 4000 - drawn.count([0])
    for _ in range(10):
        outliers.ended(0, now + 1, 1.0, is_failure=True)
    outliers.wanted([0, 1], now + 1, rng)
    assert all(outliers.wanted([0, 1], now + 59, rng) == [1] for _ in range(1000))
    outliers.wanted([0, 1], now + 62, rng)
    for _ in range(10):
        outliers.ended(0, now + 63, 1.0, is_failure=False)
    outliers.wanted([0, 1], now + 63, rng)
    assert outliers.apart() == []


# cost


def test_the_cheapest_is_called() -> None:
    """By what the request would cost: a long prompt is cheapest at one target, a long answer at another."""
    target, at = decode("cost", "a/m", "b/m", "c/m"), scene()
    assert choose(target, at, ex=exchange({"model": "m", "messages": [], "pad": "x" * 40_000})) == 1
    short = exchange()
    assert choose(target, at, ex=short) == 2
    short.max_tokens = 0
    assert choose(target, at, ex=short) == 1


def test_what_the_config_says_of_prices_counts() -> None:
    """`prices` go before what plugins know; equal prices are decided by latency."""
    named = [{"name": name, "provider": name} for name in ("a", "b", "c")]
    target, fleet = decode("cost", *named, prices={"a": 0.1, "c": {"input": 0.1, "output": 0.1}}), Fleet()
    answer(scene(fleet), target.targets[0], 2.0)
    answer(scene(fleet), target.targets[2], 1.0)
    assert choose(target, scene(fleet, 3.0)) == 2
    assert choose(target, scene(fleet, 3.0), Outcome(2, 503)) == 0


def test_an_unknown_price_comes_last_and_is_said_once() -> None:
    """Nobody knows what `d` costs: it is called when no other may be, and the log says so at start-up."""
    cost = Cost()
    cost.find = facts
    config = {"strategy": {"mode": "cost"}, "targets": ["d/m", "a/m"]}
    target = decode_target(config, Known(("a", "d"), {"cost": cost}))
    with capture_logs() as logs:
        cost.say_unknown()
        chosen = [cost.choose(target, exchange(), outcomes, scene()) for outcomes in ((), [Outcome(1, 503)])]
    assert chosen == [1, 0]
    assert [(line["deployment"], line["log_level"]) for line in logs] == [("d", "warning")]


def test_a_node_costs_what_its_dearest_leaf_does() -> None:
    """Which of them is called is not known."""
    inner = {"strategy": {"mode": "adaptive"}, "targets": ["a/m", "b/m"]}
    assert choose(decode("cost", inner, "c/m"), scene()) == 1


def test_wrong_prices_are_named() -> None:
    """Each at its place."""
    named = {"name": "one", "provider": "a"}
    found = problems("cost", named, prices={"two": 1, "one": {"input": -1}}, output_tokens="many")
    assert [text.split("`")[1] for text in found] == [
        "config.strategy.output_tokens",
        "config.strategy.prices.two",
        "config.strategy.prices.one",
    ]
    assert problems("cost", named, prices=3) == [
        "`config.strategy.prices` must be a mapping of target names to `{input, output}` in USD per million tokens"
    ]


# affinity


def test_a_conversation_is_known_by_its_beginning() -> None:
    """Later turns change nothing; another tenant, another system prompt or other tools do."""
    turns: list[dict[str, Any]] = [{"role": "system", "content": "be kind"}, {"role": "user", "content": "hello"}]
    first = conversation(exchange({"model": "m", "messages": turns}), "")
    more = [*turns, {"role": "assistant", "content": "hi"}, {"role": "user", "content": "and now?"}]
    assert conversation(exchange({"model": "m", "messages": more, "temperature": 1}), "") == first
    stranger = exchange({"model": "m", "messages": turns})
    stranger.principal = Principal("other")
    assert conversation(stranger, "") != first
    assert conversation(exchange({"model": "m", "messages": turns, "tools": [{"type": "function"}]}), "") != first
    assert conversation(exchange({"model": "m", "messages": turns[1:]}), "") != first


@pytest.mark.parametrize(
    ("body", "held"),
    [
        ({"system": "s", "messages": [{"role": "user", "content": [{"type": "text", "text": "u"}]}]}, ["s", "u"]),
        ({"contents": [{"role": "user", "parts": [{"text": "u"}]}], "systemInstruction": "s"}, ["s", "u"]),
        ({"instructions": "s", "input": "u"}, ["s", "u"]),
        ({"input": ["u", "v"]}, ["u"]),
        ({"input": "u" * 5000}, ["u" * 1024]),
        ({}, ["null"]),
    ],
)
def test_every_dialect_has_a_beginning(body: dict[str, Any], held: list[Any]) -> None:
    """Instructions and the first of what the user says, wherever these stand."""
    assert beginning(body) == held


@pytest.mark.parametrize("place", ["metadata.session", "headers.X-Session", "params.chat.id", "user"])
def test_a_key_goes_before_the_prompt(place: str) -> None:
    """What stands at the named place makes the conversation; what is missing leaves it to the prompt."""
    ex = exchange({"model": "m", "messages": [], "chat": {"id": "p1"}}, session="m1")
    ex.user = "u1"
    other = exchange({"model": "m", "messages": [{"role": "user", "content": "x"}], "chat": {"id": "p1"}}, session="m1")
    other.user = "u1"
    assert conversation(ex, place) == conversation(other, place)
    assert conversation(ex, place) != conversation(ex, "")
    assert conversation(ex, "metadata.nothing") == conversation(ex, "")


def test_wrong_affinity_settings_are_named() -> None:
    """A key that stands nowhere, a bound below every load."""
    found = problems("affinity", "a/m", key="session", bound=0.5)
    assert [text.split("`")[1] for text in found] == ["config.strategy.key", "config.strategy.bound"]


# through a gateway


class Named(Provider):
    """Says which deployment it is; `broken` answers 503."""

    name = "named"
    is_keyless = True
    dialects: ClassVar[Mapping[str, str]] = {"chat": "openai.chat"}

    @override
    async def call(self, ex: Exchange) -> Reply:
        if self.deployment == "broken":
            return Reply(503, body=b"{}")
        headers = ((b"content-type", b"application/json"),)
        return Reply(200, headers, json.dumps(chat_reply({"content": self.deployment})).encode())


class Lists(Hooks):
    """Knows prices."""

    @override
    @hookimpl
    def facts(self) -> FindFacts:
        return lambda provider, model: facts("b" if provider.deployment == "good" else "a", model)


@pytest.mark.parametrize("mode", STRATEGIES)
async def test_through_a_gateway(mode: str) -> None:
    """Each strategy serves, and goes past a target that fails."""
    deployments = {name: {"provider": "named"} for name in ("broken", "good")}
    models = {"smart": {"strategy": {"mode": mode}, "targets": ["broken/m", "good/m"]}}
    async with gateway(Lists(), RouterAdaptive(), Named, providers=deployments, models=models) as client:
        for _ in range(3):
            reply = await client.post("/v1/chat/completions", json=chat_request("hi", model="smart"))
            assert reply.status_code == 200
            assert reply.json()["choices"][0]["message"]["content"] == "good"


async def test_prices_of_plugins_reach_the_strategy() -> None:
    """`cost` calls what the plugin says is cheaper, and the log has nothing to complain of."""
    deployments = {name: {"provider": "named"} for name in ("dear", "good")}
    models = {"cheap": {"strategy": {"mode": "cost"}, "targets": ["dear/m", "good/m"]}}
    with capture_logs() as logs:
        async with gateway(Lists(), RouterAdaptive(), Named, providers=deployments, models=models) as client:
            reply = await client.post("/v1/chat/completions", json=chat_request("hi", model="cheap"))
    assert reply.json()["choices"][0]["message"]["content"] == "good"
    assert not [line for line in logs if "price" in line["event"]]
