"""The types that judge what we send take what vendors took, and refuse what they do not know."""

from __future__ import annotations

import pytest
from tests.replay import validators
from tests.replay.corpus import chosen, groups, needs_corpus
from tests.replay.reading import Json

_DIALECTS = {
    "chat": "openai.chat",
    "responses": "openai.responses",
    "messages": "anthropic.messages",
    "generateContent": "google.generate",
    "converse": "bedrock.converse",
    "cohere-chat": "cohere.chat",
    "ollama-chat": "ollama.chat",
}
_ALLOWED = 0.08
"""Recorded requests may use members that an SDK has dropped since, or never had."""
_MESSAGES = [{"role": "user", "content": "Hello"}]
_SAMPLES: dict[str, Json] = {
    "openai.chat": {"model": "m", "messages": _MESSAGES},
    "groq": {"model": "m", "messages": _MESSAGES},
    "cerebras": {"model": "m", "messages": _MESSAGES},
    "perplexity": {"model": "m", "messages": _MESSAGES},
    "openrouter": {"model": "m", "messages": _MESSAGES},
    "together": {"model": "m", "messages": _MESSAGES},
    "deepseek": {"model": "m", "messages": _MESSAGES, "thinking": {"type": "disabled"}},
    "openai.responses": {"model": "m", "input": "Hello"},
    "anthropic.messages": {"model": "m", "max_tokens": 9, "messages": _MESSAGES},
    "vertex.messages": {"anthropic_version": "vertex-2023-10-16", "max_tokens": 9, "messages": _MESSAGES},
    "google.generate": {"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]},
    "bedrock.converse": {"messages": [{"role": "user", "content": [{"text": "Hello"}]}]},
    "cohere.chat": {"model": "m", "messages": _MESSAGES},
    "ollama.chat": {"model": "m", "messages": _MESSAGES},
    "mistral.chat": {"model": "m", "messages": _MESSAGES},
}


@needs_corpus
@pytest.mark.parametrize("group", groups())
def test_recorded_requests_are_taken(group: str) -> None:
    """Nearly every request that a vendor answered well fits the types."""
    vendor, _, shape = group.partition("/")
    dialect = (
        "mistral.chat" if vendor == "mistral" else "vertex.messages" if group == "vertex/messages" else _DIALECTS[shape]
    )
    good = [each for each in chosen(group, "questions") if each.request is not None and each.status < 400]
    refused: list[str] = []
    for recording in good:
        body = (
            {"model": recording.model, **(recording.request or {})}
            if "chat" in shape or shape == "messages"
            else recording.request
        )
        if dialect == "vertex.messages":
            body = recording.request
        found = validators.problems(dialect, body or {})
        if found:
            refused.append(f"{recording.id}: {found[0]}")
    assert len(refused) <= max(1, len(good) * _ALLOWED), "\n".join(refused)


@pytest.mark.parametrize("dialect", sorted(_SAMPLES))
def test_unknown_members_are_refused(dialect: str) -> None:
    """A good body fits; with a member nobody knows, at the top or in a message, it does not."""
    body = _SAMPLES[dialect]
    assert validators.problems(dialect, body) == []
    assert validators.problems(dialect, {**body, "no_such_member": 1}) != []
    for name in ("messages", "contents"):
        if name in body:
            inner = {**body[name][0], "no_such_member": 1}
            assert validators.problems(dialect, {**body, name: [inner]}) != []
