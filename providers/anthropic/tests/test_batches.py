"""Message batches for OpenAI's clients: what is sent, and what is told of batches and their results."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import openai
import openai.types
import openai.types.responses
import pytest
from anthropic.types.messages import MessageBatch, MessageBatchIndividualResponse
from anthropic.types.messages.batch_create_params import BatchCreateParams
from openai.types.chat import ChatCompletion
from pydantic import TypeAdapter

from headgate.testing import Client, Recorded, ReplayUpstream, gateway

Json = dict[str, Any]

KEY = "sk-ant-0f1e2d3c4b5a"
NAMED = {"x-headgate-provider": "d"}
MODEL = "claude-sonnet-4-5"
CHAT = "/v1/chat/completions"
COUNTS = {"processing": 0, "succeeded": 0, "errored": 0, "canceled": 0, "expired": 0}
BATCH: Json = {
    "id": "msgbatch_01Hk",
    "type": "message_batch",
    "processing_status": "in_progress",
    "request_counts": {**COUNTS, "processing": 2},
    "created_at": "2025-04-15T18:37:24.100435Z",
    "expires_at": "2025-04-16T18:37:24.100435Z",
    "ended_at": None,
    "cancel_initiated_at": None,
    "archived_at": None,
    "results_url": None,
}
ENDED: Json = {
    **BATCH,
    "processing_status": "ended",
    "request_counts": {**COUNTS, "succeeded": 3, "errored": 1, "canceled": 0},
    "ended_at": "2025-04-15T19:00:00Z",
    "results_url": "https://api.anthropic.com/v1/messages/batches/msgbatch_01Hk/results",
}
MESSAGE: Json = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": MODEL,
    "content": [{"type": "text", "text": "Hi."}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 9, "output_tokens": 3},
}
HI: Json = {"model": MODEL, "messages": [{"role": "user", "content": "hi"}]}
WEATHER: Json = {"name": "weather", "parameters": {"type": "object", "properties": {}}}


def at(upstream: ReplayUpstream, **more: Any) -> Any:
    return gateway(providers={"d": {"provider": "anthropic", "api_key": KEY, **more}}, upstream=upstream)


def new(*bodies: Json, endpoint: str = CHAT, **more: Any) -> Json:
    requests = [{"custom_id": f"r{at}", "body": body} for at, body in enumerate(bodies)]
    return {"input_file_id": "", "endpoint": endpoint, "completion_window": "24h", "requests": requests, **more}


async def create(client: Client, asked: Json, **headers: str) -> Any:
    return await client.post("/v1/batches", headers={**NAMED, **headers}, json=asked)


async def made(asked: Json, **headers: str) -> tuple[Any, ReplayUpstream]:
    """What the gateway answers to a new batch, and what it sent."""
    upstream = ReplayUpstream({"*": Recorded.from_json(BATCH)})
    async with at(upstream) as client:
        return await create(client, asked, **headers), upstream


def requests_in(upstream: ReplayUpstream) -> list[Json]:
    """The requests that were sent, which fit the types of the vendor's SDK."""
    [request] = upstream.requests
    assert (request.method, request.url) == ("POST", "https://api.anthropic.com/v1/messages/batches")
    said = json.loads(request.body)
    TypeAdapter(BatchCreateParams).validate_python(said)
    return said["requests"]


async def test_a_new_batch() -> None:
    """Each request is translated as a single one is; the batch is told as OpenAI's clients read it."""
    one: Json = {**HI, "messages": [{"role": "system", "content": "Be short."}, *HI["messages"]], "max_tokens": 50}
    two: Json = {**HI, "model": f"d/{MODEL}", "tools": [{"type": "function", "function": WEATHER}], "max_tokens": 60}
    reply, upstream = await made(new(one, two))
    assert MessageBatch.model_validate(BATCH)
    told = openai.types.Batch.model_validate(reply.json())
    assert (told.id, told.status, told.endpoint) == ("msgbatch_01Hk", "in_progress", CHAT)
    assert (told.created_at, told.expires_at) == (1744742244, 1744828644)
    assert (told.output_file_id, told.error_file_id, told.completed_at) == (None, None, None)
    assert told.request_counts is not None
    assert told.request_counts.to_dict() == {"total": 2, "completed": 0, "failed": 0}
    first, second = requests_in(upstream)
    assert first == {
        "custom_id": "r0",
        "params": {
            "model": MODEL,
            "max_tokens": 50,
            "system": "Be short.",
            "messages": [{"role": "user", "content": "hi"}],
        },
    }
    assert second["params"]["model"] == MODEL
    assert second["params"]["tools"] == [{"name": "weather", "input_schema": WEATHER["parameters"]}]
    headers = dict(upstream.requests[0].headers)
    assert headers[b"anthropic-version"] == b"2023-06-01"
    assert b"anthropic-beta" not in headers


