"""Whose list a deployment is billed by, and every form in which vendors write the names of models."""

from __future__ import annotations

import pytest

from headgate.config import Installed
from headgate_prices import names
from headgate_prices.names import list_of
from headgate_prices.table import Table


@pytest.mark.parametrize(
    ("vendor", "model", "found"),
    [
        ("aws", "us.anthropic.claude-sonnet-4-5-20250929-v1:0", "regional.anthropic.claude-sonnet-4-5-20250929-v1:0"),
        ("aws", "global.anthropic.claude-sonnet-4-5-20250929-v1:0", "global.anthropic.claude-sonnet-4-5-20250929-v1:0"),
        ("aws", "arn:aws:bedrock:eu-west-1:1:inference-profile/eu.amazon.nova-lite-v1:0", "amazon.nova-lite-v1:0"),
        ("aws", "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0", "amazon.nova-lite-v1:0"),
        ("google", "claude-sonnet-4-5@20250929", "claude-sonnet-4-5"),
        ("google", "claude-fable-5@20260101", "claude-fable-5"),
        ("google", "publishers/anthropic/models/claude-fable-5@default", "claude-fable-5"),
        ("google", "models/gemini-2.5-flash", "gemini-2.5-flash"),
        ("google", "google/gemini-2.5-flash", "gemini-2.5-flash"),
        ("google", "projects/p/locations/l/publishers/google/models/gemini-2.5-flash", "gemini-2.5-flash"),
        ("azure", "gpt-4o", "gpt-4o"),
        ("azure", "gpt-4o-2024-08-06", "gpt-4o"),
        ("fireworks", "accounts/fireworks/models/deepseek-v3p2", "deepseek-v3p2"),
        ("fireworks", "deepseek-v3p2", "deepseek-v3p2"),
        ("together", "meta-llama/Llama-3.3-70B-Instruct-Turbo", "meta-llama/Llama-3.3-70B-Instruct-Turbo"),
        ("cloudflare", "@cf/meta/llama-3.1-8b-instruct", "@cf/meta/llama-3.1-8b-instruct"),
        ("openai", "GPT-4o-mini", "gpt-4o-mini"),
        ("openai", "gpt-5.2-20251211", "gpt-5.2"),
        ("openai", "ft:gpt-4o-mini-2024-07-18:org::id", "ft:gpt-4o-mini"),
        ("x-ai", "grok-4", "grok-4-0709"),
    ],
)
def test_forms_of_a_name(bundled: Table, vendor: str, model: str, found: str) -> None:
    """A model is found by any of the names its vendor takes."""
    entry = bundled.book.find(vendor, model)
    assert entry is not None
    assert entry.model == found


@pytest.mark.parametrize(
    ("vendor", "model"),
    [
        ("azure", "my-deployment"),
        ("openai", "no-such-model"),
        ("aws", "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc"),
        ("huggingface", "meta-llama/Llama-3.3-70B-Instruct"),
        ("huggingface", "meta-llama/Llama-3.3-70B-Instruct:fastest"),
        ("nobody", "gpt-4o"),
        ("", "gpt-4o"),
        ("openai", ""),
    ],
)
def test_a_model_that_no_list_knows(bundled: Table, vendor: str, model: str) -> None:
    """Nothing is guessed."""
    assert bundled.book.find(vendor, model) is None


def test_the_vendor_behind_a_router(bundled: Table) -> None:
    """Hugging Face's router names who serves a model behind a colon."""
    held = next(model for model in bundled.book.find_all("deepseek-ai/DeepSeek-R1") if "huggingface_" in model.vendor)
    served_by = held.vendor.removeprefix("huggingface_")
    found = bundled.book.find("huggingface", f"deepseek-ai/DeepSeek-R1:{served_by}")
    assert found is not None
    assert found.vendor == held.vendor


OPENAI = "https://api.openai.com/v1"


@pytest.mark.parametrize(
    ("provider", "home", "url", "vendor"),
    [
        ("openai", OPENAI, OPENAI, "openai"),
        ("openai", OPENAI, "https://eu.api.openai.com/v1", "openai"),
        ("openai", OPENAI, "", "openai"),
        ("openai", OPENAI, "http://127.0.0.1:8000/v1", None),
        ("openai", OPENAI, "https://openai.com.evil.test/v1", None),
        ("azure-openai", "", "https://x.openai.azure.com/openai/v1", "azure"),
        ("databricks", "https://{host}/serving-endpoints", "https://x.cloud.databricks.com", "databricks"),
        ("vllm", "http://127.0.0.1:8000/v1", "http://127.0.0.1:8000/v1", None),
        ("meta", "", "", None),
    ],
)
def test_whose_list(provider: str, home: str, url: str, vendor: str | None) -> None:
    """A provider's own list, unless its base URL is somebody else's."""
    assert list_of(provider, home, url) == vendor


@pytest.mark.parametrize(
    ("url", "vendor"),
    [
        ("https://api.deepseek.com", "deepseek"),
        ("https://api.together.xyz/v1", "together"),
        ("https://x.services.ai.azure.com/openai/v1", "azure"),
        ("http://127.0.0.1:8000/v1", None),
        ("", None),
    ],
)
def test_whose_list_by_url(bundled: Table, url: str, vendor: str | None) -> None:
    """Where a name does not tell, the address may."""
    assert bundled.book.vendor_at(url) == vendor


def test_every_name_is_a_provider() -> None:
    """The tables name providers that there are, and lists that there are."""
    installed = set(Installed().providers())
    assert {*names.LISTS, *names.SHARED} - installed == set()


def test_every_list_is_there(bundled: Table) -> None:
    """No table leads to a list that genai-prices does not have; Hugging Face's are one for each vendor behind it."""
    lists = {*names.LISTS.values(), *names.SHARED} - {"huggingface"}
    assert {name for name in lists if name not in bundled.book.vendors} == set()
