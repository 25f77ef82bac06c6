"""What an answer says that changes its price: which model gave it, in which service tier, how fast."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from headgate import Attempt, Exchange, Reply
from headgate.chat import Usage
from headgate.dialects.sse import data_of

MAX_READ_BYTES = 256 * 1024
"""Larger bodies are vectors, pictures or sound, which no tier changes; reading them would take longer than all else."""
_TIER = b'"service_tier"'


class Said(Struct):
    """The model and the tier as the provider names them, empty where it does not."""

    model: str = ""
    service_tier: str = ""


class _Answer(Struct):
    """A whole answer, or an event of one: the Responses API has the answer inside its events."""

    model: str | None = None
    service_tier: str | None = None
    response: _Answer | None = None


class _Tiered(Struct):
    service_tier: str | None = None


_answer = msgspec.json.Decoder(_Answer)
_tiered = msgspec.json.Decoder(_Tiered)


def said_of(reply: Reply) -> Said:
    """What a reply says of itself. Of a stream the last events count, since the first ones repeat what was asked for."""
    if reply.model or reply.service_tier:
        return Said(reply.model, reply.service_tier)
    if reply.chunks is None:
        return _read(reply.body)
    said = Said()
    for event in reversed(reply.events):
        found = _read(data_of(event))
        said.model = said.model or found.model
        said.service_tier = said.service_tier or found.service_tier
        if said.model and said.service_tier:
            break
    return said


def terms_of(names: frozenset[str], ex: Exchange, attempt: Attempt, usage: Usage, said: Said) -> dict[str, str]:
    """Those of the terms that an answer or a request tells: the speed, the service tier, and whether it was in a batch.

    https://developers.openai.com/api/docs/guides/fast-mode, https://platform.claude.com/docs/en/build-with-claude/fast-mode
    and https://platform.claude.com/docs/en/api/service-tiers
    """
    raw = usage.raw or {}
    found: dict[str, object] = {}
    if "speed" in names:
        found["speed"] = raw.get("speed")
    if "processing" in names and raw.get("service_tier") == "batch":
        found["processing"] = "batch"
    if "service_tier" in names:
        asked = attempt.target.override_params.get("service_tier") or _asked(attempt.body or ex.body)
        found["service_tier"] = raw.get("serviceTier") or said.service_tier or asked
    return {name: value.lower() for name, value in found.items() if isinstance(value, str)}


def _read(data: bytes) -> Said:
    if len(data) > MAX_READ_BYTES:
        return Said()
    try:
        found = _answer.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Said()
    inner = found.response or found
    return Said(inner.model or found.model or "", inner.service_tier or found.service_tier or "")


def _asked(body: bytes) -> str | None:
    """The tier that a request asks for, which is the one where the answer names none."""
    if _TIER not in body:
        return None
    try:
        return _tiered.decode(body).service_tier
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
