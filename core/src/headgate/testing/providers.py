"""What every provider must do, as a test suite to subclass."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, cast
from urllib.parse import parse_qs

import msgspec
import pytest

from headgate.builtin import Core
from headgate.chat import (
    ChatRequest,
    Message,
    Reasoning,
    Sampling,
    StreamEvent,
    Text,
    ToolCall,
    ToolCallDelta,
    ToolCallStart,
)
from headgate.config import Document
from headgate.dialects import ChatDialect, Dialect, Gaps
from headgate.dialects.sse import Splitter, events_of
from headgate.errors import ProviderError, StartupError
from headgate.exchange import Attempt, Exchange, Principal, Reply, Target
from headgate.operations import CHAT, OPERATIONS, REALTIME, Operation
from headgate.provider import DeploymentConfig, Provider
from headgate.testing import samples
from headgate.testing.recorded import Recorded
from headgate.testing.replay import ReplayUpstream
from headgate.testing.waiting import eventually
from headgate.upstream import UpstreamRequest, origin_of

SECRET = "sk-contract-0f1e2d3c4b5a6978"  # noqa: S105 - a sample that must never come out again
SIZES = ((1,), (2,), (3,), (7, 1), (64,), (1000,))
SEEDS = range(5)


def dialect_of(name: str) -> Dialect | None:
    """A dialect of the core by its name."""
    return next((dialect for dialect in Core().dialects() if dialect.name == name), None)


class ProviderContract:
    """Subclass it as `class TestAcme(ProviderContract)` and set `provider`, and what differs from OpenAI. Added in 0.1.

    The answers come from a ReplayUpstream. Recorded replies are in the vendor's own bytes; override `forwarded` and
    `relayed` where the provider translates. What is set to None is not offered, and its tests are skipped by name.
    """

    provider: ClassVar[type[Provider]]
    """The provider under test."""
    config: ClassVar[Mapping[str, Any]] = {"api_key": SECRET}
    """The deployment as it would stand in YAML, without `provider`. Every secret in it is `SECRET`."""
    key_setting: ClassVar[str] = "api_key"
    """The setting a deployment cannot start without; empty when there is none."""
    operation: ClassVar[Operation] = CHAT
    url: ClassVar[str] = ""
    """Where a call goes; empty for the base URL and the operation's path below it."""
    request: ClassVar[bytes] = samples.REQUEST
    """A caller's request; the model in it is the one the vendor knows."""
    reply: ClassVar[Recorded] = samples.REPLY
    stream: ClassVar[Recorded | None] = samples.STREAM
    tool_reply: ClassVar[Recorded | None] = samples.TOOL_REPLY
    """A reply with one tool call, and `tool_stream` the same call streamed."""
    tool_stream: ClassVar[Recorded | None] = samples.TOOL_STREAM
    usage: ClassVar[tuple[int, int] | None] = samples.USAGE
    """Prompt and completion tokens that `reply` and `stream` state; None when they state none."""
    errors: ClassVar[Mapping[int, Recorded]] = samples.ERRORS
    """Error replies by status."""

    def forwarded(self, body: bytes) -> bytes:
        """What the vendor must receive for a caller's body."""
        return body

    def relayed(self, recorded: Recorded) -> bytes:
        """What the caller must receive for a good recorded answer."""
        return recorded.body

    # parts

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """One case for each recorded error."""
        if "error_status" in metafunc.fixturenames:
            metafunc.parametrize("error_status", sorted(self.errors))

    def deploy(self, upstream: ReplayUpstream, **changes: Any) -> Provider:
        """The provider as a deployment; a change to None takes a setting away. StartupError as at a real start."""
        written = {"provider": self.provider.name, **self.config, **changes}
        given = {name: value for name, value in written.items() if value is not None}
        document = Document(given, {}, "contract", Path())
        config: DeploymentConfig = document.decode(given, self.provider.Config, ())
        document.raise_problems()
        return self.provider("contract", config, upstream)

    def exchange(self, provider: Provider, *, stream: bool = False) -> Exchange:
        """An admitted exchange whose current attempt is `provider`."""
        ex = Exchange(self.operation, {}, request_id="req_contract", trace_id="0" * 32, dialect=self.dialect)
        members = msgspec.json.decode(self.request, type=dict[str, Any])
        ex.body = msgspec.json.encode({**members, "stream": True}) if stream else self.request
        ex.model, ex.stream = str(members.get("model") or ""), stream
        ex.principal = Principal("contract")
        ex.started_at = 0.0  # a translated answer that states no time has this one
        attempt = ex.attempt = Attempt(Target(deployment="contract"), provider, ex.model, time.monotonic())
        spoken = provider.spoken(ex, ex.model)
        assert spoken is not None
        attempt.operation, name = spoken
        if self.dialect is not None and name != self.dialect.name:
            attempt.dialect = provider.codecs.get(name) or dialect_of(name)
        return ex

    async def call(self, upstream: ReplayUpstream, *, stream: bool = False) -> Reply:
        """One call through a fresh deployment."""
        provider = self.deploy(upstream)
        return await provider.call(self.exchange(provider, stream=stream))

    @property
    def dialect(self) -> Dialect | None:
        """The dialect of the operation's client side, None where the body is opaque."""
        return dialect_of(self.operation.dialect)

    # the request

    @pytest.mark.asyncio
    async def test_request_goes_where_it_should(self) -> None:
        """One request by the operation's method to the vendor's URL, with the body the vendor must get."""
        request = await self._sent()
        url = self.url or self._base_url() + self.operation.path.removeprefix("/v1")
        assert (request.method, request.url) == (self.operation.method, url)
        assert request.body == self.forwarded(self.request)

    @pytest.mark.asyncio
    async def test_credential_is_bound_to_its_origin(self) -> None:
        """The key travels as a credential for the vendor's origin alone, and stands nowhere else in the request."""
        request = await self._sent()
        credential = request.credential
        assert (credential is None) == (not self.key_setting)
        if credential is not None:
            assert credential.secret.reveal() == SECRET
            assert credential.origins == frozenset({origin_of(request.url)})
        assert SECRET not in repr(request)

    @pytest.mark.asyncio
    async def test_base_url_of_the_deployment(self) -> None:
        """A deployment's own base URL, with or without a slash at its end, moves the call and the credential there."""
        upstream = ReplayUpstream({"*": self.reply})
        provider = self.deploy(upstream, base_url="https://elsewhere.example/api/")
        await provider.call(self.exchange(provider))
        request = upstream.requests[0]
        assert request.url.startswith("https://elsewhere.example/api/")
        assert "//" not in request.url.removeprefix("https://")
        if request.credential is not None:
            assert request.credential.origins == frozenset({"https://elsewhere.example:443"})

    def test_session_goes_where_it_should(self) -> None:
        """Where the vendor has `realtime`, the handshake goes below the base URL with the model and no body's type, and the key
        is bound as for any call.
        """
        provider = self.deploy(ReplayUpstream())
        if REALTIME.name not in provider.dialects:
            return
        ex = Exchange(
            REALTIME, {}, request_id="r", trace_id="0" * 32, method="GET", query=b"model=alias&key=k&intent=i"
        )
        ex.attempt = Attempt(Target(deployment="contract"), provider, "spoken-model", time.monotonic())
        assert provider.spoken(ex, "spoken-model") == (REALTIME.name, REALTIME.dialect)
        request = provider.prepare_socket(ex)
        where, _, query = request.url.partition("?")
        said = parse_qs(query)
        assert where.startswith(self._base_url())
        assert where.endswith("/realtime")
        assert ["spoken-model"] in said.values()
        assert (said["intent"], "key" in said, request.method) == (["i"], False, "GET")
        assert not {b"content-type", b"connection", b"upgrade"} & dict(request.headers).keys()
        credential = request.credential
        assert credential is None or credential.origins == frozenset({origin_of(request.url)})
        assert SECRET not in repr(request)

    @pytest.mark.asyncio
    async def test_limits_of_the_deployment_hold(self) -> None:
        """The deployment's timeouts and the private host it names go out with the call."""
        timeouts = {"connect_s": 1, "first_byte_s": 2, "gap_s": 3, "total_s": 4}
        upstream = ReplayUpstream({"*": self.reply})
        provider = self.deploy(upstream, base_url="http://10.1.2.3/v1", timeouts=timeouts)
        await provider.call(self.exchange(provider))
        request = upstream.requests[0]
        assert msgspec.to_builtins(request.timeouts) == timeouts
        assert request.private_hosts == frozenset({"10.1.2.3"})

    def test_missing_key_is_refused(self) -> None:
        """Without its key a deployment cannot start, and the message names the setting."""
        if not self.key_setting:
            assert self.deploy(ReplayUpstream()).deployment == "contract"
            return
        with pytest.raises(StartupError) as caught:
            self.deploy(ReplayUpstream(), **{self.key_setting: None})
        assert f"`{self.key_setting}`" in str(caught.value)

    @pytest.mark.asyncio
    async def test_requests_in_its_own_dialects_are_written_anew(self) -> None:
        """What a client says in a chat dialect of the vendor's is said, also when it must be decoded and encoded again.

        That is so when it holds items of another provider, which are taken out.
        """
        for operation in OPERATIONS:
            upstream = ReplayUpstream({"*": Recorded.from_json({"error": {"message": "no"}}, 503)})
            provider, dialect = self.deploy(upstream), dialect_of(operation.dialect)
            if not operation.is_chat or not isinstance(dialect, ChatDialect):
                continue
            ex = self._asking(provider, operation, dialect)
            if ex.attempt is None or provider.spoken(ex, ex.model) != (operation.name, dialect.name):
                continue
            ex.attempt.operation, ex.attempt.dialect = operation.name, dialect
            assert (await provider.call(ex)).status == 503
            sent: Any = upstream.requests[0].body
            assert [message.text for message in dialect.decode_request(sent).messages] == ["hi", "hello", "go on"]

    # whole replies

    @pytest.mark.asyncio
    async def test_reply_is_relayed(self) -> None:
        """Status and body come back; what belongs to the vendor's connection does not."""
        own = (("set-cookie", "a=b"), ("connection", "close"), ("x-vendor", "kept"), ("x-headgate-provider", "forged"))
        reply = await self.call(ReplayUpstream({"*": self.reply.varied(headers=(*self.reply.headers, *own))}))
        assert (reply.status, await _body_of(reply)) == (self.reply.status, self.relayed(self.reply))
        names = [name for name, _ in reply.headers]
        assert not {b"set-cookie", b"connection", b"x-headgate-provider"} & set(names)
        assert (b"x-vendor", b"kept") in reply.headers

    @pytest.mark.asyncio
    async def test_usage_is_read(self) -> None:
        """The tokens the vendor states are known to the gateway, for whole replies and for streams."""
        assert _usage_of(await self.call(ReplayUpstream({"*": self.reply}))) == self.usage
        if self.stream is not None:
            reply = await self.call(ReplayUpstream({"*": self.stream}), stream=True)
            await _body_of(reply)
            assert _usage_of(reply) == self.usage

    @pytest.mark.asyncio
    async def test_tool_calls_pass(self) -> None:
        """A tool call keeps its id, its name and every byte of its arguments."""
        recorded, dialect = _offered(self.tool_reply, "tool_reply"), self._chat_dialect()
        reply = await self.call(ReplayUpstream({"*": recorded}))
        assert reply.body == self.relayed(recorded)
        parts = dialect.decode_reply(reply.body).choices[0].message.parts
        calls = [part for part in parts if isinstance(part, ToolCall)]
        assert [call.name for call in calls] != []
        assert all(call.id and isinstance(msgspec.json.decode(call.arguments), dict) for call in calls)

    @pytest.mark.asyncio
    async def test_error_keeps_its_status(self, error_status: int) -> None:
        """An error of the vendor is a reply with its status and an `error` object with a message, streams too."""
        for stream in (False, True) if self.operation.can_stream else (False,):
            reply = await self.call(ReplayUpstream({"*": self.errors[error_status]}), stream=stream)
            assert reply.status == error_status
            error = msgspec.json.decode(reply.body, type=dict[str, Any])["error"]
            assert isinstance(error["message"], str)
            assert error["message"]
            assert (b"content-type", b"application/json") in reply.headers

    @pytest.mark.asyncio
    async def test_cut_reply_raises(self) -> None:
        """A whole reply that was broken off is the vendor's failure, never half a reply."""
        for size in (0, 1, len(self.reply.body) // 2, len(self.reply.body) - 1):
            begun: list[Reply] = []
            with pytest.raises(ProviderError) as caught:
                await self._read(ReplayUpstream({"*": self.reply.varied(cut_at=size)}), begun)
            if not begun:  # one that is passed on as it comes is blamed by who reads it
                assert (caught.value.provider, caught.value.deployment) == (self.provider.name, "contract")

    # streams

    @pytest.mark.asyncio
    async def test_stream_is_relayed(self) -> None:
        """Every event comes back, and the vendor's connection is given up after the last."""
        recorded = _offered(self.stream, "stream")
        upstream = ReplayUpstream({"*": recorded})
        assert await _body_of(await self.call(upstream, stream=True)) == self.relayed(recorded)
        assert [response.is_closed for response in upstream.responses] == [True]

    @pytest.mark.asyncio
    async def test_stream_does_not_depend_on_how_it_is_split(self) -> None:
        """However the bytes arrive, the same bytes go on, and only whole events at a time."""
        recorded = _offered(self.stream, "stream")
        cases = [recorded.varied(sizes=sizes) for sizes in SIZES] + [recorded.varied(seed=seed) for seed in SEEDS]
        for case in cases:
            pieces = await _pieces_of(await self.call(ReplayUpstream({"*": case}), stream=True))
            assert b"".join(pieces) == self.relayed(recorded)
            assert all(Splitter().feed(piece) == piece for piece in pieces)

    @pytest.mark.asyncio
    async def test_streamed_tool_calls_pass(self) -> None:
        """A streamed tool call begins once, with its id and name, and its arguments add up to a JSON object."""
        recorded = _offered(self.tool_stream, "tool_stream")
        body = await _body_of(await self.call(ReplayUpstream({"*": recorded}), stream=True))
        assert body == self.relayed(recorded)
        events = self._events_of(body)
        starts = [event for event in events if isinstance(event, ToolCallStart)]
        assert starts
        for start in starts:
            said = [
                event.arguments for event in events if isinstance(event, ToolCallDelta) and event.call == start.call
            ]
            assert start.id
            assert start.name
            assert isinstance(msgspec.json.decode("".join(said)), dict)

    @pytest.mark.asyncio
    async def test_cut_stream_raises(self) -> None:
        """A stream that ends before its proper end raises, after whole events only, however the connection ended."""
        recorded, dialect = _offered(self.stream, "stream"), self.dialect
        assert dialect is not None
        events = events_of(recorded.body)
        ends = [b"".join(events[: at + 1]) for at in range(len(events)) if dialect.ending(events[: at + 1]) == "cut"]
        for size in (0, 1, *(len(end) for end in ends), *(len(end) + 9 for end in ends[:-1])):
            for framing in ("chunked", "close"):
                case = recorded.varied(cut_at=size, framing=framing)
                pieces: list[bytes] = []
                with pytest.raises(ProviderError):
                    await _pieces_of(await self.call(ReplayUpstream({"*": case}), stream=True), pieces)
                assert recorded.body[:size].startswith(b"".join(pieces))
                assert all(Splitter().feed(piece) == piece for piece in pieces)

    # leaving

    @pytest.mark.asyncio
    async def test_cancelled_call_ends_the_upstream(self) -> None:
        """When the caller leaves before the reply is whole, the vendor's connection is closed."""
        upstream = ReplayUpstream({"*": self.reply.varied(stall_at=1)})
        task = asyncio.create_task(self._read(upstream, []))
        await eventually(lambda: upstream.responses, "the vendor began to answer")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert [response.is_closed for response in upstream.responses] == [True]

    @pytest.mark.asyncio
    async def test_abandoned_stream_ends_the_upstream(self) -> None:
        """When the caller leaves during a stream, the vendor's connection is closed."""
        recorded = _offered(self.stream, "stream")
        first = events_of(recorded.body)[0]
        upstream = ReplayUpstream({"*": recorded.varied(stall_at=len(first))})
        reply = await self.call(upstream, stream=True)
        chunks = cast("Any", reply.chunks)
        assert await anext(chunks)
        waiting = asyncio.create_task(anext(chunks))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await chunks.aclose()
        assert [response.is_closed for response in upstream.responses] == [True]

    # secrets

    @pytest.mark.asyncio
    async def test_secret_never_comes_back(self) -> None:
        """A vendor that echoes the key in a header, a body, an error or a stream does not give it to the caller."""
        if SECRET not in repr(self.config):
            return  # nothing was sent that could be echoed
        error = Recorded.from_json({"error": {"message": f"bad key {SECRET}", "type": "t", "param": None}}, 401)
        cases = [(_echoing(self.reply), False), (error, False), (error.varied(body=SECRET.encode()), False)]
        if self.stream is not None:
            cases += [(_echoing(self.stream).varied(sizes=(size,)), True) for size in (1, 5, 10_000)]
        for recorded, stream in cases:
            upstream = ReplayUpstream({"*": recorded.varied(headers=(*recorded.headers, ("x-echo", SECRET)))})
            reply = await self.call(upstream, stream=stream)
            assert SECRET.encode() not in await _body_of(reply)
            assert SECRET not in repr(reply.headers)

    # helpers

    async def _read(self, upstream: ReplayUpstream, begun: list[Reply]) -> bytes:
        begun.append(await self.call(upstream))
        return await _body_of(begun[0])

    def _asking(self, provider: Provider, operation: Operation, dialect: ChatDialect) -> Exchange:
        """A request in a chat dialect whose assistant has thought before."""
        thought = Message("assistant", (Reasoning("hm"), Text("hello")))
        turns = (Message("user", (Text("hi"),)), thought, Message("user", (Text("go on"),)))
        request = ChatRequest(self.exchange(provider).model, turns, Sampling(max_tokens=64), dialect=dialect.name)
        ex = Exchange(operation, {}, request_id="req_contract", trace_id="0" * 32, dialect=dialect)
        ex.body, ex.model = dialect.encode_request(request, Gaps("contract", "drop")), request.model
        ex.attempt = Attempt(Target(deployment="contract"), provider, ex.model, time.monotonic())
        return ex

    async def _sent(self) -> UpstreamRequest:
        upstream = ReplayUpstream({"*": self.reply})
        await self.call(upstream)
        assert len(upstream.requests) == 1
        return upstream.requests[0]

    def _base_url(self) -> str:
        return str(self.config.get("base_url") or self.provider.base_url).rstrip("/")

    def _chat_dialect(self) -> ChatDialect:
        dialect = self.dialect
        if not isinstance(dialect, ChatDialect):
            pytest.skip(f"`{self.operation.name}` has no tool calls")
        return dialect

    def _events_of(self, body: bytes) -> list[StreamEvent]:
        decoder = self._chat_dialect().stream_decoder()
        return [event for raw in events_of(body) for event in decoder.feed(raw)]


def _offered(recorded: Recorded | None, name: str) -> Recorded:
    if recorded is None:
        pytest.skip(f"`{name}` is None: the provider does not offer it")
    return recorded


def _usage_of(reply: Reply) -> tuple[int, int] | None:
    return None if reply.usage is None else (reply.usage.prompt, reply.usage.completion)


def _echoing(recorded: Recorded) -> Recorded:
    """The same answer with the key at the start of the first string value."""
    return recorded.varied(body=re.sub(rb'":\s*"', lambda found: found[0] + SECRET.encode(), recorded.body, count=1))


async def _body_of(reply: Reply) -> bytes:
    return b"".join(await _pieces_of(reply))


async def _pieces_of(reply: Reply, pieces: list[bytes] | None = None) -> list[bytes]:
    """Everything a reply holds, noted piece by piece in `pieces`."""
    held: list[bytes] = [] if pieces is None else pieces
    async for piece in _each(reply):
        held.append(piece)  # noqa: PERF401 - what came before an error must be kept
    return held


async def _each(reply: Reply) -> AsyncIterator[bytes]:
    if reply.chunks is None:
        yield reply.body
        return
    async for piece in reply.chunks:
        yield piece
