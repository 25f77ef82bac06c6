"""Forms of OpenAI's clients for vendors that take JSON, or forms with other fields: they are read whole, and told anew."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterable, Mapping
from typing import Any, ClassVar

from msgspec import Struct, structs
from typing_extensions import override

from headgate.dialects import Gaps
from headgate.errors import InvalidRequest
from headgate.exchange import Exchange, RawHeaders, Reply
from headgate.forms import Part, content_type_of, form_of, parts_of
from headgate.relay import Decode, OwnedStream, discard, relay, retell
from headgate.upload import Upload
from headgate_compatible.provider import Compatible

MAX_BYTES = 32 * 1024 * 1024
"""How large a form may be that is read whole to be sent as JSON."""


class Told(Struct, frozen=True):
    """A form in a vendor's words where these are more than a body: headers beside it, and how this answer is told.

    `events` tells the events of a stream, which is given as whole events; without it and `decode` an answer passes as it comes.
    """

    body: bytes | list[Part]
    headers: RawHeaders = ()
    decode: Decode | None = None
    events: Callable[[AsyncIterator[bytes]], AsyncGenerator[bytes, None]] | None = None


Encode = Callable[[Iterable[Part], Mapping[str, Any], Gaps], "bytes | list[Part] | Told"]
"""A form as a vendor's JSON or the parts of its form, the mapping's values in the place of its own. Gaps are told of what the
vendor has not."""


class JsonForms(Compatible):
    """A vendor that takes other forms than OpenAI's, or none, for some operations; `forms` says by operation how one is told."""

    forms: ClassVar[Mapping[str, Encode]] = {}
    answers: ClassVar[Mapping[str, Decode]] = {}
    """How a good answer to one of them is told, by operation; others pass as they come."""

    @override
    def fields_for(self, ex: Exchange) -> Mapping[str, str]:
        return {} if ex.operation.name in self.forms else super().fields_for(ex)

    @override
    def call(self, ex: Exchange) -> Coroutine[Any, Any, Reply]:
        encode = self.forms.get(ex.operation.name)
        return super().call(ex) if encode is None or ex.upload is None else self._told(ex, ex.upload, encode)

    async def _told(self, ex: Exchange, upload: Upload, encode: Encode) -> Reply:
        """Send a form as the vendor takes it."""
        request = self.prepare(ex)
        gaps = Gaps(self.name, self.policy(ex))
        parts = parts_of(await upload.read(MAX_BYTES), upload.boundary or b"")
        attempt = ex.attempt
        named = {"model": attempt.model} if attempt is not None and attempt.model else {}
        values = {**named, **(attempt.target.override_params if attempt is not None else {})}
        found = encode(parts, values, gaps)
        told = found if isinstance(found, Told) else Told(found, decode=self.answers.get(ex.operation.name))
        boundary = upload.boundary or b""
        kind, body = (
            (b"application/json", told.body)
            if isinstance(told.body, bytes)
            else (content_type_of(boundary), form_of(told.body, boundary))
        )
        ex.tell_dropped(gaps.dropped)
        headers = tuple(pair for pair in request.headers if pair[0] != b"content-type")
        headers = (*headers, *told.headers, (b"content-type", kind))
        request = structs.replace(request, headers=headers, body=body, pieces=None)
        if told.decode is not None:
            return await retell(ex, self.engine_for(ex), request, self._origin, told.decode)
        reply = await relay(ex, self.upstream, request, self._origin)
        if told.events is not None and reply.chunks is not None:
            source = Reply(reply.status, chunks=reply.chunks)
            reply.chunks = OwnedStream(told.events(reply.chunks), lambda: discard(source))
        return reply


def text_of(part: Part) -> str:
    """The value of a field; InvalidRequest where it is no text."""
    try:
        return part.content.decode()
    except UnicodeDecodeError:
        raise InvalidRequest(f"the field `{part.name}` is not valid UTF-8", param=part.name) from None


def kind_of(part: Part, family: str, signatures: Iterable[tuple[bytes, str]]) -> str:
    """The media type of a file: its label if that is one of `family` (`image/`), else as it begins, else empty."""
    label = part.content_type.partition(";")[0].strip().lower()
    if label.startswith(family):
        return label
    return next((name for start, name in signatures if part.content.startswith(start)), "")
