"""Carrying out what a client asks of jobs, batches or fine-tuning, and of files, at a vendor whose API for them is its own."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import AsyncGenerator, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote

import msgspec
from msgspec.structs import replace

from headgate.body import decode_object
from headgate.dialects import Gaps
from headgate.dialects.files import FileDialect
from headgate.dialects.jobs import Asked, KeptDialect, VendorCall, as_object, asked_for
from headgate.dialects.lines import LineFramer
from headgate.errors import InvalidRequest, ProviderError, ProviderFailed, RequestError
from headgate.exchange import Attempt, Exchange, RawHeaders, Reply
from headgate.files import OCTETS, FileForm, download
from headgate.forms import content_type_of, form_of
from headgate.relay import OwnedStream, Secrets, passed_headers, relayed_error, scrub
from headgate.upstream import UpstreamResponse

if TYPE_CHECKING:
    from headgate.provider import Provider

MAX_CALLS = 50
"""How many pages of a vendor's list are read to find the one that a client asks for."""
_JSON = (b"content-type", b"application/json")


async def carry_out(ex: Exchange, provider: Provider) -> Reply:
    """Carry out the current attempt in the calls that its dialect says, and answer in OpenAI's shape.

    An error status ends it and is relayed as any other. Raises a RequestError for what the vendor cannot be asked, ProviderError.
    """
    attempt = ex.attempt
    if attempt is None or not isinstance(attempt.dialect, KeptDialect):
        raise ProviderFailed("an attempt without a dialect cannot be translated")
    return await _Carrying(ex, attempt, provider, attempt.dialect).run()


