"""Errors of Vertex AI's own where a maker is asked in its words: Google's, and in a list where a stream was asked for.

https://google.aip.dev/193
"""

from __future__ import annotations

from typing import ClassVar

from msgspec.structs import replace
from typing_extensions import override

from headgate.dialects import AnthropicCount, AnthropicMessages, Dialect, OpenAIChat
from headgate.dialects.interface import ChatDialect
from headgate.dialects.words import Headers
from headgate.errors import ErrorWords
from headgate.upstream import Upstream, UpstreamRequest, UpstreamResponse, WholeResponse
from headgate_google.answers import GEMINI, google_error, out_of_list


class Unlisted:
    """An `Upstream` whose errors stand in no list."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream

    async def send(self, request: UpstreamRequest) -> UpstreamResponse:
        """See Upstream."""
        response = await self._upstream.send(request)
        if 200 <= response.status < 300:
            return response
        try:
            return WholeResponse(response.status, response.headers, out_of_list(await response.read()))
        finally:
            response.close()

    async def close(self) -> None:
        """See Upstream; what is behind it is somebody else's."""


class _Hosted(Dialect):
    """A maker's dialect, in which Google's errors are read as Google means them."""

    @override
    def decode_error(self, status: int, body: bytes, headers: Headers = ()) -> ErrorWords:
        if google_error(out_of_list(body)) is None:
            return super().decode_error(status, body, headers)
        own = GEMINI.decode_error(status, body, headers)
        words = super().decode_error(own.status, body, headers)
        wait_s = words.retry_after_s if own.retry_after_s is None else own.retry_after_s
        return replace(words, code=own.code, param=own.param, retry_after_s=wait_s)


class HostedMessages(_Hosted, AnthropicMessages):
    """Anthropic's Messages."""


class HostedCount(AnthropicCount):
    """Anthropic's counting."""

    chat: ClassVar[ChatDialect] = HostedMessages()


class HostedChat(_Hosted, OpenAIChat):
    """OpenAI's chat, which Mistral and the layer speak."""
