"""What the replay tests have proven, counted: results.json, from which the table of docs/providers.md is made.

Each test compares its own row with the file once it has found nothing wrong, so the file cannot claim more than passes. Write it
anew with `python -m tests.replay.results` from the repository root.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from tests.replay.abilities import features_of
from tests.replay.asked import Asked
from tests.replay.asking import truth_of
from tests.replay.corpus import Recording, chosen, groups
from tests.replay.questions import Outcome, client_requests, open_target, question_outcome
from tests.replay.reading import Reading
from tests.replay.targets import READERS, TARGETS, Target, World
from tests.replay.vendors import dialect_of

FILE = Path(__file__).parent / "results.json"
Row = dict[str, int]


def held(kind: str, name: str) -> Row:
    """The row that the file holds; empty when it holds none."""
    data: Any = json.loads(FILE.read_text("utf-8"))
    return cast("Row", data[kind].get(name, {}))


def answers_row(group: str) -> Row:
    """What the recorded answers of a vendor show, when all of them arrive."""
    shown = Counter[str]()
    for recording in chosen(group, "answers"):
        if recording.status < 400:
            shown.update(_shown_by(recording, truth_of(recording)))
    shown["errors"] = sum(recording.status >= 400 for recording in chosen(group, "errors"))
    return _tidy(shown)


def _shown_by(recording: Recording, truth: Reading) -> set[str]:
    shown = {"stream" if recording.stream else "whole"}
    shown |= {"usage"} if truth.usage is not None else set()
    for answer in truth.answers[:1]:
        shown |= {"tools"} if answer.calls else set()
        shown |= {"parallel"} if len(answer.calls) > 1 else set()
        shown |= {"reasoning"} if answer.reasoning or answer.opaque else set()
        shown |= {"images"} if answer.images else set()
    return shown


def questions_row(outcomes: list[Outcome]) -> Row:
    """What the requests that were sent on ask for; `refused` are those that the vendor has no words for.

    `open` are those with a fault, known or not: they prove nothing.
    """
    asked = Counter[str]()
    for outcome in outcomes:
        if outcome.faults:
            asked["open"] += 1
            continue
        if outcome.is_refused:
            asked["refused"] += 1
            continue
        recording = outcome.recording
        dialect = dialect_of(recording.shape)
        asked.update(_asked_by(recording, READERS[dialect](recording.request or {})))
    return _tidy(asked)


def _asked_by(recording: Recording, asked: Asked) -> set[str]:
    features = features_of(recording, asked)
    said = {"stream" if recording.stream else "whole"}
    said |= {"tools"} if asked.functions else set()
    said |= {"parallel"} if any(len(segment.results) > 1 for segment in asked.segments) else set()
    said |= {"images"} if features & {"image", "document", "audio", "video"} else set()
    said |= {"structured"} if "json" in asked.params else set()
    said |= {"reasoning"} if features & {"effort", "budget", "thinking"} else set()
    return said


def _tidy(counted: Mapping[str, int]) -> Row:
    return {name: counted[name] for name in sorted(counted) if counted[name]}


async def _asked(target: Target) -> Row:
    world = World(target)
    outcomes: list[Outcome] = []
    async with open_target(target, world) as client:
        for recording in client_requests(target):
            outcome = await question_outcome(client, world, recording, target)
            outcomes.append(outcome)
    return questions_row(outcomes)


def main() -> int:
    """Write the file; the tests then say whether it holds."""
    rows = {
        "answers": {group: answers_row(group) for group in groups()},
        "questions": {target.name: asyncio.run(_asked(target)) for target in TARGETS},
    }
    FILE.write_text(json.dumps(rows, indent=1, sort_keys=True) + "\n", "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
