"""From a seed to a schedule: providers with their laws, a routing config, and the requests that meet them."""

from __future__ import annotations

import random
from typing import Any

from tests.simulation.strategies import DRAWN
from tests.simulation.vendor import FAULTS, Law
from tests.simulation.world import Asked, Schedule

from headgate.upstream import Timeouts

_DAY = 20.0


def draw(seed: int) -> Schedule:
    """The schedule of a seed."""
    rng = random.Random(seed)
    names = ["a", "b", "c", "d"][: rng.randint(1, 4)]
    laws = {name: _law(rng) for name in names}
    config = _tree(rng, names, rng.randint(0, 2))
    if isinstance(config, str):
        config = {"provider": f"@{config.partition('/')[0]}"}
    config.update(_settings(rng))
    reserve_per_s, is_guarded = rng.choice((10.0, 10.0, 0.3, 0.1, 0.02)), rng.random() < 0.1
    return Schedule(seed, laws, config, _asked(rng), reserve_per_s, is_guarded=is_guarded)


def _law(rng: random.Random) -> Law:
    kind = rng.random()
    faults: dict[str, float] = {}
    if kind > 0.25:
        for fault in rng.sample(FAULTS, rng.randint(1, 4)):
            faults[fault] = rng.choice((0.05, 0.2, 0.5))
    if kind > 0.85:
        faults = {rng.choice(FAULTS): 1.0}
    outages = ()
    if rng.random() < 0.25:
        start = rng.uniform(0, _DAY / 2)
        outages = ((start, start + rng.uniform(1, _DAY / 2), rng.choice(("hang", "500", "429", "refused", "cut"))),)
    limited, crowded = rng.random() < 0.25, rng.random() < 0.2
    return Law(
        latency_s=rng.choice((0.01, 0.2, 0.2, 1.0)),
        spread=rng.choice((0.0, 0.3, 1.0)),
        faults=faults,
        outages=outages,
        capacity=rng.randint(1, 3) if crowded else 0,
        queue=rng.choice((0, 2, 10)),
        rate=rng.randint(1, 4) if limited else 0,
        window_s=rng.choice((1.0, 5.0)),
        headers=rng.choice(("none", "openai", "anthropic", "wrong")),
        retry_after=rng.choice(("none", "seconds", "ms", "date", "nonsense", "long", "negative")),
        pieces=rng.randint(1, 4),
        gap_s=rng.choice((0.0, 0.05, 0.5)),
        is_torn=rng.random() < 0.3,
        timeouts=Timeouts(0.5, rng.choice((1.0, 5.0)), rng.choice((0.6, 2.0)), rng.choice((3.0, 30.0))),
    )


def _settings(rng: random.Random) -> dict[str, Any]:
    """What a node may say beside its targets; those below inherit it."""
    held: dict[str, Any] = {}
    if rng.random() < 0.5:
        codes = {"on_status_codes": [429, 446, 500, 503]} if rng.random() < 0.2 else {}
        held["retry"] = {"attempts": rng.randint(1, 4), "use_retry_after_header": rng.random() < 0.5, **codes}
    if rng.random() < 0.25:
        held["request_timeout"] = rng.choice((300, 1500, 8000))
    if rng.random() < 0.35:
        held["release_after"] = rng.randint(1, 6)
    if rng.random() < 0.3:
        held["timeouts"] = {rng.choice(("first_token", "first_byte", "gap")): rng.choice((200, 700, 2000))}
    return held


def _tree(rng: random.Random, names: list[str], depth: int) -> Any:
    if depth == 0:
        return f"{rng.choice(names)}/m"
    mode = rng.choice(DRAWN)
    targets = [_child(rng, names, depth - 1, mode) for _ in range(rng.randint(1, 3))]
    strategy: dict[str, Any] = {"mode": mode}
    if mode == "hedge":
        strategy["after_ms"] = rng.choice((0, 50, 300, 1500))
    if mode == "conditional":
        query = {"metadata.plan": {"$eq": "paid"}}
        strategy |= {"conditions": [{"query": query, "then": targets[0]["name"]}], "default": targets[-1]["name"]}
    if mode in {"fallback", "loadbalance"} and rng.random() < 0.2:
        strategy["on_status_codes"] = rng.sample([429, 500, 502, 503, 504], 2)
    if rng.random() < 0.15:
        strategy["cb_config"] = {"failure_threshold": rng.randint(1, 3), "cooldown_interval": 30_000}
    return {"strategy": strategy, "targets": targets}


def _child(rng: random.Random, names: list[str], depth: int, mode: str) -> Any:
    made = _tree(rng, names, depth)
    child: dict[str, Any] = {"provider": made.partition("/")[0], "model": "m"} if isinstance(made, str) else made
    child["name"] = f"n{rng.randrange(10**6)}"
    if mode == "loadbalance":
        child["weight"] = rng.choice((1, 1, 3, 0.5))
    if rng.random() < 0.3:
        child |= _settings(rng)
    return child


def _asked(rng: random.Random) -> list[Asked]:
    """3 to 15 requests: in a burst, or over some time in which breakers open and close again."""
    count, over_s = rng.randint(3, 15), rng.choice((0.0, 1.0, _DAY, 4 * _DAY))
    streams = rng.choice((0.0, 0.5, 1.0))
    return [
        Asked(
            at_s=round(rng.uniform(0, over_s), 4),
            stream=rng.random() < streams,
            deadline_s=rng.choice((0.05, 0.5, 2.0, 10.0)) if rng.random() < 0.3 else 0.0,
            leaves_s=round(rng.choice((rng.uniform(0, 0.3), rng.uniform(0, 5))), 4) + 1e-4
            if rng.random() < 0.2
            else 0.0,
            pours=rng.random() < 0.5,
            metadata={"plan": "paid"} if rng.random() < 0.5 else {},
        )
        for _ in range(count)
    ]
