# ruff: noqa: INP001 - a tool of the repository, not a package
"""The table of what is proven per provider, from what the replay tests hold themselves to: tests/replay/results.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

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
LEGEND = """
## What is proven

Each cell counts recorded answers of the vendor, and behind the stroke recorded requests of clients in other dialects. An answer
counts when it says the same in every client's dialect, by an independent reading of the vendor's bytes and the types of the
official SDKs. A request counts when what the vendor is sent means the same and fits the types of the vendor's SDK; *refused* are
requests for what the vendor has no words for, each with a 400 that names the field; *open* are requests with a fault that is
known and stands (tests/replay/known.toml), which count nowhere else. Errors that are not recorded are tested in
the vendor's envelope for every row, as are streams that break off. The tests compare these numbers with what passes.

"""


def proof_table() -> str:
    """The table, one row for each provider and operation that is tested."""
    data: dict[str, dict[str, Row]] = json.loads(RESULTS.read_text("utf-8"))
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
    return "".join(lines)


def _cell(answers: Row, asked: Row, name: str) -> str:
    return f"{_number(answers, name)} / {_number(asked, name)}"


def _number(row: Row, name: str) -> str:
    return str(cast("Any", row).get(name) or "-")
