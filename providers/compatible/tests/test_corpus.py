"""Recorded exchanges with real vendors go through byte for byte, both ways, where client and vendor speak one dialect."""

from __future__ import annotations

import json
from urllib.parse import urlsplit

import msgspec
import pytest
from openai.types import Completion
from providers.compatible.tests.asking import at, sent
from providers.compatible.tests.calls import exchange, held
from providers.compatible.tests.recordings import NEEDED, Record, answer_of, deploy_recorded, records

from headgate.errors import ProviderFailed
from headgate.exchange import Reply
from headgate.testing import Recorded, ReplayUpstream

VENDORS = {
    "openai": ("chat", "completions", "embeddings"),
    "groq": ("chat",),
    "mistral": ("chat", "embeddings"),
    "deepseek": ("chat",),
    "xai": ("chat", "responses"),
    "openrouter": ("chat",),
    "perplexity": ("chat",),
    "together": ("chat", "completions"),
}
NEUTRAL: dict[str, Record] = {
    "chat": {"model": "m", "messages": [{"role": "user", "content": "hello"}]},
    "responses": {"model": "m", "input": "hello"},
}
KNOWN = {
    "ca2a6191fe69770d": "upstream_bad_reply",  # an event stream, recorded as JSON in answer to a request for no stream
}
"""Recordings that cannot come back as they are, and the error they rightly become."""

pytestmark = NEEDED


def bodies_of(record: Record) -> list[bytes]:
    """The recorded request as different clients would write it, or a neutral one where only the answer was kept."""
    sent: Record = record["req_json"] or {**NEUTRAL[record["operation"]], "stream": record["stream"]}
    return [msgspec.json.encode(sent), json.dumps(sent, indent=2).encode()]


def usage_of(record: Record) -> Record | None:
    """The usage a recording states: in the body, or in the last event that has one, which may be Groq's own member."""
    if record["status"] != 200:
        return None
    lines = record["resp_text"].split("\n") if record["stream"] else ["data: " + record["resp_text"]]
    data = [line.removeprefix("data:") for line in lines if line.startswith("data:") and "[DONE]" not in line]
    for item in reversed(data):
        held: Record = json.loads(item)
        inner: list[Record] = [held, *(held[name] for name in ("x_groq", "response") if held.get(name))]
        found = next((each["usage"] for each in inner if each.get("usage")), None)
        if found:
            return found
    return None


async def drain(reply: Reply, received: list[bytes]) -> bytes:
    """All of a reply; `received` keeps what came should the stream break off."""
    if reply.chunks is None:
        return reply.body
    async for chunk in reply.chunks:
        received.append(chunk)  # noqa: PERF401 - a comprehension would lose what came before a failure
    return b"".join(received)


async def replay(vendor: str, record: Record, body: bytes, seed: int) -> str:
    """Send one recorded exchange through and say what differs; empty when nothing does."""
    answer = record["resp_text"].encode()
    upstream = ReplayUpstream({"*": answer_of(record, seed)})
    provider = deploy_recorded(vendor, upstream)
    received: list[bytes] = []
    try:
        reply = await provider.call(exchange(provider, body, record["operation"]))
        got = await drain(reply, received)
    except ProviderFailed as error:
        assert answer.startswith(b"".join(received))
        return error.error_code
    finally:
        assert [response.is_closed for response in upstream.responses] == [True]
    assert [request.body for request in upstream.requests] == [body]
    if record["req_json"] and vendor != "deepseek":  # which has three names for one path
        assert urlsplit(upstream.requests[0].url).path == record["path"]
    assert reply.status == record["status"]
    assert (reply.usage.raw if reply.usage else None) == usage_of(record)
    if got == answer:
        return ""
    if reply.is_ok:
        return "other bytes"
    assert json.loads(got)["error"]["message"]
    return "wrapped error"


@pytest.mark.parametrize("vendor", VENDORS)
async def test_recordings_go_through(vendor: str) -> None:
    """Recorded requests reach the vendor and recorded answers the caller without a changed byte, but for the known."""
    found: dict[str, str] = {}
    count = 0
    ids: set[str] = set()
    for record in records(vendor, *VENDORS[vendor]):
        ids.add(record["id"])
        for body in bodies_of(record):
            count += 1
            difference = await replay(vendor, record, body, count)
            if difference:
                found[record["id"]] = difference
    print(f"{vendor}: {count} calls of {len(ids)} recordings, {len(found)} differ: {found}")
    assert count > 0
    assert found == {id_: why for id_, why in KNOWN.items() if id_ in ids}


