"""Calls through a deployment: what a client of another dialect asks, what reaches Bedrock, and what comes back."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest
from msgspec.structs import replace

from headgate.builtin import Core
from headgate.chat import ChatRequest, File, Image, Message, Part, ToolResult
from headgate.dialects import ChatDialect, Gaps
from headgate.errors import InvalidRequest, ProviderFailed
from headgate.exchange import Attempt, Exchange, Principal, Reply, Target
from headgate.operations import CHAT, EMBEDDINGS, MESSAGES, RERANK, Operation
from headgate.secret import Secret
from headgate.testing import Recorded, ReplayUpstream
from headgate.translation import without_foreign_thoughts
from headgate_bedrock import Bedrock, BedrockConfig
from headgate_bedrock.frames import encode_frame
from headgate_bedrock.replies import exception_frame

Json = dict[str, Any]
Judge = Callable[[bytes], list[str]]
CLAUDE = "us.anthropic.claude-sonnet-4-6"
OLDER = "anthropic.claude-sonnet-4-20250514-v1:0"
SIGNATURE = base64.b64encode(b"\x12\x04sign").decode()
USAGE = {"inputTokens": 10, "outputTokens": 5, "totalTokens": 15}
ASKED: Json = {"model": "m", "messages": [{"role": "user", "content": "a"}]}
EVENT_STREAM = (("content-type", "application/vnd.amazon.eventstream"), ("x-amzn-requestid", "q"))
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 40


def whole(*blocks: Json, stop: str = "end_turn") -> Recorded:
    message = {"role": "assistant", "content": list(blocks)}
    return Recorded.from_json({"output": {"message": message}, "stopReason": stop, "usage": USAGE})


def event(kind: str, **payload: Any) -> bytes:
    headers = {":event-type": kind, ":content-type": "application/json", ":message-type": "event"}
    return encode_frame(headers, json.dumps(payload).encode())


def stream(*frames: bytes, size: int = 5) -> Recorded:
    return Recorded(headers=EVENT_STREAM, body=b"".join(frames), sizes=(size,))


START = event("messageStart", role="assistant")
STOP = event("messageStop", stopReason="end_turn")
META = event("metadata", usage=USAGE, metrics={"latencyMs": 9})


def text(said: str) -> bytes:
    return event("contentBlockDelta", contentBlockIndex=0, delta={"text": said})


def deploy(upstream: ReplayUpstream, **config: Any) -> Bedrock:
    held: Json = {
        "provider": "bedrock",
        "region": "us-east-1",
        "access_key_id": "AK",
        "secret_access_key": Secret("secret-of-aws"),
        **config,
    }
    return Bedrock("main", BedrockConfig(**held), upstream)


def dialects() -> dict[str, Any]:
    return {dialect.name: dialect for dialect in Core().dialects()}


async def call(
    upstream: ReplayUpstream, asked: Json, model: str = CLAUDE, operation: Operation = CHAT, **config: Any
) -> Reply:
    """One call as the pipeline makes it."""
    provider = deploy(upstream, **config)
    ex = Exchange(operation, {}, request_id="r", trace_id="t", dialect=dialects()[operation.dialect])
    ex.body, ex.model, ex.stream = json.dumps(asked).encode(), model, bool(asked.get("stream"))
    ex.principal = Principal("test")
    spoken = provider.spoken(ex, model)
    assert spoken is not None
    attempt = ex.attempt = Attempt(Target(deployment="main"), provider, model, time.monotonic())
    attempt.operation, attempt.dialect = spoken[0], cast("Any", provider.codecs[spoken[1]])
    return await provider.call(ex)


async def body_of(reply: Reply) -> bytes:
    return reply.body if reply.chunks is None else b"".join([chunk async for chunk in reply.chunks])


def chunks_of(body: bytes) -> list[Json]:
    lines = [line.removeprefix(b"data: ") for line in body.split(b"\n") if line.startswith(b"data: {")]
    return [json.loads(line) for line in lines]


async def test_a_whole_answer() -> None:
    """An OpenAI client gets its own form of the answer; Bedrock was asked in Converse, signed."""
    upstream = ReplayUpstream({"*": whole({"text": "hi"})})
    reply = await call(upstream, ASKED)
    said = json.loads(reply.body)
    assert said["choices"][0]["message"]["content"] == "hi"
    assert (said["choices"][0]["finish_reason"], said["usage"]["prompt_tokens"]) == ("stop", 10)
    sent = upstream.requests[0]
    assert sent.url.endswith("/model/us.anthropic.claude-sonnet-4-6/converse")
    assert json.loads(sent.body) == {"messages": [{"role": "user", "content": [{"text": "a"}]}]}
    assert b"authorization" in dict(sent.headers)
    assert reply.usage is not None


@pytest.mark.parametrize("size", [1, 7, 64, 100_000])
async def test_a_stream(size: int) -> None:
    """A stream reaches an OpenAI client in its form, however Bedrock's bytes arrive, and ends as it should."""
    recorded = stream(START, text("a"), text("é"), STOP, META, size=size)
    upstream = ReplayUpstream({"*": recorded})
    reply = await call(upstream, {**ASKED, "stream": True, "stream_options": {"include_usage": True}})
    body = await body_of(reply)
    chunks = chunks_of(body)
    deltas = [chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks if chunk["choices"]]
    assert "".join(deltas) == "aé"
    assert chunks[-1]["usage"]["total_tokens"] == 15
    assert body.rstrip().endswith(b"data: [DONE]")
    assert upstream.requests[0].url.endswith("/converse-stream")
    assert [one.is_closed for one in upstream.responses] == [True]


