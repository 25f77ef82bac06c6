"""Errors of vendors reach every client as errors of the right class, in its own envelope, with the vendor's words and no key."""

from __future__ import annotations

import pytest
from tests.replay.clients import DIALECTS
from tests.replay.corpus import chosen, groups, needs_corpus
from tests.replay.failures import Failure, broken_streams, failure_faults, made_failures, recorded_failure
from tests.replay.vendors import open_vendor

from headgate.testing import ReplayUpstream

GROUPS = (
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


@needs_corpus
@pytest.mark.parametrize("group", groups())
async def test_recorded_errors_are_told(group: str) -> None:
    """Each recorded error keeps its class and its message in every client's dialect."""
    failures = [recorded_failure(each) for each in chosen(group, "errors") if each.status >= 400]
    assert await _faults(group, failures) == []


@pytest.mark.parametrize("group", GROUPS)
async def test_errors_are_told(group: str) -> None:
    """Each status in the vendor's envelope does, retry-after comes along, and a key that the vendor echoes does not."""
    vendor, _, shape = group.partition("/")
    assert await _faults(group, made_failures(vendor, shape)) == []


@pytest.mark.parametrize("group", GROUPS)
async def test_broken_streams_are_told(group: str) -> None:
    """A stream that breaks off says so in the client's dialect, and ends like no good stream does."""
    vendor, _, shape = group.partition("/")
    assert await _faults(group, broken_streams(vendor, shape)) == []


async def _faults(group: str, failures: list[Failure]) -> list[str]:
    upstream = ReplayUpstream()
    found: list[str] = []
    async with open_vendor(group, upstream) as client:
        for failure in failures:
            for dialect in DIALECTS:
                found += await failure_faults(client, upstream, failure, dialect)
    return found
