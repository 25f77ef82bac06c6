"""What a model takes is found by its id, whatever is around it."""

from __future__ import annotations

import pytest

from headgate_bedrock.models import Model, bare_id, find_model

PROFILE = "arn:aws:bedrock:us-east-1:012345678901:inference-profile/us.anthropic.claude-3-7-sonnet-20250219-v1:0"
HIDDEN = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/1arbu5hu2sjr"


@pytest.mark.parametrize(
    ("model", "bare"),
    [
        ("anthropic.claude-3-haiku-20240307-v1:0", "anthropic.claude-3-haiku-20240307-v1:0"),
        ("us-gov.anthropic.claude-3-haiku-20240307-v1:0", "anthropic.claude-3-haiku-20240307-v1:0"),
        ("global.amazon.nova-2-lite-v1:0", "amazon.nova-2-lite-v1:0"),
        (PROFILE, "anthropic.claude-3-7-sonnet-20250219-v1:0"),
        ("arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-pro-v1:0", "amazon.nova-pro-v1:0"),
        ("deepseek.v3.2", "deepseek.v3.2"),
        (HIDDEN, HIDDEN),
    ],
)
def test_bare_ids(model: str, bare: str) -> None:
    """An ARN and a geography are taken off; a version with dots is no geography, and an ARN that hides its model stays."""
    assert bare_id(model) == bare


def test_longer_prefixes_win() -> None:
    """A row for a version changes what the row of its family says, and leaves the rest."""
    opus, older = find_model("us.anthropic.claude-opus-5-5"), find_model("anthropic.claude-opus-4-1-20250805-v1:0")
    assert (opus.thinking, opus.has_budgets, opus.forces, opus.is_claude) == ("adaptive", False, frozenset(), True)
    assert (older.thinking, older.has_json_schema, older.forces) == ("budget", False, frozenset({"any", "tool"}))


def test_claude_generations() -> None:
    """Structured output came with Claude 4.5, adaptive thinking with 4.6, and 3.5 does not think at all."""
    thinking = {
        name: find_model(f"anthropic.claude-{name}").thinking
        for name in ("3-5-sonnet-20240620", "3-7-sonnet-20250219", "sonnet-4-20250514", "sonnet-4-6", "sonnet-5")
    }
    assert list(thinking.values()) == ["", "budget", "budget", "adaptive", "adaptive"]
    assert [find_model(f"anthropic.claude-{name}").has_json_schema for name in ("sonnet-4-20250514", "haiku-4-5")] == [
        False,
        True,
    ]


def test_an_unknown_model_is_let_be() -> None:
    """Of a model nobody knows nothing is refused but what needs to be known: how it thinks."""
    unknown = find_model(HIDDEN)
    assert unknown == Model(caches=frozenset({"system", "messages", "tools"}), has_long_cache=True)
