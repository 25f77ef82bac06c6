"""The usual chunk of a stream, read with less than taking all of it apart.

Nearly every chunk holds a piece of text, or of a call's arguments, and nothing else.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, NamedTuple

import msgspec
from msgspec import Meta, Struct


class PlainChunk(NamedTuple):
    """What a usual chunk says of its one choice."""

    choice: int
    text: str
    thinking: str
    call: int | None
    """The `index` of the call that `arguments` go on with."""
    arguments: str


class _Function(Struct, frozen=True, forbid_unknown_fields=True):
    arguments: str
    name: Literal[""] | None = None


class _Call(Struct, frozen=True, forbid_unknown_fields=True):
    index: int
    function: _Function
    id: Literal[""] | None = None
    type: Any = None


class _Delta(Struct, frozen=True, forbid_unknown_fields=True):
    content: str | None = None
    reasoning_content: str | None = None
    role: str | None = None
    refusal: None = None
    tool_calls: Annotated[list[_Call], Meta(min_length=1, max_length=1)] | None = None


class _Choice(Struct, frozen=True, forbid_unknown_fields=True):
    delta: _Delta
    index: int = 0
    finish_reason: None = None
    logprobs: None = None


class _Chunk(Struct, frozen=True, forbid_unknown_fields=True):
    """`system_fingerprint` and `service_tier` are those of the first chunk, which is read whole."""

    choices: Annotated[list[_Choice], Meta(min_length=1, max_length=1)]
    id: Any = None
    object: Any = None
    created: Any = None
    model: Any = None
    service_tier: Any = None
    system_fingerprint: Any = None
    usage: None = None
    obfuscation: Any = None
    p: Any = None


_chunk = msgspec.json.Decoder(_Chunk)


def plain_chunk(data: bytes) -> PlainChunk | None:
    """What `data` says when it is a usual chunk; None when it must be read whole."""
    try:
        choice = _chunk.decode(data).choices[0]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    delta = choice.delta
    text, thinking = delta.content or "", delta.reasoning_content or ""
    if delta.tool_calls is None:
        return PlainChunk(choice.index, text, thinking, None, "")
    call = delta.tool_calls[0]
    return PlainChunk(choice.index, text, thinking, call.index, call.function.arguments)
