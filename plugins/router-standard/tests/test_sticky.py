"""Sticky load balancing: replicas agree, failures move nobody for longer than they last, and time draws anew."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import pytest

from headgate.dialects.openai.chat import OpenAIChat
from headgate.errors import StartupError
from headgate.exchange import Exchange, Principal, Target
from headgate.fleet import Fleet
from headgate.hooks import Outcome, Scene
from headgate.operations import CHAT
from headgate.routing import Known, decode_target
from headgate_router_standard import LoadBalance

BALANCE = LoadBalance()
NOON = 1_800_000_000.0
TWO_DAYS = 172_800


def decode(sticky: Any, *targets: Any) -> Target:
    config = {
        "strategy": {"mode": "loadbalance", "sticky": sticky},
        "targets": list(targets or ("a/m", "b/m", "c/m")),
    }
    return decode_target(config, Known(("a", "b", "c", "d"), {"loadbalance": BALANCE}))


def exchange(key: str = "k", body: Mapping[str, Any] | None = None, **metadata: str) -> Exchange:
    ex = Exchange(CHAT, {b"x-team": b"red"}, request_id="r", trace_id="t", dialect=OpenAIChat())
    ex.body, ex.model = json.dumps({"model": "m", "messages": [], **(body or {})}).encode(), "m"
    ex.principal, ex.metadata = Principal(key), metadata
    return ex


class Replica:
    """A gateway of its own: chance of its own, health of its own, one time of day."""

    def __init__(self, target: Target, seed: int = 1) -> None:
        self.target, self.unix = target, NOON
        self.rng = random.Random(seed)
        self.fleet = Fleet(lambda: self.unix - NOON, lambda: self.unix, self.rng)

    @property
    def scene(self) -> Scene:
        return Scene(self.fleet.clock(), self.rng, self.fleet, "m")

    def choose(self, ex: Exchange, outcomes: Sequence[Outcome] = ()) -> int:
        index = BALANCE.choose(self.target, ex, outcomes, self.scene)
        assert index is not None
        return index

    def break_down(self, index: int) -> None:
        """Open the breaker of a target."""
        health = self.scene.health(self.target.targets[index])
        for _ in range(5):
            call = health.begin(self.scene.now)
            health.failed(call, self.scene.now)
            health.end(call, self.scene.now)


def test_replicas_agree() -> None:
    """Who has been told nothing by the others sends a caller to the same target, for a whole window."""
    target = decode({"enabled": True, "hash_fields": ["metadata.user"]})
    replicas = [Replica(target, seed) for seed in range(4)]
    for number in range(100):
        chosen = {replica.choose(exchange(user=str(number))) for replica in replicas}
        assert len(chosen) == 1


def test_shares_follow_the_weights() -> None:
    """Of many callers three quarters have the target of weight 3, and nobody one of weight 0."""
    weighted = [{"provider": name, "weight": weight} for name, weight in (("a", 3), ("b", 1), ("c", 0))]
    replica = Replica(decode({"enabled": True}, *weighted))
    drawn = Counter(replica.choose(exchange(f"k{number}")) for number in range(3000))
    assert abs(drawn[0] / 3000 - 0.75) < 0.03
    assert drawn[2] == 0


def test_each_window_draws_anew_at_a_time_of_its_own() -> None:
    """With the default of an hour a caller changes about two times of three, and not all do at the same moment."""
    replica = Replica(decode({"enabled": True}))
    changes: list[float] = []
    homes = {key: replica.choose(exchange(key)) for key in map(str, range(200))}
    for _ in range(120):
        replica.unix += 60
        for key, home in homes.items():
            homes[key] = replica.choose(exchange(key))
            changes += [replica.unix] if homes[key] != home else []
    assert abs(len(changes) / (2 * 200) - 2 / 3) < 0.07
    assert max(Counter(changes).values()) < 15


def test_a_window_is_as_long_as_it_says() -> None:
    """Between two changes there are whole windows."""
    replica = Replica(decode({"enabled": True, "ttl": 600}))
    seen: list[tuple[float, int]] = []
    for step in range(TWO_DAYS // 60):
        replica.unix = NOON + 60 * step
        home = replica.choose(exchange())
        if not seen or seen[-1][1] != home:
            seen.append((replica.unix, home))
    spans = [later - earlier for (earlier, _), (later, _) in pairwise(seen[1:])]
    assert len(spans) > 100
    assert all(span % 600 == 0 for span in spans)


def test_a_failure_moves_a_caller_only_while_it_lasts() -> None:
    """The next in the ranking answers, always the same one, and when the home is well again so does that."""
    replica = Replica(decode({"enabled": True}))
    ex = exchange()
    home = replica.choose(ex)
    following = replica.choose(ex, [Outcome(home, 503)])
    assert following != home
    replica.break_down(home)
    assert {replica.choose(ex) for _ in range(50)} == {following}
    replica.unix += 10
    assert {replica.choose(ex) for _ in range(50)} == {home}


def test_the_failure_of_another_moves_nobody() -> None:
    """Within a window nothing is drawn anew, whatever becomes of targets that a caller does not have."""
    replica = Replica(decode({"enabled": True}))
    homes = {key: replica.choose(exchange(key)) for key in map(str, range(300))}
    replica.break_down(0)
    moved = {key for key, home in homes.items() if replica.choose(exchange(key)) != home}
    assert moved == {key for key, home in homes.items() if home == 0}


def test_a_new_target_takes_only_its_share() -> None:
    """A caller that changes its target when one is added goes to that one."""
    before, after = Replica(decode({"enabled": True})), Replica(decode({"enabled": True}, "d/m", "a/m", "b/m", "c/m"))
    names = [{target.targets[index].deployment for index in range(3)} for target in (before.target,)]
    assert names == [{"a", "b", "c"}]
    moves = Counter[tuple[str, str]]()
    for number in range(400):
        ex = exchange(f"k{number}")
        old = before.target.targets[before.choose(ex)].deployment
        new = after.target.targets[after.choose(ex)].deployment
        moves[old, new] += old != new
    assert {new for (_, new), count in moves.items() if count} == {"d"}
    assert abs(moves.total() / 400 - 0.25) < 0.07


@pytest.mark.parametrize(
    ("field", "same", "other"),
    [
        ("metadata.user", exchange(user="1", team="2"), exchange(user="2")),
        ("params.chat.id", exchange(body={"chat": {"id": "1"}, "n": 2}), exchange(body={"chat": {"id": "2"}})),
        ("headers.X-Team", exchange(team="2"), exchange("k2")),
    ],
)
def test_the_fields_tell_callers_apart(field: str, same: Exchange, other: Exchange) -> None:
    """Requests whose fields are the same stay together, others of the same key do not; keys never share a ranking."""
    target = decode({"enabled": True, "hash_fields": [field]})
    first = exchange(body={"chat": {"id": "1"}}, user="1")
    replica = Replica(target)

    def homes(ex: Exchange) -> list[int]:
        found: list[int] = []
        for hour in range(40):
            replica.unix = NOON + 3600 * hour
            found.append(replica.choose(ex))
        return found

    assert homes(first) == homes(same)
    assert homes(first) != homes(other)


@pytest.mark.parametrize("sticky", [None, {}, {"enabled": False, "hash_fields": ["metadata.user"], "ttl": 60}])
def test_it_is_off_unless_it_is_on(sticky: Any) -> None:
    """Then each request is drawn for itself."""
    replica = Replica(decode(sticky))
    assert len({replica.choose(exchange()) for _ in range(100)}) == 3


def test_settings_are_checked() -> None:
    """Everything that is wrong, at its place."""
    with pytest.raises(StartupError) as caught:
        decode({"enabled": "yes", "hash_fields": ["metadata.user", "user", 5], "ttl": 0, "store": "redis"})
    assert [str(problem).split("`")[1] for problem in caught.value.problems] == [
        "config.strategy.sticky.store",
        "config.strategy.sticky.enabled",
        "config.strategy.sticky.hash_fields[1]",
        "config.strategy.sticky.hash_fields[2]",
        "config.strategy.sticky.ttl",
    ]
    for wrong in (True, {"enabled": True, "hash_fields": "metadata.user"}):
        with pytest.raises(StartupError, match=r"config\.strategy\.sticky"):
            decode(wrong)


def test_unknown_settings_are_refused() -> None:
    """A misspelt `sticky` is not passed over in silence."""
    config = {"strategy": {"mode": "loadbalance", "stiky": {"enabled": True}}, "targets": ["a/m"]}
    with pytest.raises(StartupError, match=r"config\.strategy\.stiky` is not known: `loadbalance` takes `sticky`"):
        decode_target(config, Known(("a",), {"loadbalance": BALANCE}))
