"""The demo provider: answers from the request alone, as slowly and as badly as it is told to."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Mapping
from typing import Any, ClassVar, cast

from msgspec.structs import replace
from typing_extensions import override

from headgate.body import decode_object
from headgate.chat import Usage
from headgate.dialects import ChatDialect, EmbedDialect, Gaps, OpenAIEmbeddings
from headgate.dialects.sse import events_of as split_events
from headgate.dialects.words import openai_envelope
from headgate.errors import ErrorWords, ProviderFailed, ProviderTimeout
from headgate.exchange import Attempt, Exchange, RawHeaders, Reply
from headgate.operations import EMBEDS
from headgate.provider import Provider
from headgate_demo.chat import answer_chat, events_of
from headgate_demo.knobs import Knobs, read_knobs
from headgate_demo.plain import answer_completion, answer_embeddings
from headgate_demo.text import count, digest

Json = dict[str, Any]

_ERRORS = {
    400: ("invalid_request_error", "invalid_request"),
    401: ("authentication_error", "invalid_api_key"),
    403: ("permission_error", "forbidden"),
    404: ("invalid_request_error", "model_not_found"),
    429: ("rate_limit_error", "rate_limit_exceeded"),
}


class Demo(Provider):
    """Deterministic, without a network or a key. The request field `demo` and the option `demo` drive it; see Knobs."""

    name = "demo"
    is_keyless = True
    docs = "https://platform.openai.com/docs/api-reference"
    keeps_responses: ClassVar[bool] = False
    dialects: ClassVar[Mapping[str, str]] = {
        "chat": "openai.chat",
        "responses": "openai.responses",
        "messages": "anthropic.messages",
        "generate": "google.generate",
        "completions": "openai.completions",
        "embeddings": "openai.embeddings",
        "generate.embed": "google.embed",
        "generate.embed_one": "google.embed_one",
    }
    models: ClassVar[tuple[str, ...]] = ("echo",)

    @override
    async def call(self, ex: Exchange) -> Reply:
        attempt = ex.attempt
        if ex.operation.name not in self.dialects or attempt is None:
            return await super().call(ex)
        body = ex.body_for(attempt.model, attempt.target.override_params)
        asked = decode_object(body)
        knobs = read_knobs(asked.get("demo"), ex.option("demo"))
        await self._wait(ex, knobs)
        name = digest(ex.operation.name, body, ex.option("demo") or "")
        if knobs.status is not None:
            return _error(ex, knobs.status, name)
        if knobs.fail_after_chunks == 0 or (knobs.fail_after_chunks is not None and not ex.stream):
            raise self._broken()
        return self._answer(ex, attempt, asked, knobs, name)

    def _answer(self, ex: Exchange, attempt: Attempt, asked: Json, knobs: Knobs, name: str) -> Reply:
        """The reply to an operation, whole or running. A dialect of chat encodes its own."""
        if isinstance(ex.dialect, ChatDialect):
            dialect, asked_for = ex.dialect, ex.chat(attempt.target.override_params)
            request = replace(asked_for, model=attempt.model)
            prompt = sum(count(place.text) for place in dialect.request_texts(asked))
            chat = answer_chat(request, knobs, name, prompt)
            if not ex.stream:
                return _whole(dialect.encode_reply(chat, request), chat.usage, name)
            encoder = dialect.stream_encoder(request)
            events = (encoder.feed(event) for event in events_of(chat, knobs.chunk_bytes))
            return self._stream(_ended(events, encoder.end), chat.usage, knobs, name)
        if ex.operation.name == "embeddings":
            return _whole(*answer_embeddings(asked), name)
        if ex.operation in EMBEDS:
            return _whole(*_answer_embed(cast("EmbedDialect", ex.dialect), ex.source), name)
        completion = answer_completion(asked, knobs, name)
        if not ex.stream:
            return _whole(completion.encode(), completion.usage, name)
        options: object = asked.get("stream_options")
        include_usage = isinstance(options, dict) and bool(cast("Json", options).get("include_usage"))
        events = completion.events(knobs.chunk_bytes, include_usage=include_usage)
        return self._stream(events, completion.usage, knobs, name)

    def _stream(self, events: Iterable[bytes], usage: Usage | None, knobs: Knobs, name: str) -> Reply:
        reply = Reply(200, _headers(b"text/event-stream", name))
        reply.chunks = self._chunks(events, reply, usage, knobs)
        return reply

    async def _chunks(
        self, events: Iterable[bytes], reply: Reply, usage: Usage | None, knobs: Knobs
    ) -> AsyncGenerator[bytes, None]:
        for sent, event in enumerate(events):
            if sent == knobs.fail_after_chunks:
                raise self._broken()
            if sent and knobs.chunk_gap_ms > 0:
                await asyncio.sleep(knobs.chunk_gap_ms / 1000)
            yield event
        reply.usage = usage

    async def _wait(self, ex: Exchange, knobs: Knobs) -> None:
        """Take as long as told, but no longer than a real provider would be waited for."""
        wait_s = math.inf if knobs.hang else knobs.latency_ms / 1000
        limit_s = self._limit_s(ex)
        if wait_s > 0:
            await asyncio.sleep(min(wait_s, limit_s))
        if wait_s > limit_s:
            message = f"no answer from the demo within {limit_s:g} s"
            raise ProviderTimeout(message, provider=self.name, deployment=self.deployment)

    def _limit_s(self, ex: Exchange) -> float:
        asked = ex.option("request-timeout") or ""
        target_s = ex.attempt.target.request_timeout_s if ex.attempt else 0.0
        limit_s = int(asked) / 1000 if asked.isascii() and asked.isdigit() and len(asked) < 10 else target_s
        first_byte_s = self.config.timeouts.first_byte_s
        return min(first_byte_s, limit_s) if limit_s > 0 else first_byte_s

    def _broken(self) -> ProviderFailed:
        message = "the demo broke off, as `demo.fail_after_chunks` asked"
        return ProviderFailed(message, provider=self.name, deployment=self.deployment, code="upstream_cut")


def _ended(events: Iterator[bytes], end: Callable[[], bytes]) -> Iterator[bytes]:
    """The events that say something, then the end of the stream."""
    yield from filter(None, events)
    yield from split_events(end())


def _answer_embed(dialect: EmbedDialect, body: bytes) -> tuple[bytes, Usage]:
    """Vectors for a request of another dialect: those that OpenAI's gets."""
    plain, request = OpenAIEmbeddings(), dialect.decode_request(body)
    answered, usage = answer_embeddings(decode_object(plain.encode_request(request, Gaps("demo", "refuse"))))
    return dialect.encode_reply(plain.decode_reply(answered, request), request), usage


def _whole(body: bytes, usage: Usage | None, name: str) -> Reply:
    return Reply(200, _headers(b"application/json", name), body, usage=usage)


def _error(ex: Exchange, status: int, name: str) -> Reply:
    kind, code = _ERRORS.get(status, ("server_error" if status >= 500 else "invalid_request_error", str(status)))
    message = f"the demo answers with status {status}, as `demo.status` asked"
    words = ErrorWords(status, message, kind, code)
    body = openai_envelope(words) if ex.error_dialect is None else ex.error_dialect.encode_error(words)
    retry = ((b"retry-after", b"1"),) if status == 429 else ()
    return Reply(status, (*_headers(b"application/json", name), *retry), body)


def _headers(kind: bytes, name: str) -> RawHeaders:
    return (b"content-type", kind), (b"x-request-id", f"req_{name[:32]}".encode())