async def test_a_stream_of_a_model_that_answers_whole() -> None:
    """Llama streams no calls: it is asked for a whole answer, and the client has its stream all the same."""
    upstream = ReplayUpstream(
        {"*": whole({"toolUse": {"toolUseId": "c", "name": "f", "input": {"a": 1}}}, stop="tool_use")}
    )
    tools = [{"type": "function", "function": {"name": "f"}}]
    reply = await call(upstream, {**ASKED, "stream": True, "tools": tools}, "us.meta.llama3-3-70b-instruct-v1:0")
    chunks = chunks_of(await body_of(reply))
    pieces = [piece for chunk in chunks for piece in chunk["choices"][0]["delta"].get("tool_calls", [])]
    assert "".join(piece["function"].get("arguments", "") for piece in pieces) == '{"a":1}'
    assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"
    assert upstream.requests[0].url.endswith("/converse")


async def test_an_anthropic_client() -> None:
    """A client of Anthropic's API gets thinking with its signature and calls in its own form."""
    blocks = (
        {"reasoningContent": {"reasoningText": {"text": "why", "signature": SIGNATURE}}},
        {"toolUse": {"toolUseId": "c", "name": "f", "input": {"a": 1}}},
    )
    upstream = ReplayUpstream({"*": whole(*blocks, stop="tool_use")})
    tools = [{"name": "f", "input_schema": {"type": "object"}, "cache_control": {"type": "ephemeral"}}]
    asked = {**ASKED, "max_tokens": 4000, "thinking": {"type": "enabled", "budget_tokens": 2000}, "tools": tools}
    said = json.loads((await call(upstream, asked, operation=MESSAGES)).body)
    assert [block["type"] for block in said["content"]] == ["thinking", "tool_use"]
    assert (said["content"][0]["signature"], said["stop_reason"]) == (SIGNATURE, "tool_use")
    sent = json.loads(upstream.requests[0].body)
    assert sent["additionalModelRequestFields"] == {"thinking": {"type": "enabled", "budget_tokens": 2000}}
    assert [next(iter(tool)) for tool in sent["toolConfig"]["tools"]] == ["toolSpec", "cachePoint"]


