"""Recorded embeddings, rankings and completions arrive as they were recorded, and are asked for as they were."""

from __future__ import annotations

import json
import struct
from base64 import b64encode
from dataclasses import replace

import pytest
from tests.replay import others
from tests.replay.corpus import needs_corpus
from tests.replay.others import FILE, WITHOUT, exchanges, groups, held, other_vectors, proven, truth_of
from tests.replay.reading import Json


@needs_corpus
@pytest.mark.parametrize("group", groups())
async def test_recorded_exchanges_arrive(group: str) -> None:
    """Every vector, score, text and error of a vendor reaches the client, and the vendor is asked what was recorded."""
    row, faults = await proven(group)
    assert not faults, "\n".join(faults)
    assert row == held(group)


@needs_corpus
def test_the_file_counts_what_is_recorded() -> None:
    """The file names the groups that there are, and all their exchanges; none of what is left out is among them."""
    rows: dict[str, dict[str, int]] = json.loads(FILE.read_text("utf-8"))
    assert sorted(rows) == groups()
    assert sum(sum(row.values()) for row in rows.values()) == len(exchanges())
    assert not WITHOUT.keys() & {each.id for each in exchanges()}


def _first(group: str) -> others.Exchanged:
    return next(each for each in exchanges() if each.group == group and each.status == 200 and each.sent is not None)


@needs_corpus
@pytest.mark.parametrize(
    ("group", "changes", "words"),
    [
        ("vertex/embeddings", {"sent": {"instances": [{"content": "another"}]}}, "instead of {'instances'"),
        ("cohere/rerank", {"asked": {"query": "q", "documents": ["a"], "odd": 1}, "sent": None}, "the SDK knows no"),
        ("openai/embeddings", {"asked": {"input": "a", "odd": 1}, "sent": None}, "the SDK's types refuse it"),
        ("voyage/rerank", {"status": 403, "body": b'{"error": {"message": "no"}}', "asked": {}}, "400"),
    ],
)
async def test_faults_are_seen(group: str, changes: Json, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is asked or answered otherwise than it was recorded is a fault."""
    each = replace(_first(group), **changes)
    monkeypatch.setattr(others, "exchanges", lambda: (each,))
    _, faults = await proven(group)
    assert any(words in fault for fault in faults), faults


@needs_corpus
@pytest.mark.parametrize("encoding", ["float", "base64"])
def test_other_vectors_are_seen(encoding: str) -> None:
    """One number that differs, two vectors that changed places, and tokens that were counted otherwise, are faults."""
    each = _first("cohere/embeddings")
    vectors, tokens = truth_of(each)
    nudged = [[vectors[0][0] + 0.001, *vectors[0][1:]], *vectors[1:]]
    swapped = [vectors[1], vectors[0], *vectors[2:]]
    right = _answered(vectors, tokens, encoding)
    assert list(other_vectors(each, encoding, right)) == []
    for wrong in (_answered(nudged, tokens, encoding), _answered(swapped, tokens, encoding)):
        assert list(other_vectors(each, encoding, wrong)) == [f"other vectors ({encoding})"]
    assert "usage" in next(other_vectors(each, encoding, _answered(vectors, tokens + 1, encoding)))


def _answered(vectors: list[list[float]], tokens: int, encoding: str) -> Json:
    """A client's answer with these vectors."""
    packed = [b64encode(struct.pack(f"<{len(one)}f", *one)).decode() for one in vectors]
    held = packed if encoding == "base64" else vectors
    data = [{"index": at, "embedding": vector} for at, vector in enumerate(held)]
    return {"data": data, "usage": {"prompt_tokens": tokens, "total_tokens": tokens}}
