"""Recorded exchanges with Azure OpenAI: byte for byte to clients that speak OpenAI, and with their meaning to all others.

The recordings stand in a folder named by `HEADGATE_CORPUS`; they hold no chunk timing, so streams are cut at random.
"""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from headgate.builtin import Core
from headgate.chat import ChatReply, ToolCall, collect
from headgate.dialects import ChatDialect, Dialect
from headgate.errors import ProviderFailed
from headgate.exchange import Attempt, Exchange, Reply, Target
from headgate.operations import OPERATIONS
from headgate.secret import Secret
from headgate.testing import Recorded, ReplayUpstream
from headgate_azure import AzureOpenAI

CORPUS = Path(os.environ.get("HEADGATE_CORPUS") or Path(__file__).parents[3] / ".." / "shared" / "corpus")
DIALECTS: Mapping[str, Dialect] = {dialect.name: dialect for dialect in Core().dialects()}
BY_NAME = {operation.name: operation for operation in OPERATIONS}
CLIENTS = ("messages", "responses", "generate")
Record = dict[str, Any]
NEUTRAL: Mapping[str, Record] = {
    "chat": {"model": "m", "messages": [{"role": "user", "content": "hello"}]},
    "responses": {"model": "m", "input": "hello"},
    "messages": {"model": "m", "max_tokens": 99, "messages": [{"role": "user", "content": "hello"}]},
    "generate": {"contents": [{"role": "user", "parts": [{"text": "hello"}]}]},
}

KNOWN = {"8cc2e85243517fad": "content filtering policies"}
"""Recordings with an error for a body and 200 for a status, and what is said of them."""

pytestmark = pytest.mark.skipif(
    not CORPUS.is_dir(), reason="no recorded exchanges: set HEADGATE_CORPUS to their folder"
)


def records(*operations: str) -> Iterator[Record]:
    with gzip.open(CORPUS / "azure.jsonl.gz") as lines:
        for line in lines:
            record = json.loads(line)
            if record["operation"] in operations:
                yield record


def answer_of(record: Record, seed: int) -> Recorded:
    kind: str = "text/event-stream" if record["stream"] else "application/json"
    headers: dict[str, str] = {"content-type": kind, **(record["resp_headers"] or {})}
    body = record["resp_text"].encode()
    return Recorded(status=record["status"], headers=tuple(headers.items()), body=body, seed=seed)


def deploy(record: Record, upstream: ReplayUpstream) -> AzureOpenAI:
    """The provider as the recording was made: by its version, and by the name of its deployment."""
    sent: Record = record["req_json"] or {}
    query: dict[str, str] = record["query"] or {}
    parts = record["path"].strip("/").split("/")
    named = parts[parts.index("deployments") + 1] if "deployments" in parts else ""
    config: Record = {
        "provider": "azure-openai",
        "resource": "res",
        "api_key": Secret("sk-never-in-a-recording"),
        "api_version": query.get("api-version", ""),
        "deployments": {sent.get("model", "m"): named} if named else {},
    }
    return AzureOpenAI("mine", AzureOpenAI.Config(**config), upstream)


def exchange(provider: AzureOpenAI, operation: str, body: Record, *, stream: bool, asked: str) -> Exchange:
    """A client's exchange in whose attempt the vendor is asked for the operation `asked`."""
    client = BY_NAME[operation]
    ex = Exchange(client, {}, request_id="r", trace_id="t", dialect=DIALECTS[client.dialect])
    ex.body, ex.model, ex.stream = msgspec.json.encode(body), body.get("model", "m"), stream
    dialect = DIALECTS[BY_NAME[asked].dialect]
    ex.attempt = Attempt(Target(deployment="mine"), provider, ex.model, 0.0, operation=asked)
    ex.attempt.dialect = None if dialect is ex.dialect else dialect
    return ex


def request_of(client: str, *, stream: bool) -> Record:
    """A neutral request; Gemini's clients ask for a stream by the path."""
    return {**NEUTRAL[client], **({"stream": True} if stream and client != "generate" else {})}


async def body_of(reply: Reply) -> bytes:
    if reply.chunks is None:
        return reply.body
    return b"".join([piece async for piece in reply.chunks])


def decoded(dialect: ChatDialect, body: bytes, *, stream: bool) -> ChatReply:
    if not stream:
        return dialect.decode_reply(body)
    framer, decoder = dialect.framer(), dialect.stream_decoder()
    frames = [*framer.feed(body), *framer.end()]
    return collect([event for frame in frames for event in decoder.feed(frame)] + list(decoder.end()))


def meaning(reply: ChatReply) -> Any:
    """What every client must get of the first choice: its text, its calls, why it ended, and what it used."""
    choice = reply.choices[0]
    calls = [
        (part.name, json.loads(part.arguments or "{}")) for part in choice.message.parts if isinstance(part, ToolCall)
    ]
    usage = reply.usage and (reply.usage.prompt, reply.usage.completion)
    return choice.message.text, calls, choice.finish, usage


async def test_recordings_go_through() -> None:
    """Recorded requests reach the recorded path with their bytes, and recorded answers come back with theirs."""
    count = 0
    for record in records("chat", "completions", "embeddings", "responses"):
        count += 1
        sent = record["req_json"] or {**NEUTRAL[record["operation"]], "stream": record["stream"]}
        sent = sent if "model" in sent else {"model": "m", **sent}
        upstream = ReplayUpstream({"*": answer_of(record, count)})
        provider = deploy(record, upstream)
        ex = exchange(provider, record["operation"], sent, stream=bool(record["stream"]), asked=record["operation"])
        reply = await provider.call(ex)
        assert (reply.status, await body_of(reply)) == (record["status"], record["resp_text"].encode())
        request = upstream.requests[0]
        assert request.body == msgspec.json.encode(sent)
        if "/openai/" in record["path"]:
            named: dict[str, str] = record["query"] or {}
            query = "&".join(f"{name}={value}" for name, value in named.items())
            path = record["path"].replace("//", "/") + (f"?{query}" if query else "")
            assert request.url == f"https://res.openai.azure.com{path}"
    print(f"azure: {count} calls")
    assert count == 116


@pytest.mark.parametrize("client", CLIENTS)
async def test_answers_reach_other_clients(client: str) -> None:
    """What Azure answered means the same in every other dialect: texts, calls, why it ended, usage; an error keeps its status."""
    count = 0
    for record in records("chat"):
        count += 1
        stream = bool(record["stream"])
        provider = deploy({**record, "req_json": None}, ReplayUpstream({"*": answer_of(record, count)}))
        ex = exchange(provider, client, request_of(client, stream=stream), stream=stream, asked="chat")
        if record["id"] in KNOWN:
            with pytest.raises(ProviderFailed, match=KNOWN[record["id"]]):
                await provider.call(ex)
            continue
        reply = await provider.call(ex)
        body = await body_of(reply)
        assert reply.status == record["status"]
        if reply.is_ok:
            own = decoded(cast("ChatDialect", DIALECTS["openai.chat"]), record["resp_text"].encode(), stream=stream)
            theirs = decoded(cast("ChatDialect", DIALECTS[BY_NAME[client].dialect]), body, stream=stream)
            if own.usage is None:
                assert meaning(theirs)[:3] == meaning(own)[:3]
            else:
                assert meaning(theirs) == meaning(own)
    print(f"azure for {client}: {count} answers")
    assert count == 92