async def test_lines_as_files_have_them() -> None:
    """A line of OpenAI's files does, and a request without a model has that of the batch."""
    line = {"custom_id": "a", "method": "POST", "url": CHAT, "body": {"messages": HI["messages"]}}
    _, upstream = await made({**new(HI), "requests": [line], "model": MODEL})
    assert requests_in(upstream)[0]["params"]["model"] == MODEL


async def test_the_other_endpoints() -> None:
    """Requests of Responses are translated; those of Messages are the vendor's own. The id says which they are."""
    _, upstream = await made(
        new({"model": MODEL, "input": "hi", "instructions": "Be short."}, endpoint="/v1/responses")
    )
    [sent] = requests_in(upstream)
    assert (sent["custom_id"], sent["params"]["system"]) == ("hg-r-r0", "Be short.")
    own = {**HI, "max_tokens": 5, "top_k": 3}
    _, upstream = await made(new(own, endpoint="/v1/messages"))
    assert requests_in(upstream) == [{"custom_id": "hg-m-r0", "params": own}]


async def test_betas_of_blocks() -> None:
    """A block of history that needs a beta names it, and what the client names stays."""
    asked = new({**HI, "max_tokens": 5, "context_management": {"type": "compaction"}}, endpoint="/v1/messages")
    _, upstream = await made(asked, **{"anthropic-beta": "other-2026-01-01"})
    betas = dict(upstream.requests[0].headers)[b"anthropic-beta"].split(b",")
    assert betas == [b"other-2026-01-01", b"compact-2026-01-12"]


REFUSED: list[tuple[Json, str, str]] = [
    ({**new(HI), "input_file_id": "file_1"}, "input_file_id", "`requests`"),
    ({**new(HI), "requests": None}, "requests", "is missing"),
    ({**new(HI), "requests": []}, "requests", "is missing"),
    ({**new(HI), "requests": [{"body": HI}]}, "requests[0].custom_id", "custom_id"),
    ({**new(HI), "requests": [{"custom_id": "a.b", "body": HI}]}, "requests[0].custom_id", "at most 64"),
    ({**new(HI), "requests": [{"custom_id": "a" * 65, "body": HI}]}, "requests[0].custom_id", "at most 64"),
    ({**new(HI), "requests": [{"custom_id": "a", "url": "/v1/embeddings", "body": HI}]}, "requests[0].url", CHAT),
    ({**new(HI), "requests": [{"custom_id": "a", "method": "GET", "body": HI}]}, "requests[0].method", "POST"),
    ({**new(HI), "requests": [{"custom_id": "a", "body": HI, "priority": 1}]}, "requests[0].priority", "priority"),
    ({**new(HI), "requests": [{"custom_id": "a"}]}, "requests[0].body", "`a`"),
    (new(HI, endpoint="/v1/embeddings"), "endpoint", CHAT),
    ({**new(HI), "completion_window": "48h"}, "completion_window", "24h"),
    ({**new(HI), "metadata": {"a": "b"}}, "metadata", "metadata"),
    (new({"messages": []}), "requests[0].body.model", "`r0`"),
    (new(HI, {**HI, "seed": 7}), "requests[1].body.seed", "`r1`"),
    (new({**HI, "stream": True}), "requests[0].body.stream", "whole"),
    (new({**HI, "messages": "hi"}), "requests[0].body.messages", "`r0`"),
    (
        new({**HI, "tools": [{"type": "function", "function": {**WEATHER, "name": "a.b"}}]}),
        "requests[0].body.tools",
        "a.b",
    ),
    (
        new({"model": MODEL, "input": "hi", "tools": [{"type": "custom", "name": "run"}]}, endpoint="/v1/responses"),
        "requests[0].body.tools",
        "functions alone",
    ),
]


@pytest.mark.parametrize(("asked", "param", "words"), REFUSED)
async def test_what_is_refused(asked: Json, param: str, words: str) -> None:
    """Nothing is sent, and the error names the request and the field."""
    reply, upstream = await made(asked)
    error = reply.json()["error"]
    assert (reply.status_code, error["param"], upstream.requests) == (400, param, [])
    assert words in error["message"]


