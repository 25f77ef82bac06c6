# ruff: noqa: INP001 - a tool of the repository, not a package
"""The tables of providers, operations and features, from what passes in tests: tests/replay/matrix.json and others.json.

Why reasoning is not asked for, where it is not, stands in tests/replay/reasoning.toml.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

MATRIX = Path("tests/replay/matrix.json")
OTHERS = Path("tests/replay/others.json")
REASONS = Path("tests/replay/reasoning.toml")
ABSENT = Path("tests/replay/absent.toml")
Json = dict[str, Any]

FEATURES = ("whole", "stream", "tools", "parallel", "images", "structured", "reasoning")
_OTHERS = (
    "completions",
    "embeddings",
    "rerank",
    "images.generate",
    "images.edit",
    "images.variations",
    "audio.speech",
    "audio.transcriptions",
    "audio.translations",
    "moderations",
    "files",
    "uploads",
    "batches",
    "fine_tuning.jobs",
    "count_tokens",
    "generate.count_tokens",
    "responses.input_tokens",
    "generate.embed",
    "generate.embed_one",
    "generate.files",
    "generate.uploads",
    "generate.batch",
    "generate.batches",
    "generate.caches",
    "messages.batches",
    "realtime",
    "generate.live",
)
_PROVIDERS = {"azure": "azure-openai"}
"""Providers of the matrix that the recordings call otherwise."""
CHAT_LEGEND = """
## Chat, feature by feature

For every provider and every chat operation it declares, tests send one request for each feature through a gateway, as the clients
of OpenAI's, Anthropic's and Google's APIs write it, and answer in the vendor's shape. **yes**: what was asked for reached the
vendor, and the answer with it reached the client, from every client that is translated into this operation and from the
vendor's own. **refused**: a client of another API gets a 400 that names the field. **left out**: the rest is sent, and
`x-headgate-dropped` names what was not. **own**: only clients of this very API come here, and pass as they are; others are
translated into the operation above it. What the models behind a vendor's API can do is the vendor's matter. *parallel* is two
calls in one answer, and both results back. For reasoning that cannot be asked for, **answers** says that the vendor documents
thoughts in its answers and that they reached the client, **none** that it documents neither; why, below the table.

What a model takes on Replicate is told by its own schema: the row is that of one with the inputs of `openai/gpt-5`, and others
are tested in the package. What an endpoint of SageMaker takes is its container's matter: the row is that of one that speaks
OpenAI's API. `compatible` takes what its deployment's `row` says: here that it knows efforts.

"""
OTHER_LEGEND = """
## Other operations

**yes**: a request for the operation reached the method, host and path that the vendor documents, as written down beside its
page in [documented.toml](../../tests/replay/documented.toml), with the credential and the model where they belong, and the
client got its answer; for embeddings and rankings number for number, in the client's shape. A number counts recorded exchanges
with the vendor that arrive as well. For `realtime` and `generate.live` it is a session over a WebSocket: the vendor's events
reached the client and the client's the vendor, and what they state of usage was counted.

An empty cell is an operation that the provider does not declare, since the vendor has none or for a reason told
[below](#what-is-empty). Batches, fine-tuning and files that a vendor has in a shape of its own are translated
([how](translation.md#batches-and-fine-tuning)). What is not declared is reached through `passthrough`, which every provider has.
`compatible` takes any of these operations from its configuration.

"""
ABSENT_LEGEND = """
## What is empty

Which pages list what a vendor's API has, and which operations it has in some form although its cell is empty, with the reason.
What any other empty cell stands for is on none of these pages. A vendor has an operation where what OpenAI's clients ask can be
asked of it and its answer be told to them; `realtime` passes through, so it is where a vendor's sessions speak OpenAI's events.

"""


def matrix_tables() -> str:
    """Both tables, one row for each provider and chat operation, and one for each provider with others."""
    rows: Mapping[str, Json] = json.loads(MATRIX.read_text("utf-8"))
    parts = [CHAT_LEGEND, *_chat_rows(rows), *_reasons(), OTHER_LEGEND, *_other_rows(rows), ABSENT_LEGEND, *_absences()]
    return "".join(parts)


def _chat_rows(rows: Mapping[str, Json]) -> list[str]:
    lines = [f"| provider | operation | {' | '.join(FEATURES)} |\n", "|---" * (len(FEATURES) + 2) + "|\n"]
    for name, row in rows.items():
        for operation, held in row.items():
            if "cell" not in held:
                cells = [f"`{name}`", operation, *(_cell(held, feature) for feature in FEATURES)]
                lines.append(f"| {' | '.join(cells)} |\n")
    return lines


def _reasons() -> list[str]:
    """Why a provider is not asked to think; providers of one reason on one line."""
    data: Mapping[str, Mapping[str, str]] = tomllib.loads(REASONS.read_text("utf-8"))
    lines = ["\nReasoning that cannot be asked for:\n\n"]
    for word, reasons in data.items():
        for reason in dict.fromkeys(reasons.values()):
            names = ", ".join(f"`{name}`" for name, why in reasons.items() if why == reason)
            lines.append(f"- {names} (**{word}**): {reason}\n")
    return lines


def _absences() -> list[str]:
    """What each provider does not declare although its vendor has it, and where that was looked up."""
    data: Mapping[str, Json] = tomllib.loads(ABSENT.read_text("utf-8"))
    return [f"- `{name}`: {'; '.join(_absent(section))}\n" for name, section in data.items()]


def _absent(section: Json) -> list[str]:
    named = [f"{name} ({why})" for name, why in section.items() if name not in {"read", "unread"}]
    pages = ", ".join(f"[{number}]({page})" for number, page in enumerate(section["read"], 1))
    return [*named, f"read: {pages}" if pages else f"no list was found: {section.get('unread', '')}"]


def _cell(held: Json, feature: str) -> str:
    """What the operation does with a feature: the worse of what it does for its own clients and for those of others."""
    own, translated = held.get("own", {}).get(feature), held.get("translated", {}).get(feature)
    if translated is None:
        return "own" if own == "yes" else str(own)
    return translated if own in {None, "yes"} else own


def _other_rows(rows: Mapping[str, Json]) -> list[str]:
    recorded = _recorded()
    there = [each for each in _OTHERS if any(each in row for row in rows.values())]
    lines = [f"| provider | {' | '.join(there)} |\n", "|---" * (len(there) + 1) + "|\n"]
    for name, row in rows.items():
        if any(each in row for each in there):
            cells = [_told(row.get(each), recorded.get((name, each), 0)) for each in there]
            lines.append(f"| `{name}` | {' | '.join(cells)} |\n")
    return lines


def _told(held: Json | None, count: int) -> str:
    if held is None:
        return ""
    return f"{held['cell']}, {count}" if count else str(held["cell"])


def _recorded() -> dict[tuple[str, str], int]:
    """How many recorded exchanges arrive, by provider and operation."""
    data: Mapping[str, Mapping[str, int]] = json.loads(OTHERS.read_text("utf-8"))
    held = {group.partition("/")[::2]: sum(counts.values()) for group, counts in data.items()}
    return {(_PROVIDERS.get(vendor, vendor), operation): count for (vendor, operation), count in held.items()}