async def test_thinking_comes_back_byte_for_byte() -> None:
    """What a client is given of the thinking, sent back in the next turn, is what Claude signed."""
    block = {"reasoningContent": {"reasoningText": {"text": "why", "signature": SIGNATURE}}}
    use = {"toolUse": {"toolUseId": "c", "name": "f", "input": {"a": 1}}}
    upstream = ReplayUpstream({"*": whole(block, use, stop="tool_use")})
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
    first = json.loads((await call(upstream, {**ASKED, "tools": tools})).body)["choices"][0]["message"]
    result = {"role": "tool", "tool_call_id": "c", "content": "r"}
    await call(upstream, {**ASKED, "tools": tools, "messages": [*ASKED["messages"], first, result]})
    assert json.loads(upstream.requests[1].body)["messages"][1]["content"] == [block, use]


async def test_an_answer_by_schema() -> None:
    """A model without structured output is made to call a tool; the client sees its input as the answer."""
    use = {"toolUse": {"toolUseId": "c", "name": "headgate_output", "input": {"a": 1}}}
    upstream = ReplayUpstream({"*": whole(use, stop="tool_use")})
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    asked = {**ASKED, "response_format": {"type": "json_schema", "json_schema": {"name": "card", "schema": schema}}}
    choice = json.loads((await call(upstream, asked, OLDER)).body)["choices"][0]
    assert (json.loads(choice["message"]["content"]), choice["finish_reason"]) == ({"a": 1}, "stop")
    assert not choice["message"].get("tool_calls")
    sent = json.loads(upstream.requests[0].body)["toolConfig"]
    assert sent["toolChoice"] == {"tool": {"name": "headgate_output"}}


async def test_pictures_by_url() -> None:
    """A picture by URL is fetched by the gateway and goes as bytes; a place in S3 is refused by name."""
    upstream = ReplayUpstream(
        {"/x.png": Recorded(headers=(("content-type", "image/png"),), body=PNG), "*": whole({"text": "b"})}
    )
    picture = {"type": "image_url", "image_url": {"url": "https://pictures.example/x.png"}}
    await call(upstream, {**ASKED, "messages": [{"role": "user", "content": [{"type": "text", "text": "a"}, picture]}]})
    content = json.loads(upstream.requests[1].body)["messages"][0]["content"]
    assert content[1] == {"image": {"format": "png", "source": {"bytes": base64.b64encode(PNG).decode()}}}
    stored = {"type": "image_url", "image_url": {"url": "s3://bucket/x.png"}}
    with pytest.raises(InvalidRequest, match="content"):
        await call(upstream, {**ASKED, "messages": [{"role": "user", "content": [stored]}]})


# errors


async def test_errors_keep_their_words() -> None:
    """An error of Bedrock's is one in the client's form, with its words and the status that it stands for."""
    cases = [(429, "slow down", 429), (403, "The security token included in the request is expired", 401)]
    for status, words, fixed in cases:
        for streams in (False, True):
            upstream = ReplayUpstream({"*": Recorded.from_json({"message": words}, status)})
            reply = await call(upstream, {**ASKED, "stream": streams})
            assert (reply.status, json.loads(reply.body)["error"]["message"]) == (fixed, words)


async def test_an_exception_before_anything_else() -> None:
    """An exception as the first message is an error reply, so that another target can be tried."""
    for frames in ((), (START,)):
        upstream = ReplayUpstream({"*": stream(*frames, exception_frame(429, "slow down"))})
        reply = await call(upstream, {**ASKED, "stream": True})
        assert (reply.status, json.loads(reply.body)["error"]["message"]) == (429, "slow down")


async def test_an_exception_in_the_middle() -> None:
    """An exception behind text is an error event; nothing pretends that the answer was complete."""
    upstream = ReplayUpstream({"*": stream(START, text("a"), exception_frame(503, "overloaded"), STOP, META)})
    reply = await call(upstream, {**ASKED, "stream": True})
    body = await body_of(reply)
    assert chunks_of(body)[-1]["error"]["message"] == "overloaded"
    assert b"[DONE]" not in body
    assert not any(chunk["choices"][0]["finish_reason"] for chunk in chunks_of(body) if chunk.get("choices"))
    assert reply.has_error_event


