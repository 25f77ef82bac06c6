"""Forms of OpenAI's clients for vendors that take JSON, or forms with other fields: they are read whole, and told anew."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterable, Mapping
from typing import Any, ClassVar

from msgspec import Struct, structs
from typing_extensions import override

from headgate.body import decode_object
from headgate.dialects import Gaps
from headgate.errors import InvalidRequest, ProviderError
from headgate.exchange import Exchange, RawHeaders, Reply
from headgate.forms import Part, content_type_of, form_of, parts_of
from headgate.relay import Decode, OwnedStream, discard, relay, retell
from headgate.upload import Upload
from headgate_compatible.provider import Compatible

MAX_BYTES = 32 * 1024 * 1024
"""How large a form may be that is read whole to be sent as JSON."""
_EVENTS = b"text/event-stream"
_FORMAT = "response_format"


class Told(Struct, frozen=True):
    """A form in a vendor's words where these are more than a body: headers beside it, and how this answer is told.

    `events` tells the events of a stream, which is given as whole events, where `decode` tells what comes in the place of one;
    without both an answer passes as it comes.
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
    bare: ClassVar[frozenset[str]] = frozenset()
    """Operations of them whose answers are `{"text": …}`, so that a client who asks for the text alone can have it."""

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
        parts = list(parts_of(await upload.read(MAX_BYTES), upload.boundary or b""))
        is_bare = ex.operation.name in self.bare and any(_is_bare(part) for part in parts)
        parts = [part for part in parts if not (is_bare and part.name == _FORMAT)]
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
        if told.decode is not None and told.events is None:
            reply = await retell(ex, self.engine_for(ex), request, self._origin, told.decode)
            return _bared(reply) if is_bare else reply
        reply = await relay(ex, self.upstream, request, self._origin)
        if told.events is None or reply.status != 200:
            return _bared(reply) if is_bare else reply
        source = Reply(reply.status, chunks=reply.chunks)
        if told.decode is not None and not _is_stream(reply):
            return await self._no_stream(reply, source, told.decode)
        if reply.chunks is not None:
            reply.chunks = OwnedStream(told.events(reply.chunks), lambda: discard(source))
        return reply

    async def _no_stream(self, reply: Reply, source: Reply, decode: Decode) -> Reply:
        """What came in the place of a stream. Raises ProviderError."""
        try:
            pieces = [reply.body] if reply.chunks is None else [chunk async for chunk in reply.chunks]
            return decode(reply.headers, b"".join(pieces))
        except ProviderError as error:
            error.blame(self._origin.provider, self._origin.deployment)
            raise
        finally:
            await discard(source)


def _is_bare(part: Part) -> bool:
    return part.name == _FORMAT and part.content == b"text"


def _bared(reply: Reply) -> Reply:
    """A good answer's text alone; any other answer as it is."""
    try:
        text = decode_object(reply.body).get("text") if reply.status == 200 else None
    except InvalidRequest:
        text = None
    if isinstance(text, str):
        headers = tuple(pair for pair in reply.headers if pair[0] != b"content-type")
        reply.headers, reply.body = (*headers, (b"content-type", b"text/plain; charset=utf-8")), text.encode()
    return reply


def _is_stream(reply: Reply) -> bool:
    return any(name == b"content-type" and value.lower().startswith(_EVENTS) for name, value in reply.headers)


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
