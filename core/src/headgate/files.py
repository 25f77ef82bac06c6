"""Files of OpenAI's clients on their way to a vendor that keeps datasets, and the content of those on its way back.

Nothing of a large file is held: its form becomes the vendor's while it passes, and content comes as its storage sends it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import msgspec
from msgspec.structs import replace

from headgate.dialects.files import FILE, FileDialect
from headgate.dialects.jobs import VendorCall
from headgate.errors import BodyTooLarge, InvalidRequest, ProviderFailed
from headgate.exchange import Exchange, RawHeaders, Reply
from headgate.forms import (
    Close,
    Field,
    FormReader,
    Head,
    Piece,
    boundary_of,
    content_type_of,
    filename_of,
    type_of,
    with_names,
)
from headgate.relay import OwnedStream
from headgate.upstream import Tls, Upstream, UpstreamRequest, UpstreamResponse, origin_of

Json = dict[str, Any]
Check = Callable[[Json], None]

FIELDS_BYTES = 256 * 1024
"""How far into a form its file must begin."""
_USUAL_NAME = "file.jsonl"
_NO_FIELDS: Mapping[str, str] = MappingProxyType({})
_FIELD = b'%b\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n'
_RELATED = b"%b\r\nContent-Type: application/json; charset=utf-8\r\n\r\n%b\r\n%b\r\nContent-Type: %b\r\n\r\n"
OCTETS = (b"content-type", b"application/octet-stream")
"""What the content of a file is where nobody says more."""


class FileEdit:
    """A form on its way of which the file alone goes on, in the part `part` behind other `fields`, or behind the JSON `about`
    where there is some; without a form around it where it `is_bare`. `said` is what the rest says, by field, `kind` what the
    file is.

    `check` is told that once the form has ended; what it raises comes before the provider has a whole form.
    """

    def __init__(
        self,
        boundary: bytes,
        names: Sequence[str],
        part: str = FILE,
        check: Check | None = None,
        about: bytes = b"",
        fields: Mapping[str, str] = _NO_FIELDS,
        *,
        is_bare: bool = False,
    ) -> None:
        self.said: Json = {}
        self.kind = b""
        self.size = 0
        self.is_closed = False
        self._reader = FormReader(boundary, names, tells_heads=True)
        self._dash = b"--" + boundary
        self._part = part
        self._check = check
        self._about = about
        self._before = b"".join(_FIELD % (self._dash, name.encode(), value.encode()) for name, value in fields.items())
        self._is_bare = is_bare
        self._is_in_file = False

    @property
    def has_file(self) -> bool:
        """Whether the file has begun."""
        return FILE in self.said

    def feed(self, data: bytes) -> bytes:
        """What goes on of `data`. Raises InvalidRequest for what is no form, or holds more than one file."""
        return b"".join([self._changed(piece) for piece in self._reader.feed(data)])

    def end(self) -> None:
        """The body has ended; InvalidRequest when the form has not."""
        self._reader.end()

    def _changed(self, piece: Piece) -> bytes:
        match piece:
            case Field():
                self.said[piece.name] = piece.value
            case Head():
                return self._begin(piece)
            case Close():
                return self._close()
            case _ if self._is_in_file and piece != b"\r\n%b\r\n" % self._dash:
                self.size += len(piece)
                return piece
            case _:
                self._is_in_file = False
        return b""

    def _begin(self, head: Head) -> bytes:
        if head.name in self.said:
            raise InvalidRequest(f"`{head.name}` stands more than once in the form", param=head.name)
        if head.name != FILE:
            self.said[head.name] = True
            return b""
        self._is_in_file = True
        name = self.said[FILE] = filename_of(head.raw) or _USUAL_NAME
        self.kind = type_of(head.raw, name)
        if self._is_bare:
            return b""
        if not self._about:
            return self._before + self._dash + b"\r\n" + with_names(head.raw, self._part, name)
        return _RELATED % (self._dash, self._about, self._dash, self.kind)

    def _close(self) -> bytes:
        self._is_in_file, self.is_closed = False, True
        if not self.has_file:
            raise InvalidRequest("the form has no `file`", param=FILE, code="missing_file")
        if self._check is not None:
            self._check(self.said)
        return b"" if self._is_bare else b"\r\n" + self._dash + b"--\r\n"


class FileForm:
    """The form of a client that uploads a file, small and here already, or on its way."""

    def __init__(self, ex: Exchange, dialect: FileDialect) -> None:
        self._boundary = boundary_of(ex.headers.get(b"content-type", b""))
        self._upload = ex.upload
        self._body = ex.body
        self._names = ("purpose", *dialect.fields)
        self._assumed = dialect.assumed
        self._reads_whole = dialect.reads_whole
        self._edit: FileEdit | None = None

    @property
    def sent(self) -> Json:
        """What the whole form said that was sent last, and how many `bytes` its file had."""
        edit = self._edit
        return {} if edit is None else {**edit.said, "bytes": edit.size}

    async def read(self, most_bytes: int | None) -> Json:
        """What the form says as far as its file, which is all that is read of a large one.

        Raises InvalidRequest, BodyTooLarge for a form of more than `most_bytes`, and as `Upload.keep`.
        """
        edit, upload = FileEdit(self._boundary, self._names), self._upload
        length = upload.length if upload is not None else len(self._body)
        if most_bytes is not None and length is not None and length > most_bytes:
            raise BodyTooLarge(f"the provider takes files of at most {most_bytes} bytes in this way")
        if upload is not None and self._reads_whole and most_bytes is not None:
            self._body, self._upload, upload = await upload.read(most_bytes), None, None
        if upload is None:
            edit.feed(self._body)
            edit.end()
            return edit.said
        at = size = 0
        while not edit.has_file:
            piece = upload.kept(at) or await upload.keep()
            if not piece:
                edit.end()
            at, size = at + 1, size + len(piece)
            edit.feed(piece)
            if size > FIELDS_BYTES and not edit.has_file:
                raise InvalidRequest(f"`file` does not begin in the first {FIELDS_BYTES} bytes of the form", param=FILE)
        return edit.said if edit.is_closed else {"purpose": self._assumed, **edit.said}

    def put_into(self, request: UpstreamRequest, call: VendorCall, check: Check) -> UpstreamRequest:
        """`request`, which has no body yet, with the file as `call` wants it. `check` is told what the whole form says."""
        about = msgspec.json.encode(call.about) if call.about is not None else b""
        is_bare = bool(call.named)
        edit = self._edit = FileEdit(self._boundary, self._names, call.file, check, about, call.fields, is_bare=is_bare)
        kind = content_type_of(self._boundary, b"related" if about else b"form-data")
        if self._upload is not None:
            if is_bare:
                raise ProviderFailed("a file can only be a body of its own when its form has been read")
            headers = (*request.headers, (b"content-type", kind))
            return replace(request, headers=headers, pieces=self._upload.edited(edit))
        body = edit.feed(self._body)
        edit.end()
        said = ((b"content-type", edit.kind), (b"content-disposition", call.named.encode()))
        return replace(
            request, headers=(*request.headers, *(said if is_bare else ((b"content-type", kind),))), body=body
        )


async def download(upstream: Upstream, request: UpstreamRequest, urls: Sequence[str]) -> Reply:
    """What stands at `urls`, one behind the other, as it comes. Raises ProviderError.

    `request` is one to the vendor, whose limits hold here too. Its credential, headers and certificate stay with the vendor.
    """
    asked = [replace(request, method="GET", url=url, headers=(), body=b"", credential=None, tls=Tls()) for url in urls]
    first = await _open(upstream, asked[0])
    headers: RawHeaders = tuple(pair for pair in first.headers if pair[0] == OCTETS[0]) or (OCTETS,)
    content = _Content(upstream, first, asked[1:])
    return Reply(200, headers, chunks=OwnedStream(content.chunks(), content.close), form="bytes")


class _Content:
    """Several answers that are one file. The one that is open is closed with it."""

    def __init__(self, upstream: Upstream, first: UpstreamResponse, others: Sequence[UpstreamRequest]) -> None:
        self._upstream = upstream
        self._open = first
        self._others = others

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """All of it. Raises ProviderError."""
        try:
            async for piece in self._open.chunks():
                yield piece
            for request in self._others:
                self._open.close()
                self._open = await _open(self._upstream, request)
                async for piece in self._open.chunks():
                    yield piece
        finally:
            self.close()

    def close(self) -> None:
        """Give it up."""
        self._open.close()


async def _open(upstream: Upstream, request: UpstreamRequest) -> UpstreamResponse:
    try:
        origin_of(request.url)
    except ValueError:
        raise ProviderFailed("the provider named no address for the content", code="upstream_bad_reply") from None
    response = await upstream.send(request)
    if response.status != 200:
        response.close()
        raise ProviderFailed(
            f"the provider's storage answered with status {response.status}", code="upstream_bad_reply"
        )
    return response