@pytest.mark.parametrize("frames", [(START,), (START, text("a")), (START, text("a"), STOP[:20])])
async def test_a_cut_stream_raises(frames: tuple[bytes, ...]) -> None:
    """A stream that ends early raises, whatever it had said."""
    upstream = ReplayUpstream({"*": stream(*frames)})
    with pytest.raises(ProviderFailed) as caught:
        await body_of(await call(upstream, {**ASKED, "stream": True}))
    assert caught.value.error_code == "upstream_cut"


async def test_no_secret_comes_back() -> None:
    """A secret key that Bedrock would echo does not reach the caller."""
    upstream = ReplayUpstream({"*": whole({"text": "secret-of-aws"})})
    assert b"secret-of-aws" not in (await call(upstream, ASKED)).body


# vectors


async def test_embeddings_and_reranking() -> None:
    """OpenAI's embeddings and Cohere's rerank reach InvokeModel in its makers' words."""
    upstream = ReplayUpstream({"*": Recorded.from_json({"embedding": [1.0], "inputTextTokenCount": 3})})
    reply = await call(upstream, {"model": "m", "input": "a"}, "amazon.titan-embed-text-v2:0", EMBEDDINGS)
    assert json.loads(reply.body)["data"][0]["embedding"] == [1.0]
    assert upstream.requests[0].url.endswith("/model/amazon.titan-embed-text-v2%3A0/invoke")
    upstream.answer("*", Recorded.from_json({"results": [{"index": 1, "relevance_score": 0.5}]}))
    asked = {"model": "m", "query": "q", "documents": ["a", "b"]}
    reply = await call(upstream, asked, "cohere.rerank-v3-5:0", RERANK)
    assert json.loads(reply.body)["results"] == [{"index": 1, "relevance_score": 0.5}]


# requests of every client


def inlined(request: ChatRequest) -> ChatRequest:
    """A request with bytes in place of URLs, as the gateway would have fetched them."""

    def fetched(part: Any) -> Any:
        if isinstance(part, ToolResult):
            return replace(part, content=tuple(map(fetched, part.content)))
        if isinstance(part, Image | File) and part.url:
            kind = "image/png" if isinstance(part, Image) else "application/pdf"
            return replace(part, url=None, data="QUJD", media_type=kind)
        return part

    def turn(message: Message) -> Message:
        return replace(message, parts=cast("tuple[Part, ...]", tuple(map(fetched, message.parts))))

    return replace(request, messages=tuple(map(turn, request.messages)))


@pytest.mark.parametrize(
    ("vendor", "operation", "dialect"),
    [
        ("openai", "chat", "openai.chat"),
        ("mistral", "chat", "openai.chat"),
        ("openai", "responses", "openai.responses"),
        ("anthropic", "messages", "anthropic.messages"),
    ],
)
@pytest.mark.parametrize("model", [CLAUDE, OLDER, "amazon.nova-2-lite-v1:0"])
def test_recorded_requests_of_clients(
    recorded: Callable[[str, str], Iterator[Json]],
    problems: Judge,
    vendor: str,
    operation: str,
    dialect: str,
    model: str,
) -> None:
    """Whatever real clients sent to other vendors becomes a body that AWS's model accepts, or is refused by name."""
    provider, client, count = deploy(ReplayUpstream()), cast("ChatDialect", dialects()[dialect]), 0
    for record in recorded(vendor, operation):
        try:
            asked = client.decode_request(json.dumps(record["req_json"]).encode())
        except InvalidRequest:
            continue  # recorded for the error it was
        gaps = Gaps("bedrock", "drop")
        request = without_foreign_thoughts(replace(asked, model=model), provider, gaps)
        settled = inlined(provider.adapt(request, gaps))
        body = provider.codecs["bedrock.converse"]
        assert problems(cast("ChatDialect", body).encode_request(settled, gaps)) == [], record["id"]
        count += 1
    assert count > 0
