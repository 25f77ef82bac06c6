"""Request bodies that are sent on as they come: which ones they are, and what of them the gateway takes and holds."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from headgate.config import Limits
from headgate.errors import BodyTimeout, BodyTooLarge, InvalidRequest, Overloaded
from headgate.exchange import Exchange
from headgate.folds import bounded
from headgate.forms import boundary_of
from headgate.gateway import Gateway
from headgate.upload import SMALL_BYTES, Upload

IN_TRANSIT_BYTES = 128 * 1024
"""What may be on its way between the two connections of an upload, and is held all the while."""
_JSON = b"application/json"
_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})


def is_sent_on(ex: Exchange) -> bool:
    """Whether the body of this request is not read whole."""
    operation = ex.operation
    if operation.is_form:
        return not ex.headers.get(b"content-type", b"").lower().startswith(_JSON)
    if not operation.is_streamed or ex.scope_method not in _WITH_BODY:
        return False
    declared = ex.headers.get(b"content-length")
    return declared is None or int(declared) > SMALL_BYTES


class Inflow:
    """The body of one request, from the client's connection. Each piece must come in time, and all together fit the limit."""

    def __init__(
        self,
        gateway: Gateway,
        limits: Limits,
        limit_bytes: int,
        ex: Exchange,
        receive: Callable[[], Awaitable[Any]],
        gone: Callable[[], None],
    ) -> None:
        self._gateway = gateway
        self._limits = limits
        self._limit_bytes = limit_bytes
        self._ex = ex
        self._receive = receive
        self._gone = gone
        self._is_over = False

    async def open(self) -> Upload:
        """The body as an Upload. Of a form so much is read that its model is known, unless a header names it."""
        ex = self._ex
        declared = ex.headers.get(b"content-length")
        length = int(declared) if declared is not None else None
        if length is not None and length > self._limit_bytes:
            raise too_large(ex, self._limit_bytes)
        self.hold(IN_TRANSIT_BYTES)
        content_type = ex.headers.get(b"content-type", b"")
        boundary = boundary_of(content_type) if ex.operation.is_form else None
        upload = Upload(self.pull, self.hold, content_type, length, boundary)
        if boundary is not None and not ex.option("model"):
            limit = self._limits.form_bytes
            if not await upload.find_model(limit) and not _is_routed(ex):
                raise InvalidRequest(
                    f"`model` is not in the first {limit} bytes of the form: put it before the file, or name it in the "
                    "header `x-headgate-model`",
                    param="model",
                    code="missing_model",
                )
        return upload

    async def pull(self) -> bytes:
        """The next piece, no bytes at the end. Raises BodyTimeout and BodyTooLarge; a client that left ends the exchange."""
        while not self._is_over:
            try:
                message = await bounded(self._receive(), self._limits.body_stall_s)
            except TimeoutError:
                raise BodyTimeout(f"the body stalled for {self._limits.body_stall_s:g} s") from None
            if message["type"] == "http.disconnect":
                self._gone()
                await asyncio.get_running_loop().create_future()  # until whoever waits here is cancelled
            piece: bytes = message.get("body", b"")
            self._is_over = not message.get("more_body")
            self._ex.request_bytes += len(piece)
            if self._ex.request_bytes > self._limit_bytes:
                raise too_large(self._ex, self._limit_bytes)
            if piece:
                return piece
        return b""

    def hold(self, size: int) -> None:
        """Count what is held. Overloaded when that is more than the gateway holds for all requests together."""
        self._ex.held_bytes += size
        self._gateway.body_bytes += size
        if size > 0 and self._gateway.body_bytes > self._limits.inflight_bytes:
            raise too_many_bodies()


def _is_routed(ex: Exchange) -> bool:
    """Whether a header says where the request goes, so that it can do without a model."""
    return any(ex.option(name) for name in ("provider", "virtual-key", "config"))


def too_large(ex: Exchange, limit_bytes: int) -> BodyTooLarge:
    """The refusal of a body over its limit."""
    return BodyTooLarge(f"the body is larger than the {limit_bytes} bytes that `{ex.operation.name}` takes")


def too_many_bodies() -> Overloaded:
    """The refusal of a body that there is no room for."""
    return Overloaded("the gateway holds too many request bodies; try again shortly", retry_after_s=1)