@pytest.mark.parametrize("vendor", VENDORS)
async def test_recorded_streams_cut_short_fail(vendor: str) -> None:
    """A recorded stream that loses its end raises, after relaying whole events only; it never looks complete."""
    for record in records(vendor, "chat", "completions"):
        if not record["stream"] or record["status"] != 200 or record["id"] in KNOWN:
            continue
        events = record["resp_text"].split("\n\n")
        half = {**record, "resp_text": "\n\n".join(events[: len(events) // 2])}
        if '"finish_reason":"' in half["resp_text"].replace(" ", "") or len(events) < 6:
            continue
        assert await replay(vendor, half, bodies_of(record)[0], 1) == "upstream_cut"


async def test_recorded_vectors_reach_openais_clients() -> None:
    """A client that asks as OpenAI's do gets Voyage's vectors to the bit, and Voyage what it was asked for."""
    count = 0
    for record in records("voyage", "embeddings"):
        count += 1
        asked = {name: value for name, value in record["req_json"].items() if value is not None}
        upstream = ReplayUpstream({"*": answer_of(record, count)})
        reply = await deploy_recorded("voyage", upstream).call(
            exchange(deploy_recorded("voyage", upstream), asked, "embeddings")
        )
        sent = json.loads(held(upstream.requests[0]))
        assert (sent["input"], sent["input_type"], sent["truncation"]) == (asked["input"], "document", True)
        answer, told = json.loads(record["resp_text"]), json.loads(reply.body)
        assert [one["embedding"] for one in told["data"]] == [one["embedding"] for one in answer["data"]]
        assert told["usage"]["total_tokens"] == answer["usage"]["total_tokens"]
    assert count == 2


async def test_recorded_rankings_reach_cohere_clients() -> None:
    """A client that asks as Cohere's do gets Voyage's ranking, and Voyage the request as it was recorded."""
    count = 0
    for record in records("voyage", "rerank"):
        count += 1
        sent: Record = record["req_json"]
        asked = {("top_n" if name == "top_k" else name): value for name, value in sent.items()}
        upstream = ReplayUpstream({"*": answer_of(record, count)})
        provider = deploy_recorded("voyage", upstream)
        reply = await provider.call(exchange(provider, asked, "rerank"))
        assert json.loads(held(upstream.requests[0])) == sent
        answer, told = json.loads(record["resp_text"]), json.loads(reply.body)
        pairs = [(one["index"], one["relevance_score"]) for one in told["results"]]
        assert pairs == [(one["index"], one["relevance_score"]) for one in answer["data"]]
        assert reply.usage is not None
        assert reply.usage.prompt == answer["usage"]["total_tokens"]
    assert count == 2


async def test_writers_completions_are_told_as_openais() -> None:
    """Writer's recorded answers, which have neither ids nor an end, arrive as completions with their whole text."""
    for record in records("writer", "completions"):
        told = Recorded(headers=tuple(record["resp_headers"].items()), body=record["resp_text"].encode())
        async with at("writer") as vendor:
            vendor.upstream.answer("*", told)
            reply = await vendor.client.post(
                "/v1/completions", json=record["req_json"], headers={"x-headgate-provider": "mine"}
            )
            assert sent(vendor.calls[0])[2] == record["req_json"]
        lines = [line.removeprefix("data: ") for line in record["resp_text"].splitlines() if line.startswith("data: ")]
        if record["stream"]:
            events = [line for line in reply.text.splitlines() if line.startswith("data: ")]
            assert events.pop() == "data: [DONE]"
            said: list[Record] = [json.loads(event.removeprefix("data: "))["choices"][0] for event in events]
            text = "".join(json.loads(line)["value"] for line in lines)
        else:
            said = Completion.model_validate(reply.json()).model_dump()["choices"]
            text = json.loads(record["resp_text"])["choices"][0]["text"]
        assert ("".join(each["text"] for each in said), said[-1]["finish_reason"]) == (text, "stop")