async def test_what_is_dropped() -> None:
    """What may be dropped is, each field of all requests by one name."""
    tools = [{"type": "function", "function": {**WEATHER, "name": "a.b"}}]
    asked = new({**HI, "seed": 7}, {**HI, "seed": 8, "tools": tools, "stream": True})
    reply, upstream = await made(asked, **{"x-headgate-unsupported": "drop"})
    assert reply.headers["x-headgate-dropped"] == "requests[].body.seed, requests[].body.stream, requests[].body.tools"
    first, second = requests_in(upstream)
    assert "seed" not in first["params"]
    assert second["params"]["tools"][0]["name"] == "a_b"
    assert "stream" not in second["params"]


@pytest.mark.parametrize(
    ("said", "status", "ends", "files"),
    [
        ({}, "in_progress", {}, (False, False)),
        (
            {"processing_status": "canceling", "cancel_initiated_at": "1970-01-01T00:00:09Z"},
            "cancelling",
            {"cancelling_at": 9},
            (False, False),
        ),
        ({**ENDED, "ended_at": "1970-01-01T00:00:09Z"}, "completed", {"completed_at": 9}, (True, True)),
        (
            {
                **ENDED,
                "request_counts": {**COUNTS, "canceled": 2},
                "ended_at": "1970-01-01T00:00:09Z",
                "cancel_initiated_at": "1970-01-01T00:00:08Z",
            },
            "cancelled",
            {"cancelled_at": 9, "cancelling_at": 8},
            (False, True),
        ),
        (
            {**ENDED, "request_counts": {**COUNTS, "expired": 2, "succeeded": 1}, "ended_at": "1970-01-01T00:00:09Z"},
            "expired",
            {"expired_at": 9},
            (True, True),
        ),
        (
            {**ENDED, "request_counts": {**COUNTS, "succeeded": 1}, "ended_at": "1970-01-01T00:00:09Z"},
            "completed",
            {"completed_at": 9},
            (True, False),
        ),
        (
            {**ENDED, "results_url": None, "archived_at": "2025-06-01T00:00:00Z", "ended_at": "1970-01-01T00:00:09Z"},
            "completed",
            {"completed_at": 9},
            (False, False),
        ),
    ],
)
async def test_statuses(said: Json, status: str, ends: Json, files: tuple[bool, bool]) -> None:
    """How a batch ended is told by what became of its requests; its results are files where there are any."""
    upstream = ReplayUpstream({"/v1/messages/batches/msgbatch_01Hk": Recorded.from_json({**BATCH, **said})})
    async with at(upstream) as client:
        reply = await client.get("/v1/batches/msgbatch_01Hk", headers=NAMED)
    told = openai.types.Batch.model_validate(reply.json())
    assert told.status == status
    names = ("cancelled_at", "cancelling_at", "completed_at", "expired_at", "failed_at")
    assert {name: reply.json()[name] for name in names if reply.json().get(name)} == ends
    assert (told.output_file_id is not None, told.error_file_id is not None) == files
    assert told.error_file_id in {None, "msgbatch_01Hk-errors"}


async def test_a_list_over_pages_and_a_cancellation() -> None:
    """Lists go on behind `after`; what is cancelled is told."""
    first = {"data": [{**BATCH, "id": f"msgbatch_{n}"} for n in range(3)], "has_more": True, "last_id": "msgbatch_2"}
    last = {"data": [{**BATCH, "id": "msgbatch_3"}], "has_more": False, "last_id": "msgbatch_3"}
    upstream = ReplayUpstream({"*": [Recorded.from_json(first), Recorded.from_json(last), Recorded.from_json(BATCH)]})
    async with at(upstream) as client:
        reply = await client.get("/v1/batches?after=msgbatch_1&limit=2", headers=NAMED)
        gone = await client.post("/v1/batches/msgbatch_01Hk/cancel", headers=NAMED)
    assert [each["id"] for each in reply.json()["data"]] == ["msgbatch_2", "msgbatch_3"]
    assert reply.json()["has_more"] is False
    assert gone.json()["id"] == "msgbatch_01Hk"
    assert [(call.method, call.url.removeprefix("https://api.anthropic.com/v1")) for call in upstream.requests] == [
        ("GET", "/messages/batches?limit=1000"),
        ("GET", "/messages/batches?limit=1000&after_id=msgbatch_2"),
        ("POST", "/messages/batches/msgbatch_01Hk/cancel"),
    ]


@pytest.mark.parametrize("known", ["%2e%2e", "a%2F..%2Fb", "a/b/cancel"])
async def test_ids_stay_in_their_place(known: str) -> None:
    """An id that would lead elsewhere is refused, and nothing is sent."""
    upstream = ReplayUpstream({"*": Recorded.from_json(BATCH)})
    async with at(upstream) as client:
        reply = await client.post(f"/v1/batches/{known}/cancel", headers=NAMED)
    assert (reply.status_code >= 400, upstream.requests) == (True, [])


