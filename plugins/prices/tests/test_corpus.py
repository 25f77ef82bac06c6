"""Costs of recorded answers: ours, from the usage as the gateway counts it, against what genai-prices makes of the body.

The recordings stand in a folder named by `HEADGATE_CORPUS`.
"""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

import genai_prices
import pytest
from genai_prices.data import providers

from headgate.dialects import (
    AnthropicMessages,
    Dialect,
    GoogleGenerate,
    OpenAIChat,
    OpenAICompletions,
    OpenAIEmbeddings,
    OpenAIResponses,
)
from headgate_prices.names import forms_of
from headgate_prices.stated import stated_cost
from headgate_prices.table import Table

CORPUS = Path(os.environ.get("HEADGATE_CORPUS") or Path(__file__).parents[3] / ".." / "shared" / "corpus")
NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
DIALECTS: dict[str, tuple[Dialect, tuple[str, ...]]] = {
    "chat": (OpenAIChat(), ("chat", "default")),
    "completions": (OpenAICompletions(), ("chat", "default")),
    "embeddings": (OpenAIEmbeddings(), ("embeddings", "default")),
    "responses": (OpenAIResponses(), ("responses", "default")),
    "messages": (AnthropicMessages(), ("anthropic", "default")),
    "vertex-anthropic": (AnthropicMessages(), ("anthropic",)),
    "generateContent": (GoogleGenerate(), ("default",)),
}
"""The dialect of an operation, and what genai-prices may call it."""

Record = dict[str, Any]

pytestmark = pytest.mark.skipif(
    not CORPUS.is_dir(), reason="no recorded exchanges: set HEADGATE_CORPUS to their folder"
)


def records(file: str) -> Iterator[tuple[Record, Record]]:
    """Recorded whole answers and their bodies."""
    with gzip.open(CORPUS / f"{file}.jsonl.gz") as lines:
        for line in lines:
            record: Record = json.loads(line)
            if record["operation"] in DIALECTS and not record["stream"] and (record["status"] or 200) == 200:
                try:
                    yield record, json.loads(record["resp_text"] or "")
                except ValueError:
                    continue


def theirs(vendor: str, model: str, record: Record, body: Record) -> int | None:
    """What genai-prices extracts and calculates; None where it cannot read the body or does not know the model."""
    lists = {held.id: held for held in providers}
    for flavour in DIALECTS[record["operation"]][1]:
        try:
            used = genai_prices.extract_usage(body, provider_id=vendor, api_flavor=flavour).usage
        except (ValueError, LookupError, AttributeError):  # the last for a modality that is a number
            continue
        for name, form in forms_of(vendor, model):
            found = lists[name].find_model(form, all_providers=providers)
            if found is not None:
                price = found.calc_price(used, lists[name], genai_request_timestamp=NOON).total_price
                return int((price * 1_000_000).quantize(Decimal(1), ROUND_HALF_UP))
    return None


@pytest.mark.parametrize(
    ("file", "vendor", "least"),
    [
        ("anthropic", "anthropic", 140),
        ("azure", "azure", 70),
        ("deepseek", "deepseek", 5),
        ("gemini", "google", 170),
        ("groq", "groq", 15),
        ("mistral", "mistral", 20),
        ("openai", "openai", 120),
        ("openrouter", "openrouter", 6),
        ("perplexity", "perplexity", 2),
        ("vertex", "google", 5),
        ("xai", "x-ai", 7),
    ],
)
def test_recorded_answers(bundled: Table, file: str, vendor: str, least: int) -> None:
    """Every recorded answer whose body genai-prices can read costs the same, to the micro-USD."""
    compared = 0
    differ: list[tuple[str, str, int | None, int]] = []
    for record, body in records(file):
        asked: Record = record["req_json"] or {}
        model = str(body.get("model") or body.get("modelVersion") or asked.get("model") or "")
        expected = theirs(vendor, model, record, body)
        usage = DIALECTS[record["operation"]][0].reply_usage(record["resp_text"].encode())
        if not expected or usage is None:
            continue
        rates = bundled.know(vendor, model).rates_at(NOON.timestamp(), {})
        cost = rates.cost(usage) if rates is not None else None
        compared += 1
        if cost != expected:
            differ.append((record["id"], model, cost, expected))
    assert differ == []
    assert compared >= least


def test_stated_costs(bundled: Table) -> None:
    """The vendor's own numbers are what its list says: the lists, the units and the ticks are understood as they are meant."""
    found: list[tuple[int | None, int | None]] = []
    for record, body in records("xai"):
        usage = DIALECTS[record["operation"]][0].reply_usage(record["resp_text"].encode())
        stated = stated_cost("x-ai", usage.raw) if usage is not None else None
        rates = bundled.know("x-ai", str(body.get("model"))).rates_at(NOON.timestamp(), {})
        if usage is not None and rates is not None and stated is not None and record["operation"] == "chat":
            found.append((stated, rates.cost(usage)))
    assert len(found) >= 2
    assert [stated for stated, _ in found] == [cost for _, cost in found]