class _Carrying:
    """One thing that is asked, and the calls that it takes."""

    def __init__(self, ex: Exchange, attempt: Attempt, provider: Provider, dialect: KeptDialect) -> None:
        self._ex = ex
        self._attempt = attempt
        self._provider = provider
        self._dialect = dialect
        self._gaps = Gaps(provider.name, provider.policy(ex), dialect=dialect.name)
        self._form: FileForm | None = None

    async def run(self) -> Reply:
        """Make the calls. See `carry_out`."""
        ex, dialect = self._ex, self._dialect
        asked = await self._provider.complete_asked(ex, await self._asked(), self._gaps)
        first = call = dialect.encode_call(asked, self._gaps)
        self._ex.tell_dropped(self._gaps.dropped)
        said: list[Any] = []
        headers: RawHeaders = ()
        secrets: Secrets = ()
        while call is not None:
            if len(said) == MAX_CALLS:
                raise InvalidRequest(
                    f"what is asked for ends more than {MAX_CALLS} pages down the provider's list", param="after"
                )
            if call.has_lines:
                return await self._lines(call, asked, said)
            try:
                status, heads, body = await self._send(call, asked, first)
                answer = _decoded(body) if 200 <= status < 300 else None
            except RequestError:
                await self._undo(asked, said)
                raise
            secrets = self._provider.secrets_of(ex)
            headers = passed_headers(heads, secrets)
            if not 200 <= status < 300:
                await self._undo(asked, said)
                return relayed_error(ex, status, headers, body, secrets, is_retold=True)
            refusal = dialect.refusal_in(answer)
            if refusal is not None:
                await self._undo(asked, said)
                return relayed_error(ex, refusal[0], headers, refusal[1], secrets)
            said.append(answer)
            if call.file and self._form is not None:
                asked = replace(asked, body={**asked.body, **self._form.sent})
            call = dialect.following(asked, said)
        if asked.action == "content":
            return await self._content(asked, said, secrets)
        try:
            told = scrub(msgspec.json.encode(dialect.decode_answer(asked, said)), secrets)
        except RequestError:
            await self._undo(asked, said)
            raise
        return Reply(200, (*(pair for pair in headers if pair[0] != _JSON[0]), _JSON), told)

    async def _asked(self) -> Asked:
        """What the client asks; of a file that is uploaded what its form says so far."""
        ex, dialect = self._ex, self._dialect
        is_file = isinstance(dialect, FileDialect)
        asked = _asked_of(ex, self._attempt, {} if is_file else _body_of(ex, self._attempt))
        if asked.action != "create":
            return asked
        asked = replace(asked, id=uuid.uuid4().hex)
        if not isinstance(dialect, FileDialect):
            return asked
        self._form = FileForm(ex, dialect)
        return replace(asked, body=await self._form.read(dialect.most_bytes))

    async def _send(self, call: VendorCall, asked: Asked, first: VendorCall) -> tuple[int, RawHeaders, bytes]:
        response = await self._open(call, asked, first)
        try:
            return response.status, response.headers, await response.read()
        finally:
            response.close()

    async def _open(self, call: VendorCall, asked: Asked, first: VendorCall) -> UpstreamResponse:
        ex, provider, form = self._ex, self._provider, self._form
        self._attempt.body = b"" if call.body is None else msgspec.json.encode(call.body)
        request = provider.prepare(ex)
        headers = (
            *(pair for pair in request.headers if pair[0] != _JSON[0]),
            *((_JSON,) if self._attempt.body else ()),
        )
        request = replace(request, method=call.method, url=provider.url_at(ex, call.target), headers=headers)
        if call.form:
            boundary = uuid.uuid4().hex.encode()
            headers = (*headers, (b"content-type", content_type_of(boundary)))
            request = replace(request, headers=headers, body=form_of(call.form, boundary))
        elif call.file and form is not None:
            request = form.put_into(request, call, lambda said: self._check(asked, said, first))
        return await provider.upstream.send(await provider.authorize(request))

    def _check(self, asked: Asked, said: dict[str, Any], first: VendorCall) -> None:
        """InvalidRequest when a whole form says something else than it did as far as its file, for the calls are made."""
        call = self._dialect.encode_call(replace(asked, body=said), self._gaps)
        self._ex.tell_dropped(self._gaps.dropped)
        if call != first:
            raise InvalidRequest("put all fields of the form before `file`: what stands behind it came too late")

    async def _undo(self, asked: Asked, said: Sequence[Any]) -> None:
        call = self._dialect.undoing(asked, said)
        if call is not None:
            with contextlib.suppress(ProviderError):
                await self._send(call, asked, call)

    async def _content(self, asked: Asked, said: Sequence[Any], secrets: Secrets) -> Reply:
        dialect, page = self._dialect, as_object(said[-1])
        if isinstance(dialect, FileDialect):
            urls = dialect.urls_in(page, asked)
            return await download(self._provider.upstream, self._provider.prepare(self._ex), urls)
        first = dialect.lines_in(page, asked)
        return Reply(200, (OCTETS,), chunks=self._pages(first, page, asked, secrets), form="bytes")

    async def _lines(self, call: VendorCall, asked: Asked, before: Sequence[Any]) -> Reply:
        """The content of a file that the vendor tells in lines."""
        response = await self._open(call, asked, call)
        secrets = self._provider.secrets_of(self._ex)
        if 200 <= response.status < 300:
            told = self._told(response, asked, before, secrets)
            return Reply(200, (OCTETS,), chunks=OwnedStream(told, response.close), form="bytes")
        try:
            body = await response.read()
        finally:
            response.close()
        headers = passed_headers(response.headers, secrets)
        return relayed_error(self._ex, response.status, headers, body, secrets, is_retold=True)

    async def _told(
        self, response: UpstreamResponse, asked: Asked, before: Sequence[Any], secrets: Secrets
    ) -> AsyncGenerator[bytes, None]:
        """The lines as they come. Raises ProviderError where they break off."""
        framer = LineFramer()
        try:
            async for data in response.chunks():
                lines = framer.feed(data)
                if lines:
                    yield self._retold(lines, asked, before, secrets)
            yield self._retold(framer.end(), asked, before, secrets)
        finally:
            response.close()

    def _retold(self, lines: Sequence[bytes], asked: Asked, before: Sequence[Any], secrets: Secrets) -> bytes:
        told = (self._dialect.decode_line(line, asked, before) for line in lines)
        return scrub(msgspec.json.Encoder().encode_lines([line for line in told if line is not None]), secrets)

    async def _pages(
        self, lines: Sequence[dict[str, Any]], page: dict[str, Any], asked: Asked, secrets: Secrets
    ) -> AsyncGenerator[bytes, None]:
        """The lines of one page after the other, each of which is asked for when the one before it is gone."""
        while True:
            yield scrub(msgspec.json.Encoder().encode_lines(lines), secrets)
            call = self._dialect.next_lines(page, asked)
            if call is None:
                return
            status, _, body = await self._send(call, asked, call)
            if not 200 <= status < 300:
                raise ProviderFailed(f"the provider answered with status {status}", code="upstream_bad_reply")
            page = as_object(_decoded(body))
            lines = self._dialect.lines_in(page, asked)


def _body_of(ex: Exchange, attempt: Attempt) -> dict[str, Any]:
    """The JSON body, with the model and the overrides of the target. A model may be named with its deployment."""
    body = decode_object(ex.body_for(attempt.model, attempt.target.override_params)) if ex.body else {}
    model, prefix = body.get("model"), f"{attempt.target.deployment}/"
    if isinstance(model, str) and model.startswith(prefix):
        body["model"] = model.removeprefix(prefix)
    return body


def _asked_of(ex: Exchange, attempt: Attempt, body: dict[str, Any]) -> Asked:
    """What method and path ask. Raises InvalidRequest where they mean nothing."""
    below = ex.path.removeprefix(ex.operation.path).strip("/")
    query = {name: value for name, value in parse_qsl(ex.query.decode("latin-1")) if name != "key"}
    parts = [unquote(part) for part in below.split("/")] if below else []
    kept = attempt.dialect
    collection = kept.collection if isinstance(kept, KeptDialect) else ""
    asked = asked_for(ex.scope_method, parts, query, body, collection)
    if asked is None:
        raise InvalidRequest(
            f"`{ex.scope_method} {ex.path}` means nothing to `{attempt.provider.name}`", code="unsupported_operation"
        )
    return asked


def _decoded(body: bytes) -> Any:
    """The JSON of an answer; an empty object where it says nothing. Raises ProviderFailed."""
    try:
        return msgspec.json.decode(body) if body.strip() else {}
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise ProviderFailed("the provider answered with no JSON", code="upstream_bad_reply") from None
