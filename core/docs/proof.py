# ruff: noqa: INP001 - a tool of the repository, not a package
"""What is proven: the evidence of each provider, counts and rates, from what the replay tests hold themselves to.

That is tests/replay/results.json; each number in it is compared with what passes.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

RESULTS = Path("tests/replay/results.json")
Row = dict[str, int]

_COLUMNS = ("whole", "stream", "tools", "parallel", "images", "structured", "reasoning")
_ANSWERS = {
    "generateContent": "generate",
    "cohere-chat": "chat",
    "ollama-chat": "chat",
}
"""Operations, where the recordings call them otherwise."""
_PROVIDERS = {"azure": "azure-openai"}
_TARGETS = {
    "anthropic": ("anthropic", "messages"),
    "google": ("google", "generate"),
    "vertex-gemini": ("vertex", "generate"),
    "vertex-claude": ("vertex", "messages"),
    "bedrock-claude": ("bedrock", "converse"),
    "openai-responses": ("openai", "responses"),
    "azure": ("azure-openai", "chat"),
}
"""Provider and operation of a target; one of several models of a vendor stands for all. Others are the vendor's chat."""
_LEFT_OUT = frozenset({"anthropic-newest", "google-3", "bedrock-nova"})
_SAMPLE = "recorded traffic"
_TYPES = "official types"
KINDS: dict[str, tuple[str, ...]] = {
    "answers translated": ("answers",),
    "upstream bodies": ("questions",),
    "tricky requests": ("tricky",),
    "errors": ("recorded errors", "made errors", "broken streams"),
    "two-turn tool loops": ("loops",),
    "same-shape fidelity": ("same shape",),
}
"""The kinds that are told, each the sum of these of the file."""
CORPUS = ("answers", "questions", "recorded errors", "loops", "same shape")
"""What is recorded; the rest is made up."""
EVERYTHING = tuple(name for names in KINDS.values() for name in names)
LEGEND = """
## What is proven

Each cell counts recorded answers of the vendor, and behind the stroke recorded requests of clients in other dialects. An answer
counts when it says the same in every client's dialect, by an independent reading of the vendor's bytes and the types of the
official SDKs. A request counts when what the vendor is sent means the same and fits the types of the vendor's SDK; *refused* are
requests for what the vendor has no words for, each with a 400 that names the field; *open* are requests with a fault that is
known and stands (tests/replay/known.toml), which count nowhere else. Errors that are not recorded are tested in
the vendor's envelope for every row, as are streams that break off. The tests compare these numbers with what passes.

"""


RATES = """
## Rates

A case is one exchange in one client's dialect, at one target. It passes when nothing is wrong with it; a refusal passes where
the vendor has no words for what was asked, and names the field. Failures are the faults of tests/replay/known.toml, and the
recordings that tests/replay/exceptions.toml leaves out for a fault of the product. *Tricky requests* are made, in the words of
each client that is translated: results out of order, odd ids, large numbers, pictures, instructions between turns. Of the
*errors* some are recorded; others are every status in the vendor's envelope, and streams that break off. Of the *upstream
bodies* {refused:,} are refusals.

| kind | passed / all | rate | least provider |
|---|---|---|---|
"""


class Tally(NamedTuple):
    """How many cases passed, of how many."""

    passed: int
    all: int

    @property
    def rate(self) -> float:
        """The share that passed; 1 where there was nothing."""
        return self.passed / self.all if self.all else 1.0

    @property
    def said(self) -> str:
        """Both numbers."""
        return f"{self.passed:,} / {self.all:,}"


def results() -> dict[str, Any]:
    """The file."""
    return cast("dict[str, Any]", json.loads(RESULTS.read_text("utf-8")))


def evidence_of(provider: str) -> tuple[str, ...]:
    """What the tests of a provider rest on, beside the vendor's documents: recorded answers, types of the official SDK."""
    data = results()
    found: Counter[str] = Counter(data["vectors"])
    answers: dict[str, Row] = data["answers"]
    for group, row in answers.items():
        vendor = group.partition("/")[0]
        found[_PROVIDERS.get(vendor, vendor)] += row.get("whole", 0) + row.get("stream", 0)
    return (*((_SAMPLE,) if found[provider] else ()), *((_TYPES,) if data["types"].get(provider) else ()))


def tallies(kinds: Sequence[str]) -> dict[str, Tally]:
    """What passed of these kinds of the file, by provider."""
    passed, whole = Counter[str](), Counter[str]()
    rates = results()["rates"]
    for kind in kinds:
        for provider, units in rates[kind].items():
            for unit in units.values():
                good, _, total = unit.partition("/")
                passed[provider] += int(good)
                whole[provider] += int(total)
    return {provider: Tally(passed[provider], whole[provider]) for provider in sorted(whole)}


def total(found: Mapping[str, Tally]) -> Tally:
    """The sum over all providers."""
    return Tally(sum(each.passed for each in found.values()), sum(each.all for each in found.values()))


def rates_table() -> str:
    """A row for each kind, for the whole corpus, and for all together."""
    kinds = {**KINDS, "replay over the corpus": CORPUS, "all": EVERYTHING}
    refused = sum(row.get("refused", 0) for row in results()["questions"].values())
    return RATES.format(refused=refused) + "".join(_rate_row(title, tallies(names)) for title, names in kinds.items())


def _rate_row(title: str, found: Mapping[str, Tally]) -> str:
    whole = total(found)
    least = min(found, key=lambda name: found[name].rate)
    said = f"`{least}` {_percent(found[least])}" if found[least].rate < 1 else "all the same"
    return f"| {title} | {whole.said} | {_percent(whole)} | {said} |\n"


def _percent(tally: Tally) -> str:
    """In hundredths of a percent, never rounded up."""
    return f"{10000 * tally.passed // tally.all / 100:.2f} %"


def proof_table() -> str:
    """The table, one row for each provider and operation that is tested."""
    data: dict[str, dict[str, Row]] = results()
    rows: dict[tuple[str, str], tuple[Row, Row]] = {}
    for group, row in data["answers"].items():
        vendor, _, shape = group.partition("/")
        rows[_PROVIDERS.get(vendor, vendor), _ANSWERS.get(shape, shape)] = (row, {})
    for target, row in data["questions"].items():
        if target not in _LEFT_OUT:
            key = _TARGETS.get(target, (target, "chat"))
            rows[key] = (rows.get(key, ({}, {}))[0], row)
    lines = [LEGEND, "| provider | operation | ", " | ".join(_COLUMNS), " | usage | errors | refused | open |\n"]
    lines.append("|---" * (len(_COLUMNS) + 6) + "|\n")
    for (provider, operation), (answers, asked) in sorted(rows.items()):
        cells = [f"`{provider}`", operation, *(_cell(answers, asked, name) for name in _COLUMNS)]
        cells += [
            _number(answers, "usage"),
            _number(answers, "errors"),
            _number(asked, "refused"),
            _number(asked, "open"),
        ]
        lines.append(f"| {' | '.join(cells)} |\n")
    return "".join(lines) + rates_table()


def _cell(answers: Row, asked: Row, name: str) -> str:
    return f"{_number(answers, name)} / {_number(asked, name)}"


def _number(row: Row, name: str) -> str:
    return str(cast("Any", row).get(name) or "-")
