"""Whose price list a deployment is billed by, and the forms in which the list may know a model.

Price lists are found by genai-prices' provider ids. A deployment is billed by its provider's list unless its base URL leads
elsewhere: an OpenAI deployment whose base URL is DeepSeek's is billed by DeepSeek.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

LISTS = {
    "azure-foundry": "azure",
    "azure-openai": "azure",
    "bedrock": "aws",
    "moonshot": "moonshotai",
    "vertex": "google",
    "voyage": "voyageai",
    "xai": "x-ai",
    "zhipu": "zhipuai",
}
"""Providers whose list has another name than they."""
SHARED = frozenset(
    {
        "anthropic",
        "baseten",
        "cerebras",
        "cloudflare",
        "cohere",
        "databricks",
        "deepseek",
        "fireworks",
        "google",
        "groq",
        "huggingface",
        "minimax",
        "mistral",
        "novita",
        "openai",
        "openrouter",
        "ovhcloud",
        "perplexity",
        "together",
        "zai",
    }
)
"""Providers that their list is named after. Any other, say a server of one's own that is called `meta`, has none."""
_ARN = re.compile(r"arn:[^/]+/")
_PREFIXES = {
    "google": re.compile(r"(?:projects/.*/)?(?:publishers/)?(?:google/|anthropic/)?(?:models/)?"),
    "fireworks": re.compile(r"(?:accounts/fireworks/models/)?"),
}
_DATED = re.compile(r"@(?=\d{8}$)")


def list_of(provider: str, home: str, url: str) -> str | None:
    """The id of the list by the provider's name; None when it has none, or when `url` is not the vendor's.

    `home` is the vendor's own base URL, empty where each customer has another, and `url` is where calls go.
    """
    name = LISTS.get(provider) or (provider if provider in SHARED else None)
    if name is None or not home or "{" in home or not url or _site(url) == _site(home):
        return name
    return None


def forms_of(vendor: str, model: str) -> Iterator[tuple[str, str]]:
    """Pairs of a list and a name that may stand there, the likeliest first.

    Vertex and Gemini write publishers and `models/` before a name and a date behind `@`, Fireworks its account, Bedrock an
    ARN, and Hugging Face the vendor that serves it behind a colon, which has a list of its own.
    """
    if vendor == "huggingface":
        name, _, served_by = model.rpartition(":")
        if name:
            yield f"huggingface_{served_by}", name
        return
    yield vendor, model
    bare = _ARN.sub("", model) if vendor == "aws" else model
    if vendor in _PREFIXES:
        bare = _PREFIXES[vendor].sub("", bare, count=1)
    if vendor == "fireworks":
        yield vendor, f"accounts/fireworks/models/{bare}"
    if vendor == "google":
        yield vendor, _DATED.sub("-", bare.removesuffix("@default"))
    if bare != model:
        yield vendor, bare


def _site(url: str) -> str:
    """The last two labels of a host: `api.eu.vendor.com` and `api.vendor.com` are one vendor's."""
    host = (urlsplit(url).hostname or "").lower()
    return ".".join(host.split(".")[-2:])
