"""The vendors whose answers are recorded, as deployments of a gateway, and their recorded answers as a mock gives them."""

from __future__ import annotations

import random
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from functools import cache
from typing import Any

from tests.replay.corpus import Recording

from headgate.config import Installed
from headgate.provider import Provider
from headgate.testing import Client, Recorded, ReplayUpstream, gateway

KEY = "sk-replay-0f1e2d3c4b5a6978"
"""Every deployment's key: it must stand in no answer."""
DEPLOYMENT = "d"

_CONFIG: Mapping[str, Mapping[str, Any]] = {
    "azure": {"base_url": "https://replay.openai.azure.com"},
    "bedrock": {"region": "us-east-1"},
    "vertex": {"project": "replay", "location": "global"},
}
_PROVIDERS = {"azure": "azure-openai"}
"""Names of providers that are not those of the recordings."""
_STREAM_TYPES = {"converse": "application/vnd.amazon.eventstream", "ollama-chat": "application/x-ndjson"}
_SHAPES = {
    "chat": "openai.chat",
    "responses": "openai.responses",
    "messages": "anthropic.messages",
    "generateContent": "google.generate",
}


_OPERATIONS = {"chat": "chat", "responses": "responses"}
_BY_MODEL = frozenset({"vertex"})
"""Vendors whose model decides which operation is spoken."""


def dialect_of(shape: str) -> str:
    """The dialect of a client that the recorded bytes would be relayed to as they are; empty when no client speaks it."""
    return _SHAPES.get(shape, "")


def deployment_of(vendor: str) -> dict[str, Any]:
    """The configuration of a deployment of this vendor."""
    return {"provider": provider_of(vendor), "api_key": KEY, **_CONFIG.get(vendor, {})}


def provider_of(vendor: str) -> str:
    """The provider that reaches a vendor."""
    return _PROVIDERS.get(vendor, vendor)


@cache
def restricted(vendor: str, operation: str) -> type[Provider]:
    """The vendor's provider with one chat operation alone, so that every client's dialect is translated into that one."""
    kind = Installed().provider(provider_of(vendor))
    assert kind is not None, f"provider `{provider_of(vendor)}` is not installed"
    members: dict[str, Any] = {
        "name": f"only-{vendor}-{operation}",
        "dialects": {operation: kind.dialects[operation]},
    }
    if operation == "responses":
        members["adapt"] = Provider.adapt  # no provider is translated into it; what is overridden is meant for chat
    return type(f"Only{vendor.title()}", (kind,), members)


def speaks(vendor: str, dialect: str) -> bool:
    """Whether a client of this dialect is relayed to the vendor as it is, unless its deployment says otherwise."""
    kind: Any = Installed().provider(provider_of(vendor))
    is_translated = dialect == "openai.responses" and getattr(getattr(kind, "row", None), "responses", "") == "chat"
    return kind is not None and dialect in kind.dialects.values() and not is_translated


def open_vendor(group: str, upstream: ReplayUpstream) -> AbstractAsyncContextManager[Client]:
    """A gateway in front of a vendor that is called in the wire format of this group, models being `d/MODEL`."""
    vendor, _, shape = group.partition("/")
    held = deployment_of(vendor)
    if shape not in _OPERATIONS or vendor in _BY_MODEL:
        return gateway(providers={DEPLOYMENT: held}, upstream=upstream)
    kind = restricted(vendor, _OPERATIONS[shape])
    return gateway(kind, providers={DEPLOYMENT: {**held, "provider": kind.name}}, upstream=upstream)


def model_of(recording: Recording) -> str:
    """The model to ask, such that the provider speaks the recorded wire format."""
    if recording.model != "unknown":
        return recording.model
    if recording.shape == "messages":
        return "claude-sonnet-4-5"
    return "gemini-2.5-flash" if recording.shape == "generateContent" else "some-model"


def recorded_answer(recording: Recording, seed: int = 0) -> Recorded:
    """The recorded answer in pieces between 1 byte and 4 KB: within characters, within frames."""
    kind = "application/json"
    if recording.stream:
        kind = _STREAM_TYPES.get(recording.shape, "text/event-stream")
    kept = {name: value for name, value in recording.headers.items() if not name.startswith("content-")}
    headers = tuple({**kept, "content-type": recording.headers.get("content-type") or kind}.items())
    return Recorded(
        status=recording.status,
        headers=headers,
        body=recording.body,
        framing="chunked" if recording.stream else "length",
        sizes=_sizes(len(recording.body), f"{seed}/{recording.id}") if recording.stream else (),
    )


def _sizes(length: int, seed: str) -> tuple[int, ...]:
    """Sizes that differ by the seed: some answers byte by byte, most in a mixture; never more than 1500 pieces."""
    rng = random.Random(seed)
    if length < 1500 and rng.random() < 0.3:
        return (1,)
    largest = max(rng.choice((8, 64, 700, 4096)), length // 400)
    return tuple(rng.choice((1, 2, 3, rng.randint(1, largest), largest)) for _ in range(61))
