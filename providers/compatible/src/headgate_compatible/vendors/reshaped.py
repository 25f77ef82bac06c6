"""Operations that vendors have in shapes of their own, so near to OpenAI's that a body and an answer are told in other words."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from typing import Any, ClassVar

from msgspec import Struct
from typing_extensions import override

from headgate.dialects import Gaps
from headgate.exchange import Exchange, RawHeaders, Reply
from headgate.provider import operation_of
from headgate.relay import retell
from headgate_compatible.provider import Compatible


class Shape(Struct, frozen=True):
    """How a vendor has an operation: a client's body in its words, and its good answer as OpenAI's clients read it.

    `decode` is given the headers, the body and what was sent; without it an answer passes as it comes.
    """

    encode: Callable[[bytes, Gaps], bytes]
    decode: Callable[[RawHeaders, bytes, bytes], Reply] | None = None


def as_it_is(body: bytes, _gaps: Gaps) -> bytes:
    """What is asked, where that is OpenAI's."""
    return body


class Reshaped(Compatible):
    """A vendor that has some operations in shapes of its own: `shapes`, by operation."""

    shapes: ClassVar[Mapping[str, Shape]] = {}

    def shape_of(self, ex: Exchange) -> Shape | None:
        """How this call is told; None for one that passes as it is."""
        return self.shapes.get(operation_of(ex))

    @override
    def body_for(self, ex: Exchange) -> bytes:
        body = super().body_for(ex)
        shape = self.shape_of(ex)
        if shape is None:
            return body
        gaps = Gaps(self.name, self.policy(ex))
        body = shape.encode(body, gaps)
        ex.tell_dropped(gaps.dropped)
        return body

    @override
    def call(self, ex: Exchange) -> Coroutine[Any, Any, Reply]:
        shape = self.shape_of(ex)
        if shape is None or shape.decode is None:
            return super().call(ex)
        request = self.prepare(ex)
        return retell(ex, self.engine_for(ex), request, self._origin, partial(_told, shape.decode, request.body))


def _told(decode: Callable[[RawHeaders, bytes, bytes], Reply], sent: bytes, headers: RawHeaders, body: bytes) -> Reply:
    return decode(headers, body, sent)
