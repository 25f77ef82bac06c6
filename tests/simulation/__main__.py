"""Run seeds: many of them on every core, with the figures, or one with its trace (`--seed N`)."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor

import msgspec
from msgspec import Struct
from tests.simulation.clock import START_S
from tests.simulation.drawing import draw
from tests.simulation.figures import print_figures
from tests.simulation.invariants import CHECKS, broken
from tests.simulation.world import Machine, World

_CHUNK = 500
_REPLAYED = 10
"""Of so many seeds one is run twice; `--replay-all` runs all of them twice."""


class Sum(Struct):
    """What a range of seeds came to."""

    seeds: int = 0
    requests: int = 0
    calls: int = 0
    replayed: int = 0
    ends: dict[str, int] = {}
    failed: dict[int, list[str]] = {}


def run_range(first: int, count: int, every: int = _REPLAYED) -> Sum:
    """Run `count` seeds from `first` on in this process; each `every`th twice, which must be the same to the byte."""
    found, ends = Sum(), Counter[str]()
    machine = Machine()
    for seed in range(first, first + count):
        world = machine.run(draw(seed))
        wrong = broken(world)
        if seed % every == 0:
            found.replayed += 1
            wrong += [] if machine.run(draw(seed)).digest() == world.digest() else ["replay: it ran differently"]
        if wrong:
            found.failed[seed] = wrong
        found.seeds += 1
        found.requests += len(world.clients)
        found.calls += len(world.made)
        ends.update(end for client in world.clients.values() for end in client.ends)
    found.ends = dict(ends)
    return found


def show(world: World) -> None:
    """Print a schedule and all that happened in it."""
    print(msgspec.json.format(msgspec.json.encode(world.schedule)).decode())
    for at, what, *rest in world.trace:
        print(f"{at - START_S:10.4f} {what:7}", *rest)
    for client in world.clients.values():
        print(client.id, client.ends, client.status, client.error, client.got[-200:])


def main(given: Sequence[str] | None = None) -> int:
    """The command. 1 when an invariant is broken."""
    parser = argparse.ArgumentParser("python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, help="run one seed and print its trace")
    parser.add_argument("--seeds", type=int, default=100_000, help="how many seeds")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--replay-all", action="store_true", help="run every seed twice")
    parser.add_argument("--no-figures", action="store_true")
    asked = parser.parse_args(given)
    if asked.seed is not None:
        return run_one(asked.seed)
    is_good = run_many(asked.first, asked.seeds, asked.jobs, 1 if asked.replay_all else _REPLAYED)
    if not asked.no_figures:
        is_good = print_figures() and is_good
    return 0 if is_good else 1


def run_one(seed: int) -> int:
    """Run a seed and print everything."""
    machine = Machine()
    world = machine.run(draw(seed))
    show(world)
    wrong = broken(world)
    print(*(wrong or ["every invariant held"]), sep="\n")
    return 1 if wrong else 0


def run_many(first: int, seeds: int, jobs: int, every: int) -> bool:
    """Run seeds on `jobs` processes and print what came of them; whether every invariant held."""
    began, ends, total = time.monotonic(), Counter[str](), Sum()
    starts = list(range(first, first + seeds, _CHUNK))
    counts = [min(_CHUNK, first + seeds - start) for start in starts]
    with ProcessPoolExecutor(jobs) as pool:
        for part in pool.map(run_range, starts, counts, [every] * len(starts)):
            total = Sum(
                total.seeds + part.seeds,
                total.requests + part.requests,
                total.calls + part.calls,
                total.replayed + part.replayed,
                {},
                total.failed | part.failed,
            )
            ends.update(part.ends)
    took_s = time.monotonic() - began
    for seed, wrong in list(total.failed.items())[:20]:
        print(
            f"seed {seed}: {'; '.join(wrong[:3])}\n  replay: python -m tests.simulation --seed {seed}", file=sys.stderr
        )
    held = len(CHECKS) + 1 - len({words.partition(":")[0] for wrong in total.failed.values() for words in wrong})
    print(
        f"{total.seeds} seeds, {total.requests} requests, {total.calls} calls in {took_s:.0f} s: "
        f"{total.seeds / took_s:.0f} seeds per second on {jobs} processes"
    )
    print("requests ended: " + ", ".join(f"{end} {count}" for end, count in ends.most_common()))
    print(
        f"{held} of {len(CHECKS) + 1} invariants held in every seed; {total.replayed} seeds ran twice, alike to the byte"
    )
    if total.failed:
        print(f"{len(total.failed)} seeds broke an invariant")
    return not total.failed


if __name__ == "__main__":
    sys.exit(main())
