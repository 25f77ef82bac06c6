"""What docs/providers.md says is proven: the evidence of each provider is what tests rest on, and the rates are high enough."""

from __future__ import annotations

import runpy
from typing import Any

import pytest
from tests.replay import results
from tests.replay.corpus import needs_corpus

from headgate.config import Installed

PROOF: dict[str, Any] = runpy.run_path("core/docs/proof.py")
PROVIDERS = {name: kind for name in Installed().providers() if (kind := Installed().provider(name)) is not None}
WORDS = {"recorded traffic": "recorded", "official types": "types"}


def test_official_types_are_those_that_judge() -> None:
    """The file names for each provider the types of official SDKs that the bodies it is sent must fit, and no others."""
    assert results.types_used() == results.table("types")
    assert not {"deepseek", "fireworks", "xai"} & set(results.types_used())


@needs_corpus
def test_recorded_vectors_are_counted() -> None:
    """Where no chat of a vendor is recorded, its recorded vectors are the evidence."""
    assert results.vectors_recorded() == results.table("vectors")


@pytest.mark.parametrize("name", [name for name, kind in PROVIDERS.items() if kind.name == name])
def test_a_provider_says_what_its_tests_rest_on(name: str) -> None:
    """A class or a row names recorded traffic, else official types, where there are such; else documents."""
    found = PROOF["evidence_of"](name)
    assert PROVIDERS[name].evidence == (WORDS[found[0]] if found else "documents")


@pytest.mark.parametrize("title", PROOF["KINDS"])
def test_each_kind_passes(title: str) -> None:
    """Of each kind of case 99.5 % pass, and there are some."""
    whole = PROOF["total"](PROOF["tallies"](PROOF["KINDS"][title]))
    assert whole.all >= 100
    assert whole.rate >= 0.995


def test_the_corpus_passes() -> None:
    """Of all that is recorded 99 % pass."""
    assert PROOF["total"](PROOF["tallies"](PROOF["CORPUS"])).rate >= 0.99


def test_each_provider_passes() -> None:
    """Of the cases of each provider 99 % pass."""
    found = PROOF["tallies"](PROOF["EVERYTHING"])
    assert {name: tally.said for name, tally in found.items() if tally.rate < 0.99} == {}