async def test_the_official_client() -> None:
    """OpenAI's SDK makes a batch, asks for it and reads both of its files."""
    told = Recorded(headers=(("content-type", "application/x-jsonl"),), body=ANSWERS)
    path = "/v1/messages/batches/msgbatch_01Hk"
    answers = {
        "/v1/messages/batches": Recorded.from_json(BATCH),
        path: Recorded.from_json(ENDED),
        f"{path}/results": told,
    }
    async with at(ReplayUpstream(answers)) as client:
        sdk = openai.AsyncOpenAI(
            api_key="none", base_url=f"{client.base_url}/v1", http_client=client, default_headers=NAMED
        )
        made = await sdk.batches.create(
            input_file_id="",
            endpoint=CHAT,
            completion_window="24h",
            extra_body={"requests": [{"custom_id": "a", "body": HI}]},
        )
        ended = await sdk.batches.retrieve(made.id)
        assert (made.status, ended.status) == ("in_progress", "completed")
        done = await sdk.files.content(str(ended.output_file_id))
        failed = await sdk.files.content(str(ended.error_file_id))
    assert (len(done.text.splitlines()), len(failed.text.splitlines())) == (7, 3)


# results


def lines(*results: tuple[str, Json]) -> bytes:
    """The file of results that the vendor tells."""
    told = [{"custom_id": known, "result": result} for known, result in results]
    assert all(MessageBatchIndividualResponse.model_validate(each) for each in told)
    return b"".join(json.dumps(each).encode() + b"\n" for each in told)


def done(**members: Any) -> Json:
    return {"type": "succeeded", "message": {**MESSAGE, **members}}


def called(name: str, arguments: str) -> Json:
    text = json.dumps(
        {**MESSAGE, "stop_reason": "tool_use", "content": [{"type": "tool_use", "id": "t", "name": name, "input": 0}]}
    )
    return {"type": "succeeded", "message": json.loads(text.replace('"input": 0', f'"input": {arguments}'))}


async def read(body: bytes, known: str = "msgbatch_01Hk", sizes: tuple[int, ...] = ()) -> list[Json]:
    """The lines of `files.content`, whatever the pieces that the vendor's come in."""
    told = Recorded(headers=(("content-type", "application/x-jsonl"),), body=body, sizes=sizes)
    upstream = ReplayUpstream(
        {
            "/v1/messages/batches/msgbatch_01Hk": Recorded.from_json(ENDED),
            "/v1/messages/batches/msgbatch_01Hk/results": told,
        }
    )
    async with at(upstream) as client:
        reply = await client.get(f"/v1/files/{known}/content", headers=NAMED)
    assert reply.status_code == 200
    assert all(call.credential is not None for call in upstream.requests)
    return [json.loads(line) for line in reply.content.splitlines()]


FAILED: Json = {
    "type": "error",
    "error": {"type": "invalid_request_error", "message": "bad"},
    "request_id": "req_9",
}
ANSWERS = lines(
    ("r0", done()),
    ("r1", {"type": "errored", "error": FAILED}),
    ("r2", called("headgate_output", '{"n": 1.10}')),
    ("r3", {"type": "canceled"}),
    ("r4", {"type": "expired"}),
    ("hg-r-r5", called("weather", '{"big": 12345678901234567890123}')),
    ("hg-m-r6", done()),
    ("hg-cf-r7", called("weather", "{}")),
    ("hg-ch-r8", done(content=[{"type": "thinking", "thinking": "hm", "signature": "s"}, {"type": "text", "text": "Hi."}])),
    ("hg-c-hg-r-r9", done(content=[{"type": "thinking", "thinking": "hm", "signature": "s"}])),
)  # fmt: skip


