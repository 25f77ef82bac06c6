"""Mistral's models on Vertex AI: its chat and its completions of code, as on its own platform, by `rawPredict`.

Sources: https://docs.cloud.google.com/vertex-ai/generative-ai/docs/partner-models/mistral, https://docs.mistral.ai/deployment/cloud/vertex/
and the SDK `mistralai.gcp` 3.7, whose requests are those of Mistral's own platform and name the model in path and body. So what
Mistral's row says of its members holds here too.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

import msgspec
from msgspec.structs import replace

from headgate.chat import ChatRequest
from headgate.dialects import Gaps
from headgate.operations import COMPLETIONS
from headgate_compatible import policy
from headgate_compatible.catalogue import read_row
from headgate_compatible.row import Row
from headgate_compatible.vendors import fim
from headgate_compatible.vendors.mistral import finish_members, in_order, short_ids, with_short_ids

METHOD, STREAMED = ":rawPredict", ":streamRawPredict"


@cache
def row() -> Row:
    """What is known of Mistral's members."""
    return read_row(files("headgate_compatible").joinpath("vendors", "mistral.toml").read_text("utf-8"))


def adapt(request: ChatRequest, gaps: Gaps) -> ChatRequest:
    """A translated request as Mistral takes it, before it is encoded."""
    request = policy.adapt(request, row(), gaps)
    thinking = policy.think(request.thinking, row().efforts, gaps, row().switch)
    return replace(request, thinking=thinking, messages=tuple(with_short_ids(in_order(request.messages))))


def finish_body(body: bytes, request: ChatRequest) -> bytes:
    """An encoded request with members and parts as Mistral has them."""
    members = msgspec.json.decode(body, type=dict[str, Any])
    policy.say_thinking(members, request.thinking, row().switch)
    finish_members(members)
    return msgspec.json.encode(members)


def told(body: bytes, operation: str, gaps: Gaps) -> bytes:
    """A body in OpenAI's words, a client's or an encoded one, in Mistral's. `gaps` is told of what it has no words for.

    Raises InvalidRequest, as `Quirks.apply` and `fim.encode` do.
    """
    body = row().apply(body, gaps)
    return fim.encode(body, gaps) if operation == COMPLETIONS.name else short_ids(body)
