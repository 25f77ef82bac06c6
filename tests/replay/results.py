"""What the replay tests have proven, counted: results.json, from which the tables of docs/providers.md are made.

Each test compares its own row with the file once it has found nothing wrong, so the file cannot claim more than passes. Write it
anew with `python -m tests.replay.results` from the repository root.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from tests.replay import running, validators
from tests.replay.abilities import features_of
from tests.replay.asked import Asked
from tests.replay.asking import truth_of
from tests.replay.corpus import FOLDER, Recording, chosen, groups
from tests.replay.questions import Outcome
from tests.replay.reading import Reading, members, parse
from tests.replay.targets import READERS, TARGETS
from tests.replay.vendors import dialect_of, provider_of

FILE = Path(__file__).parent / "results.json"
Row = dict[str, int]
VECTORS = ("voyage",)
"""Vendors of whom no chat is recorded, but vectors: providers/compatible/tests/test_embeddings.py replays them."""


def held(kind: str, name: str) -> Row:
    """The row that the file holds; empty when it holds none."""
    return cast("Row", table(kind).get(name, {}))


def table(name: str) -> dict[str, Any]:
    """A part of the file."""
    return cast("dict[str, Any]", json.loads(FILE.read_text("utf-8"))[name])


def rate(kind: str, unit: str) -> str:
    """How many cases of a unit passed, of how many, as the file holds it."""
    return str(table("rates")[kind].get(provider_of_unit(unit), {}).get(unit, "0/0"))


def provider_of_unit(unit: str) -> str:
    """The provider whose unit it is: a target's, or that of a recorded wire format."""
    vendors = {target.name: target.vendor for target in TARGETS}
    return provider_of(vendors.get(unit) or unit.partition("/")[0])


def types_used() -> dict[str, list[str]]:
    """The official types that what a provider is sent must fit, by the names that validators.py has for them."""
    found: dict[str, set[str]] = {}
    for target in TARGETS:
        if target.types in validators.OFFICIAL:
            found.setdefault(provider_of(target.vendor), set()).add(target.types)
    return {name: sorted(found[name]) for name in sorted(found)}


def vectors_recorded() -> dict[str, int]:
    """The recorded answers that hold vectors."""
    return {vendor: _vectors_of(vendor) for vendor in VECTORS}


def _vectors_of(vendor: str) -> int:
    with gzip.open(FOLDER / f"{vendor}.jsonl.gz", "rt", encoding="utf-8") as lines:
        rows = [members(parse(line)) for line in lines]
    return sum((row["operation"], row["status"]) == ("embeddings", 200) for row in rows)


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


async def _measured() -> dict[str, Any]:
    """Every unit of every kind, one after the other."""
    rates: dict[str, dict[str, dict[str, str]]] = {}
    rows: dict[str, Row] = {}

    def note(kind: str, unit: str, run: running.Run) -> None:
        if run.all:
            rates.setdefault(kind, {}).setdefault(provider_of_unit(unit), {})[unit] = run.rate

    for group, dialect in running.pairs():
        note("answers", f"{group} to {dialect}", await running.answers(group, dialect))
        note("loops", f"{group} to {dialect}", await running.loops(group, dialect))
    for target in TARGETS:
        run = await running.questions(target)
        rows[target.name] = questions_row(run.outcomes)
        note("questions", target.name, run)
    for target in TARGETS:
        note("tricky", target.name, await running.tricky(target))
    for group in groups():
        note("recorded errors", group, await running.recorded_errors(group))
    for group in running.FAILING:
        note("made errors", group, await running.made_errors(group))
        note("broken streams", group, await running.broken(group))
    for group in running.relayed():
        note("same shape", group, await running.same(group))
    return {"rates": rates, "questions": rows}


def main() -> int:
    """Write the file; the tests then say whether it holds."""
    data = {
        "answers": {group: answers_row(group) for group in groups()},
        "types": types_used(),
        "vectors": vectors_recorded(),
        **asyncio.run(_measured()),
    }
    FILE.write_text(json.dumps(data, indent=1, sort_keys=True) + "\n", "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
