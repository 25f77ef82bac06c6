"""A request body that is sent on as it comes, and of which no more is held than must be."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Protocol

from headgate.errors import BodyTooLarge, HookFailed
from headgate.forms import Field, FormEdit, FormReader, content_type_of, field_of
from headgate.upstream import Pieces

Pull = Callable[[], Awaitable[bytes]]
"""The next of the client's body, no bytes at its end. Raises a RequestError when it is too large, or stalls."""
Hold = Callable[[int], None]
"""Told how many bytes more are held, or with a negative number fewer."""

MODEL = "model"
SMALL_BYTES = 64 * 1024
"""A body up to this size is read whole."""
_SPENT = "the body of this request is gone: it cannot be sent a second time"


class Edit(Protocol):
    """What changes a form on its way."""

    def feed(self, data: bytes) -> bytes:
        """What goes on of `data`. Raises InvalidRequest."""
        ...

    def end(self) -> None:
        """The body has ended; InvalidRequest when the form has not."""
        ...


class Upload:
    """The body of one request on its way through. `boundary` is that of a form, None for bytes of any kind.

    `length` is what the client said. What is read to find a form's model is kept, so that the body can go out again and
    elsewhere, until more than that is taken from the client: from then on the upload `is_spent`. `model` is what the form
    says as far as it was read.
    """

    def __init__(self, pull: Pull, hold: Hold, content_type: bytes, length: int | None, boundary: bytes | None) -> None:
        self.content_type = content_type if boundary is None else content_type_of(boundary)
        self.length = length
        self.boundary = boundary
        self.model = ""
        self.is_whole = False
        self.is_spent = False
        self._pull = pull
        self._hold = hold
        self._kept: list[bytes] = []
        self._field: Field | None = None

    async def find_model(self, limit_bytes: int) -> bool:
        """Read until the form says its model; False when it has not within `limit_bytes`. Raises InvalidRequest, as `Pull`.

        What is small, or has come to its end, is read whole: it can go out again.
        """
        reader = FormReader(self.boundary or b"", (MODEL,))
        is_small = self.length is not None and self.length <= SMALL_BYTES
        size = 0
        while (size < limit_bytes and self._field is None) or is_small or reader.is_closed:
            piece = await self._pull()
            if not piece:
                reader.end()
                self.is_whole = True
                break
            size += len(piece)
            self._hold(len(piece))
            self._kept.append(piece)
            self._field = next((part for part in reader.feed(piece) if isinstance(part, Field)), self._field)
        self.model = self._field.value if self._field is not None else ""
        return self._field is not None or self.is_whole

    async def read(self, limit_bytes: int) -> bytes:
        """The whole body, which is kept and can still go out again.

        Raises BodyTooLarge over `limit_bytes`, HookFailed when the body has gone before, and as `Pull`.
        """
        if self.is_spent:
            raise HookFailed(_SPENT, code="body_spent")
        size = sum(map(len, self._kept))
        while not self.is_whole:
            piece = await self._pull()
            size += len(piece)
            if size > limit_bytes:
                raise BodyTooLarge(f"the body is larger than the {limit_bytes} bytes that this provider's can be")
            self.is_whole = not piece
            if piece:
                self._hold(len(piece))
                self._kept.append(piece)
        return b"".join(self._kept)

    def outgoing(self, values: Mapping[str, str]) -> Pieces:
        """What goes to a provider, with these values in the fields of a form. HookFailed when it has gone before."""
        if self.is_spent:
            raise HookFailed(_SPENT, code="body_spent")
        edit = FormEdit(self.boundary, values) if self.boundary is not None and values else None
        return Pieces(_Outgoing(self, edit), self._length_with(values))

    def edited(self, edit: Edit) -> Pieces:
        """What goes to a provider as `edit` changes it. HookFailed when it has gone before."""
        if self.is_spent:
            raise HookFailed(_SPENT, code="body_spent")
        return Pieces(_Outgoing(self, edit))

    async def keep(self) -> bytes:
        """The next piece from the client, which is kept; no bytes at the end. HookFailed when it has gone, and as `Pull`."""
        if self.is_spent:
            raise HookFailed(_SPENT, code="body_spent")
        piece = b"" if self.is_whole else await self._pull()
        self.is_whole = not piece
        if piece:
            self._hold(len(piece))
            self._kept.append(piece)
        return piece

    def _length_with(self, values: Mapping[str, str]) -> int | None:
        """How long the body will be with these values, where that can be known before it is all here."""
        if self.boundary is None or not values:
            return self.length
        if self.is_whole:
            edit = FormEdit(self.boundary, values)
            return sum(len(edit.feed(piece)) for piece in self._kept)
        if self.length is None or self._field is None or list(values) != [MODEL]:
            return None
        return self.length + len(field_of(MODEL, values[MODEL])) - len(self._field.raw)

    def close(self) -> None:
        """The exchange is over: nothing is kept or taken any more."""
        self.is_spent = True
        self._kept = []
        self._hold = _nothing

    def kept(self, at: int) -> bytes | None:
        """The piece of this number among those that are kept."""
        return self._kept[at] if at < len(self._kept) else None

    async def take(self) -> bytes:
        """The next of the body from the client, which nobody can be given again."""
        if self.is_whole:
            return b""
        if not self.is_spent:
            self.is_spent = True
            self._hold(-sum(map(len, self._kept)))
            self._kept = []
        piece = await self._pull()
        self.is_whole = not piece
        return piece


def _nothing(_: int) -> None:
    """Nobody counts any more."""


class _Outgoing:
    """One way of an upload to a provider: first what is kept of it, then the rest as it comes."""

    def __init__(self, upload: Upload, edit: Edit | None) -> None:
        self._upload = upload
        self._edit = edit
        self._at = 0
        self._is_ahead = False

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        while True:
            piece = await self._next()
            if not piece:
                if self._edit is not None:
                    self._edit.end()
                raise StopAsyncIteration
            changed = piece if self._edit is None else self._edit.feed(piece)
            if changed:
                return changed

    async def _next(self) -> bytes:
        """The next of the body as the client sent it. HookFailed when another has taken it."""
        upload = self._upload
        if not self._is_ahead:
            piece = upload.kept(self._at)
            if piece is not None:
                self._at += 1
                return piece
            if upload.is_spent:
                raise HookFailed(_SPENT, code="body_spent")
            self._is_ahead = not upload.is_whole
        return await upload.take()
