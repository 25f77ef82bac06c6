"""How many tokens a chat request is, whoever asks: the vendor is asked where it counts, else it is estimated, and said so.

Clients such as Claude Code count before they send, whatever model stands behind the gateway.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import msgspec
from msgspec.structs import replace

from headgate.body import decode_object
from headgate.chat import ChatRequest
from headgate.counting import count_request
from headgate.dialects import ChatDialect, CountDialect, Gaps
from headgate.dialects.counts import wrapper_in
from headgate.errors import InvalidRequest, ProviderError, ProviderFailed, RequestError
from headgate.exchange import Exchange, RawHeaders, Reply
from headgate.operations import COUNT_TOKENS, GENERATE_COUNT, RESPONSES_COUNT
from headgate.relay import passed_headers
from headgate.translation import error_reply, write

if TYPE_CHECKING:
    from headgate.provider import Provider

ESTIMATE = "estimate"
"""What an attempt is made as when nobody is asked."""
COUNTERS: Mapping[str, str] = {
    COUNT_TOKENS.name: "anthropic.count",
    GENERATE_COUNT.name: "google.count",
    RESPONSES_COUNT.name: "openai.count",
}
"""The dialect in which a vendor that has one of these operations counts for clients of the others."""
_JSON: RawHeaders = ((b"content-type", b"application/json"),)
_TELLING = frozenset({401, 429})
"""Refusals that tell of more than that this vendor does not count this request."""


async def tally(ex: Exchange, provider: Provider) -> Reply:
    """Ask the provider in its own words, and answer in the client's. Where it does not count this request, estimate.

    Raises InvalidRequest for a bad body, ProviderError; an error status is a Reply.
    """
    try:
        return await _asked(ex, provider)
    except ProviderError as error:
        error.blame(provider.name, provider.deployment)
        raise


async def estimate(ex: Exchange) -> Reply:
    """The reply to an operation that counts, marked with `x-headgate-estimated`. Raises InvalidRequest for a bad body."""
    tokens = count_request(_request_of(ex, _client_of(ex)))
    return Reply(200, (*_JSON, (b"x-headgate-estimated", b"true")), _told(ex, tokens))


async def _asked(ex: Exchange, provider: Provider) -> Reply:
    attempt, client = ex.attempt, _client_of(ex)
    if attempt is None or not isinstance(attempt.dialect, CountDialect):
        raise ProviderFailed("an attempt without a dialect cannot be translated")
    counter = attempt.dialect
    asked = replace(_request_of(ex, client), model=attempt.model)
    gaps = Gaps(provider.name, provider.policy(ex), client.hints, counter.chat.name)
    try:
        written = await write(asked, provider, counter.chat, gaps)
    except RequestError:  # what cannot be sent to this vendor is not counted by it either
        return await estimate(ex)
    attempt.body = counter.encode_count(written.body, attempt.model)
    ex.tell_dropped(gaps.dropped)
    response = await provider.send(ex)
    try:
        body = await response.read()
    finally:
        response.close()
    if 400 <= response.status < 500 and response.status not in _TELLING:
        return await estimate(ex)
    secrets = provider.secrets_of(ex)
    headers = tuple(pair for pair in passed_headers(response.headers, secrets) if pair[0] != b"content-type")
    if 200 <= response.status < 300:
        return Reply(200, (*headers, *_JSON), _told(ex, counter.decode_count(body)))
    words = counter.chat.decode_error(response.status, body, response.headers)
    return error_reply(client, words, headers, secrets)


def _client_of(ex: Exchange) -> ChatDialect:
    dialect = ex.error_dialect
    if not isinstance(dialect, ChatDialect):
        raise InvalidRequest(f"the tokens of `{ex.operation.name}` cannot be counted", code="unsupported_operation")
    return dialect


def _request_of(ex: Exchange, client: ChatDialect) -> ChatRequest:
    """What is to be counted, with what the target overrides. Google's clients may put it one level deeper."""
    body = decode_object(ex.source)
    overrides: Mapping[str, Any] = ex.attempt.target.override_params if ex.attempt is not None else {}
    inner: Any = body.get(wrapper_in(body))
    held = cast("dict[str, Any]", inner) if isinstance(inner, dict) else body
    return client.decode_request(
        msgspec.json.encode({**held, **overrides}) if overrides or held is inner else ex.source
    )


def _told(ex: Exchange, tokens: int) -> bytes:
    if ex.operation is RESPONSES_COUNT:
        return msgspec.json.encode({"object": "response.input_tokens", "input_tokens": tokens})
    return msgspec.json.encode({"input_tokens" if ex.operation is COUNT_TOKENS else "totalTokens": tokens})
