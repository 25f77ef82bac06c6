"""Engines for calls of Bedrock whose answers have no dialect here: made one by one, with refusals in OpenAI's envelope."""

from __future__ import annotations

from msgspec.structs import replace
from typing_extensions import override

from headgate.dialects.words import openai_envelope
from headgate.upstream import UpstreamRequest, UpstreamResponse, WholeResponse
from headgate.upstream.fanout import Fanout
from headgate_bedrock.errors import error_words

_TYPE = b"content-type"


class Invoked(Fanout):
    """An engine for which a request is as many calls as its body lists. A refusal has OpenAI's form and the status that it
    stands for.
    """

    @override
    async def send(self, request: UpstreamRequest) -> UpstreamResponse:
        return await worded(await super().send(request))


async def worded(response: UpstreamResponse) -> UpstreamResponse:
    """`response`, a refusal in OpenAI's envelope with the words and the status that AWS's exception stands for."""
    if 200 <= response.status < 300:
        return response
    try:
        words = error_words(response.status, await response.read(), response.headers)
    finally:
        response.close()
    message = words.message or f"the provider answered with status {response.status}"
    told = replace(words, message=message, type=words.type or "upstream_error", code=words.code or str(words.status))
    headers = (*(pair for pair in response.headers if pair[0] != _TYPE), (_TYPE, b"application/json"))
    return WholeResponse(words.status, headers, openai_envelope(told))
