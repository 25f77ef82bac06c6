"""Runs one kind of test over one unit (a vendor's wire format, a client's dialect, a target): what is wrong, and how much passed.

The tests and results.py run the same, so that docs/providers.md tells what the tests see.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from tests.replay.asking import Fault, answer_faults
from tests.replay.clients import DIALECTS
from tests.replay.corpus import Recording, chosen, exceptions, groups, recordings
from tests.replay.failures import Failure, broken_streams, failure_faults, made_failures, recorded_failure
from tests.replay.loops import has_loop, loop_faults
from tests.replay.questions import (
    Misasked,
    Outcome,
    client_requests,
    hard_requests,
    open_target,
    question_outcome,
)
from tests.replay.same import same_faults
from tests.replay.targets import Target, World
from tests.replay.vendors import DEPLOYMENT, deployment_of, dialect_of, open_vendor

from headgate.testing import ReplayUpstream, gateway

SEED = int(os.environ.get("HEADGATE_REPLAY_SEED", "0"))
FAILING = (
    "anthropic/messages",
    "azure/chat",
    "bedrock/converse",
    "cohere/cohere-chat",
    "deepseek/chat",
    "google/generateContent",
    "groq/chat",
    "mistral/chat",
    "ollama/ollama-chat",
    "openai/chat",
    "openai/responses",
    "openrouter/chat",
    "perplexity/chat",
    "together/chat",
    "vertex/generateContent",
    "vertex/messages",
    "xai/chat",
)
"""The wire formats whose errors are made up, recorded or not."""


@dataclass
class Run:
    """What one unit came to. Recordings that are left out for a fault of the product count as not passed."""

    passed: int = 0
    all: int = 0
    faults: list[Any] = field(default_factory=list[Any])
    outcomes: list[Outcome] = field(default_factory=list[Outcome])

    @property
    def rate(self) -> str:
        """Passed and all, as results.json holds them."""
        return f"{self.passed}/{self.all}"

    def add(self, faults: Collection[Fault | Misasked | str]) -> None:
        """One more case, with what is wrong with it."""
        self.all += 1
        self.passed += not faults
        self.faults += faults


def pairs() -> list[tuple[str, str]]:
    """Every recorded wire format and every dialect that it is translated to: the same dialect is relayed."""
    return [
        (group, dialect) for group in groups() for dialect in DIALECTS if dialect != dialect_of(group.partition("/")[2])
    ]


def relayed() -> list[str]:
    """Every recorded wire format that a client speaks too."""
    return [group for group in groups() if dialect_of(group.partition("/")[2])]


async def answers(group: str, dialect: str) -> Run:
    """The recorded answers of a vendor, as a client of the dialect reads them."""
    upstream, run = ReplayUpstream(), Run(all=_missing("answers", group))
    async with open_vendor(group, upstream) as client:
        for recording in _good(group, "answers"):
            run.add(await answer_faults(client, upstream, recording, dialect, SEED))
    return run


async def loops(group: str, dialect: str) -> Run:
    """What a vendor called and signed, sent back by a client of the dialect."""
    upstream, run = ReplayUpstream(), Run(all=_missing("loops", group))
    async with open_vendor(group, upstream) as client:
        for recording in _good(group, "loops"):
            if has_loop(recording):
                run.add(await loop_faults(client, upstream, recording, dialect, SEED))
    return run


async def same(group: str) -> Run:
    """The recorded exchanges of a vendor whose own dialect the client speaks."""
    upstream, run = ReplayUpstream(), Run(all=_missing("same", group))
    held = deployment_of(group.partition("/")[0])
    async with gateway(providers={DEPLOYMENT: held}, upstream=upstream) as client:
        for recording in chosen(group, "same"):
            found = await same_faults(client, upstream, recording, SEED)
            run.add([f"{recording.id}: {each}" for each in found])
    return run


async def questions(target: Target) -> Run:
    """The recorded requests of clients in other dialects, as they reach a target."""
    return await _asked(target, client_requests(target))


async def tricky(target: Target) -> Run:
    """The made requests of clients in other dialects, as they reach a target."""
    return await _asked(target, hard_requests(target))


async def recorded_errors(group: str) -> Run:
    """The recorded errors of a vendor, in every client's dialect."""
    failing = [recorded_failure(each) for each in chosen(group, "errors") if each.status >= 400]
    return await _failed(group, failing)


async def made_errors(group: str) -> Run:
    """Errors of every status in a vendor's words, in every client's dialect."""
    vendor, _, shape = group.partition("/")
    return await _failed(group, made_failures(vendor, shape))


async def broken(group: str) -> Run:
    """Streams of a vendor that break off, in every client's dialect."""
    vendor, _, shape = group.partition("/")
    return await _failed(group, broken_streams(vendor, shape))


async def _asked(target: Target, requests: list[Recording]) -> Run:
    world, run = World(target), Run()
    async with open_target(target, world) as client:
        for request in requests:
            outcome = await question_outcome(client, world, request, target)
            run.outcomes.append(outcome)
            run.add(outcome.faults)
    return run


async def _failed(group: str, failures: list[Failure]) -> Run:
    upstream, run = ReplayUpstream(), Run()
    async with open_vendor(group, upstream) as client:
        for failure in failures:
            for dialect in DIALECTS:
                run.add(await failure_faults(client, upstream, failure, dialect))
    return run


def _good(group: str, kind: str) -> list[Recording]:
    return [each for each in chosen(group, kind) if each.status < 400]


def _missing(kind: str, group: str) -> int:
    """How many recordings of a group are left out for a fault of the product."""
    ours = exceptions(kind, ours=True)
    return sum(each.group == group and each.id in ours for each in recordings())
