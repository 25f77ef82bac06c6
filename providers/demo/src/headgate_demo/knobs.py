"""What a caller may ask of the demo: the request field `demo`, or the same as JSON in the header `x-headgate-demo`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, cast

import msgspec
from msgspec import Meta, Struct

from headgate.errors import InvalidRequest
from headgate.suggest import did_you_mean
from headgate_demo.text import MOST_TOKENS

Milliseconds = Annotated[float, Meta(ge=0, le=3_600_000)]


class Knobs(Struct, frozen=True, forbid_unknown_fields=True):
    """How the demo should behave. `tokens` is the length of an answer, `chunk_bytes` the text in one stream event."""

    latency_ms: Milliseconds = 0
    chunk_gap_ms: Milliseconds = 0
    tokens: Annotated[int, Meta(ge=1, le=MOST_TOKENS)] | None = None
    chunk_bytes: Annotated[int, Meta(ge=1)] | None = None
    status: Annotated[int, Meta(ge=400, le=599)] | None = None
    fail_after_chunks: Annotated[int, Meta(ge=0)] | None = None
    hang: bool = False
    tool: str | None = None


def read_knobs(field: object, option: str | None) -> Knobs:
    """The knobs of a request: those of the header, those of the body on top. Raises InvalidRequest naming what is wrong."""
    wanted = {**_object(_decoded(option)), **_object(field)}
    for name in wanted.keys() - set(Knobs.__struct_fields__):
        hint = did_you_mean(name, Knobs.__struct_fields__)
        raise InvalidRequest(f"unknown `demo.{name}`{hint}", param=f"demo.{name}")
    try:
        return msgspec.convert(wanted, Knobs)
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at `$.")
        name = where.rstrip("`")
        raise InvalidRequest(f"`demo.{name}`: {what[0].lower()}{what[1:]}", param=f"demo.{name}") from None


def _decoded(option: str | None) -> object:
    try:
        return msgspec.json.decode(option) if option else None
    except (msgspec.DecodeError, RecursionError):
        return option


def _object(value: object) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InvalidRequest('`demo` must be an object such as {"latency_ms": 50}', param="demo")
    return cast("dict[str, Any]", value)