async def test_results_that_came() -> None:
    """Each answer is told in the words of its request: a completion, a response, a message."""
    told = {line["custom_id"]: line["response"]["body"] for line in await read(ANSWERS)}
    assert [*told] == ["r0", "r2", "r5", "r6", "r7", "r8", "hg-r-r9"]
    first = ChatCompletion.model_validate(told["r0"])
    assert (first.id, first.created, first.choices[0].message.content) == ("msg_1", 1744743600, "Hi.")
    assert first.usage is not None
    assert (first.usage.prompt_tokens, first.usage.completion_tokens) == (9, 3)
    assert told["r2"]["choices"][0]["message"]["content"] == '{"n": 1.1}'
    assert told["r2"]["choices"][0]["finish_reason"] == "stop"
    response = openai.types.responses.Response.model_validate(told["r5"])
    [call] = response.output
    assert (call.type, call.to_dict()["arguments"]) == ("function_call", '{"big": 12345678901234567890123}')
    assert "instructions" not in told["r5"]
    assert told["r6"] == MESSAGE
    assert told["r7"]["choices"][0]["message"]["function_call"] == {"name": "weather", "arguments": "{}"}
    assert told["r7"]["choices"][0]["finish_reason"] == "function_call"
    assert "reasoning_content" not in told["r8"]["choices"][0]["message"]
    assert told["hg-r-r9"]["choices"][0]["message"]["reasoning_content"] == "hm"


async def test_results_that_did_not() -> None:
    """Errors are told as answers with a status; what was not carried out as an error of the batch."""
    failed, cancelled, late = await read(ANSWERS, "msgbatch_01Hk-errors")
    assert (failed["custom_id"], failed["error"]) == ("r1", None)
    assert (failed["response"]["status_code"], failed["response"]["request_id"]) == (400, "req_9")
    assert failed["response"]["body"]["error"]["message"] == "bad"
    assert (cancelled["custom_id"], cancelled["response"], cancelled["error"]["code"]) == (
        "r3",
        None,
        "batch_cancelled",
    )
    assert (late["custom_id"], late["error"]["code"]) == ("r4", "batch_expired")


@pytest.mark.parametrize("size", [1, 7, 100])
async def test_results_in_any_pieces(size: int) -> None:
    """How the vendor's bytes are cut is of no matter."""
    assert await read(ANSWERS, sizes=(size,)) == await read(ANSWERS)


async def test_an_answer_that_cannot_be_told() -> None:
    """One that is no message is an error of its line; the others are told."""
    odd = b'{"custom_id": "x", "result": {"type": "succeeded", "message": {"type": "odd"}}}\n'
    first, second = await read(odd + lines(("r0", done())))
    assert (first["custom_id"], first["response"], first["error"]["code"]) == ("x", None, "upstream_bad_reply")
    assert second["response"]["status_code"] == 200
    [failed] = await read(b'{"custom_id": "x", "result": {"type": "errored"}}', "msgbatch_01Hk-errors")
    assert (failed["response"], failed["error"]["code"]) == (None, "upstream_bad_reply")


async def test_a_secret_in_a_result() -> None:
    """The deployment's key does not come back."""
    told = await read(lines(("r0", done(content=[{"type": "text", "text": f"it is {KEY}"}]))))
    assert KEY not in json.dumps(told)


async def test_results_that_are_not_there() -> None:
    """What the batch is at is said; an error of the vendor's is told."""
    upstream = ReplayUpstream({"*": Recorded.from_json(BATCH)})
    async with at(upstream) as client:
        early = await client.get("/v1/files/msgbatch_01Hk/content", headers=NAMED)
    assert (early.status_code, early.json()["error"]["code"]) == (400, "no_content")
    assert "`in_progress`" in early.json()["error"]["message"]
    error = {"type": "error", "error": {"type": "not_found_error", "message": "no such batch"}}
    for answers in (
        [Recorded.from_json(error, status=404)],
        [Recorded.from_json(ENDED), Recorded.from_json(error, status=404)],
    ):
        upstream = ReplayUpstream({"*": answers})
        async with at(upstream) as client:
            gone = await client.get("/v1/files/msgbatch_01Hk/content", headers=NAMED)
        assert (gone.status_code, "no such batch" in gone.text) == (404, True)


async def test_results_that_break_off() -> None:
    """A torn line ends the content early."""
    with pytest.raises(httpx2.RemoteProtocolError, match="broke the reply off"):
        await read(ANSWERS[:-20])


async def test_anthropics_own_client_and_its_files() -> None:
    """A file of its own is relayed, and what Anthropic's client asks passes as it is."""
    upstream = ReplayUpstream({"*": Recorded(headers=(("content-type", "text/plain"),), body=b"as it is")})
    async with at(upstream) as client:
        own = {**NAMED, "anthropic-version": "2023-06-01"}
        first = await client.get("/v1/files/msgbatch_01Hk/content", headers=own)
        second = await client.get("/v1/files/file_1/content", headers=NAMED)
    assert (first.content, second.content) == (b"as it is", b"as it is")
    assert [call.url.removeprefix("https://api.anthropic.com/v1") for call in upstream.requests] == [
        "/files/msgbatch_01Hk/content",
        "/files/file_1/content",
    ]
