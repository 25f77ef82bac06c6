"""The contract of every provider, for an OpenAI client of Bedrock with an API key."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar

import msgspec
import pytest
from msgspec.structs import replace
from typing_extensions import override

from headgate.dialects import Gaps, OpenAIChat
from headgate.errors import ProviderError
from headgate.exchange import Reply
from headgate.testing import ProviderContract, Recorded, ReplayUpstream
from headgate_bedrock import Bedrock
from headgate_bedrock.converse import BedrockConverse
from headgate_bedrock.frames import encode_frame

MODEL = "us.anthropic.claude-sonnet-4-6"
DIALECT = BedrockConverse()
USAGE = {"inputTokens": 9, "outputTokens": 3, "totalTokens": 12}
STREAM = (("content-type", "application/vnd.amazon.eventstream"),)


def answer(*blocks: dict[str, Any], stop: str = "end_turn") -> Recorded:
    message = {"role": "assistant", "content": list(blocks)}
    return Recorded.from_json({"output": {"message": message}, "stopReason": stop, "usage": USAGE})


def frame(kind: str, **payload: Any) -> bytes:
    headers = {":event-type": kind, ":content-type": "application/json", ":message-type": "event"}
    return encode_frame(headers, json.dumps(payload).encode())


def streamed(*frames: bytes, stop: str = "end_turn") -> Recorded:
    ends = frame("messageStop", stopReason=stop), frame("metadata", usage=USAGE, metrics={"latencyMs": 9})
    return Recorded(headers=STREAM, body=b"".join((frame("messageStart", role="assistant"), *frames, *ends)))


CALL = {"toolUseId": "t1", "name": "f"}
SPOKEN = streamed(
    frame("contentBlockDelta", contentBlockIndex=0, delta={"text": "Grü"}),
    frame("contentBlockDelta", contentBlockIndex=0, delta={"text": "ße"}),
    frame("contentBlockStop", contentBlockIndex=0),
)
CALLED = answer({"toolUse": {**CALL, "input": {"a": 1}}}, stop="tool_use")
CALLING = streamed(
    frame("contentBlockStart", contentBlockIndex=0, start={"toolUse": CALL}),
    frame("contentBlockDelta", contentBlockIndex=0, delta={"toolUse": {"input": '{"a":'}}),
    frame("contentBlockDelta", contentBlockIndex=0, delta={"toolUse": {"input": "1}"}}),
    frame("contentBlockStop", contentBlockIndex=0),
    stop="tool_use",
)


class TestBedrock(ProviderContract):
    """Chat of an OpenAI client, translated both ways."""

    provider = Bedrock
    config: ClassVar[Mapping[str, Any]] = {**ProviderContract.config, "region": "us-east-1"}
    key_setting = ""
    url = f"https://bedrock-runtime.us-east-1.amazonaws.com/model/{MODEL}/converse"
    request = msgspec.json.encode({"model": MODEL, "messages": [{"role": "user", "content": "hi"}]})
    reply = answer({"text": "Grüße"})
    stream = SPOKEN
    tool_reply = CALLED
    tool_stream = CALLING
    usage = (9, 3)
    errors: ClassVar[Mapping[int, Recorded]] = {
        400: Recorded.from_json({"message": "messages: Array should have at least 1 item"}, 400),
        403: Recorded.from_json({"message": "You don't have access to the model"}, 403),
        404: Recorded.from_json({"message": "Could not resolve the model"}, 404),
        429: Recorded.from_json({"message": "Too many requests"}, 429),
        500: Recorded.from_json({"message": "internal"}, 500),
    }

    @override
    def forwarded(self, body: bytes) -> bytes:
        return DIALECT.encode_request(OpenAIChat().decode_request(body), Gaps("bedrock"))

    @override
    async def test_credential_is_bound_to_its_origin(self) -> None:
        """The key travels to the region's own host."""
        request = await self._sent()
        assert request.credential is not None
        assert request.credential.origins == frozenset({"https://bedrock-runtime.us-east-1.amazonaws.com:443"})

    @override
    async def test_reply_is_relayed(self) -> None:
        """The answer, in the client's dialect, without what belongs to the vendor's connection."""
        reply = await self.call(ReplayUpstream({"*": self.reply.varied(headers=(("set-cookie", "a=b"),))}))
        said = msgspec.json.decode(reply.body)["choices"][0]
        assert (said["message"]["content"], said["finish_reason"]) == ("Grüße", "stop")
        assert b"set-cookie" not in dict(reply.headers)

    @override
    async def test_tool_calls_pass(self) -> None:
        """A tool call keeps its id, its name and its arguments."""
        reply = await self.call(ReplayUpstream({"*": CALLED}))
        [call] = msgspec.json.decode(reply.body)["choices"][0]["message"]["tool_calls"]
        assert (call["id"], call["function"]) == ("t1", {"name": "f", "arguments": '{"a":1}'})

    @override
    async def test_stream_is_relayed(self) -> None:
        """The answer, as a stream that is complete, and the connection is given up."""
        upstream = ReplayUpstream({"*": SPOKEN})
        body = await body_of(await self.call(upstream, stream=True))
        assert said_in(body) == "Grüße"
        assert body.endswith(b"data: [DONE]\n\n")
        assert [response.is_closed for response in upstream.responses] == [True]

    @override
    async def test_stream_does_not_depend_on_how_it_is_split(self) -> None:
        """However the frames are cut, the client reads the same."""
        for size in (1, 2, 7, 64, 1000):
            reply = await self.call(ReplayUpstream({"*": SPOKEN.varied(sizes=(size,))}), stream=True)
            assert said_in(await body_of(reply)) == "Grüße"

    @override
    async def test_streamed_tool_calls_pass(self) -> None:
        """A streamed call begins once, and its arguments add up."""
        body = await body_of(await self.call(ReplayUpstream({"*": CALLING}), stream=True))
        calls = [call for delta in deltas_in(body) for call in delta.get("tool_calls", ())]
        assert [call["id"] for call in calls if "id" in call] == ["t1"]
        assert "".join(call["function"].get("arguments") or "" for call in calls) == '{"a":1}'

    @override
    async def test_cut_stream_raises(self) -> None:
        """A stream without its last frames raises, however much of it came and however the connection ended."""
        for size in (0, 1, 30, SPOKEN.body.index(b"messageStop") - 20):
            for framing in ("chunked", "close"):
                upstream = ReplayUpstream({"*": SPOKEN.varied(cut_at=size, framing=framing)})
                with pytest.raises(ProviderError):
                    await body_of(await self.call(upstream, stream=True))

    @override
    async def test_abandoned_stream_ends_the_upstream(self) -> None:
        """When the caller leaves during a stream, the vendor's connection is closed."""
        first = SPOKEN.body.index(b"contentBlockStop") - 40
        upstream = ReplayUpstream({"*": SPOKEN.varied(stall_at=first)})
        reply = await self.call(upstream, stream=True)
        chunks: Any = reply.chunks
        assert await anext(chunks)
        await chunks.aclose()
        assert [response.is_closed for response in upstream.responses] == [True]

    @override
    async def test_secret_never_comes_back(self) -> None:
        """A vendor that echoes the key in a header, a body or an error does not give it to the caller."""
        secret = str(self.config["api_key"])
        for recorded in (
            answer({"text": secret}),
            replace(self.errors[400], body=json.dumps({"message": secret}).encode()),
        ):
            reply = await self.call(ReplayUpstream({"*": recorded.varied(headers=(("x-echo", secret),))}))
            assert secret not in (await body_of(reply)).decode() + repr(reply.headers)


async def body_of(reply: Reply) -> bytes:
    return reply.body if reply.chunks is None else b"".join([chunk async for chunk in reply.chunks])


def deltas_in(body: bytes) -> list[dict[str, Any]]:
    events = [event.removeprefix(b"data: ") for event in body.split(b"\n\n") if event and not event.endswith(b"[DONE]")]
    return [choice["delta"] for event in events for choice in json.loads(event)["choices"]]


def said_in(body: bytes) -> str:
    return "".join(delta.get("content") or "" for delta in deltas_in(body))
