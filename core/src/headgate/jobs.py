"""Carrying out what a client asks of jobs, batches or fine-tuning, at a vendor whose API for them is its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote

import msgspec
from msgspec.structs import replace

from headgate.body import decode_object
from headgate.dialects import Gaps
from headgate.dialects.jobs import Asked, JobDialect, VendorCall, asked_for
from headgate.errors import InvalidRequest, ProviderFailed
from headgate.exchange import Attempt, Exchange, RawHeaders, Reply
from headgate.relay import Secrets, passed_headers, relayed_error, scrub

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
    if attempt is None or not isinstance(attempt.dialect, JobDialect):
        raise ProviderFailed("an attempt without a dialect cannot be translated")
    dialect, asked = attempt.dialect, _asked_of(ex, attempt)
    gaps = Gaps(provider.name, provider.policy(ex), dialect=dialect.name)
    call: VendorCall | None = dialect.encode_call(asked, gaps)
    ex.dropped += [name for name in gaps.dropped if name not in ex.dropped]
    said: list[Any] = []
    headers: RawHeaders = ()
    secrets: Secrets = ()
    while call is not None:
        if len(said) == MAX_CALLS:
            raise InvalidRequest(f"`after` stands more than {MAX_CALLS} pages down the provider's list", param="after")
        status, told, body = await _send(ex, attempt, provider, call)
        secrets = provider.secrets_of(ex)
        headers = passed_headers(told, secrets)
        if not 200 <= status < 300:
            return relayed_error(ex, status, headers, body, secrets)
        said.append(_decoded(body))
        call = dialect.following(asked, said)
    answer = scrub(msgspec.json.encode(dialect.decode_answer(asked, said)), secrets)
    return Reply(200, (*(pair for pair in headers if pair[0] != _JSON[0]), _JSON), answer)


def _asked_of(ex: Exchange, attempt: Attempt) -> Asked:
    """What the client asks, with the model and the overrides of the target. A model may be named with its deployment."""
    body = decode_object(ex.body_for(attempt.model, attempt.target.override_params)) if ex.body else {}
    model, prefix = body.get("model"), f"{attempt.target.deployment}/"
    if isinstance(model, str) and model.startswith(prefix):
        body["model"] = model.removeprefix(prefix)
    below = ex.path.removeprefix(ex.operation.path).strip("/")
    query = {name: value for name, value in parse_qsl(ex.query.decode("latin-1")) if name != "key"}
    asked = asked_for(ex.scope_method, [unquote(part) for part in below.split("/")] if below else [], query, body)
    if asked is None:
        raise InvalidRequest(
            f"`{ex.scope_method} {ex.path}` means nothing to `{attempt.provider.name}`", code="unsupported_operation"
        )
    return asked


async def _send(ex: Exchange, attempt: Attempt, provider: Provider, call: VendorCall) -> tuple[int, RawHeaders, bytes]:
    attempt.body = b"" if call.body is None else msgspec.json.encode(call.body)
    request = provider.prepare(ex)
    headers = (*(pair for pair in request.headers if pair[0] != _JSON[0]), *((_JSON,) if attempt.body else ()))
    request = replace(request, method=call.method, url=provider.url_at(ex, call.target), headers=headers)
    response = await provider.upstream.send(await provider.authorize(request))
    try:
        return response.status, response.headers, await response.read()
    finally:
        response.close()


def _decoded(body: bytes) -> Any:
    """The JSON of an answer; an empty object where it says nothing. Raises ProviderFailed."""
    try:
        return msgspec.json.decode(body) if body.strip() else {}
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise ProviderFailed("the provider answered with no JSON", code="upstream_bad_reply") from None
