"""The npm package `openai` as a client of the gateway."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from tests.door.upstream import CHAT_REPLY, EVENTS, STREAM_HEAD, Call, Upstream, json_response, reply_with
from tests.harness import CANARY, chunked
from tests.node.conftest import Results, RunScript

pytestmark = pytest.mark.node

ANSWER = "Hello from the Headgate demo. You said: hi"
KINDS = {
    "400": "BadRequestError",
    "401": "AuthenticationError",
    "403": "PermissionDeniedError",
    "404": "NotFoundError",
    "409": "ConflictError",
    "422": "UnprocessableEntityError",
    "429": "RateLimitError",
    "500": "InternalServerError",
    "529": "InternalServerError",
}


def test_whole_reply(openai_results: Results) -> None:
    """A whole reply has its text and usage, and its headers say who answered."""
    seen = openai_results["whole"]
    assert seen["reply"]["choices"][0]["message"]["content"] == ANSWER
    assert seen["reply"]["usage"]["total_tokens"] == 9
    assert seen["headers"]["x-headgate-provider"] == "demo"
    assert seen["requestID"] == seen["headers"]["x-request-id"]


def test_stream(openai_results: Results) -> None:
    """A stream says the same, finishes once, and carries the usage that was asked for."""
    seen = openai_results["stream"]
    assert (seen["text"], seen["finishes"], seen["threw"]) == (ANSWER, ["stop"], None)
    assert seen["usage"]["completion_tokens"] == 8


def test_stream_helper(openai_results: Results) -> None:
    """The package's own accumulator ends with the whole message and its usage."""
    seen = openai_results["helper"]
    assert (seen["content"], seen["usage"]["total_tokens"]) == (ANSWER, 9)


def test_tools(openai_results: Results) -> None:
    """A named tool is called, a streamed call adds up, and a tool's answer goes back."""
    named = openai_results["named"]
    assert named["finish_reason"] == "tool_calls"
    assert [call["function"]["name"] for call in named["message"]["tool_calls"]] == ["tides"]
    streamed = openai_results["calls"]
    assert (streamed["call"]["name"], streamed["finishes"], streamed["text"]) == ("weather", ["tool_calls"], "")
    assert json.loads(streamed["call"]["arguments"]).keys() == {"city", "unit"}
    assert openai_results["roundTrip"] == "Hello from the Headgate demo. Your tool answered: -3 degrees"


def test_structured_output(openai_results: Results) -> None:
    """`response_format` gives JSON of its schema."""
    assert json.loads(openai_results["structured"]).keys() == {"city", "unit"}


def test_embeddings_completions_models(openai_results: Results) -> None:
    """Vectors are the same packed and plain, completions whole and streamed, and the model list has the aliases."""
    vectors = openai_results["embeddings"]
    assert [len(vector) for vector in vectors["packed"]] == [8, 8]
    assert vectors["packed"] == vectors["plain"]
    assert openai_results["completion"] == {"whole": ANSWER, "streamed": ANSWER}
    assert {"fast", "demo/echo"} <= set(openai_results["models"])


@pytest.mark.parametrize("status", KINDS)
def test_a_providers_error_keeps_its_status(openai_results: Results, status: str) -> None:
    """A provider's error is the package's class for its status, with id and message."""
    seen = openai_results["errors"][status]
    assert (seen["name"], seen["status"]) == (KINDS[status], int(status))
    assert f"status {status}" in seen["message"]
    assert seen["requestID"] is not None


def test_unknown_model(openai_results: Results) -> None:
    """A model nobody knows is a NotFoundError with code and field."""
    seen = openai_results["unknownModel"]
    assert [seen[name] for name in ("name", "code", "param")] == ["NotFoundError", "model_not_found", "model"]


def test_a_broken_stream_throws(openai_results: Results) -> None:
    """A stream that breaks off throws after what came, and never looks finished."""
    seen = openai_results["broken"]
    assert (seen["text"], seen["finishes"]) == ("Hello from ", [])
    assert (seen["threw"]["name"], seen["threw"]["code"]) == ("APIError", "upstream_cut")


def test_the_clients_own_timeout(openai_results: Results) -> None:
    """A client that gives up first gets its own timeout error."""
    assert openai_results["timeout"]["name"] == "APIConnectionTimeoutError"


@pytest.mark.parametrize("scenario", ["abort", "leave"])
async def test_a_stream_that_is_left_is_left_upstream(run_script: RunScript, upstream: Upstream, scenario: str) -> None:
    """A stream that is aborted, or whose loop is left, ends the provider's work while the client lives on."""

    async def trickle(call: Call) -> None:
        await call.send(STREAM_HEAD + b"transfer-encoding: chunked\r\n\r\n")
        for event in EVENTS[:2]:
            await call.send(chunked(event))
        await call.closed(10)

    upstream.script = trickle
    seen = await run_script("openai.mjs", scenario)
    assert seen[scenario]["isIdle"], seen
    await (await upstream.call()).closed(2)


async def test_the_packages_retries_obey_the_provider(run_script: RunScript, upstream: Upstream) -> None:
    """`retry-after-ms` reaches the package, whose retries succeed; the gateway adds none."""
    refusal = {"error": {"message": "slow down", "type": "requests", "param": None, "code": "rate_limit_exceeded"}}
    refused = json_response(refusal, "429 Too Many Requests", b"retry-after-ms: 20\r\n")
    answers = [refused, refused, json_response(CHAT_REPLY)]

    async def script(call: Call) -> None:
        await call.send(answers.pop(0))

    upstream.script = script
    assert await run_script("openai.mjs", "retries") == {"retries": "Hello"}
    assert len(upstream.calls) == 3


async def test_an_upload_passes_through(run_script: RunScript, upstream: Upstream) -> None:
    """A multipart upload, which the package sends as a stream, reaches the provider with every byte of the file."""
    told: dict[str, Any] = {"id": "file-1", "object": "file", "bytes": 6, "created_at": 1, "filename": "a.jsonl"}
    upstream.script = reply_with(json_response({**told, "purpose": "batch", "status": "processed"}))
    assert await run_script("openai.mjs", "upload") == {"upload": "file-1"}
    call = await upstream.call()
    assert (call.method, call.target, call.header("authorization")) == ("POST", "/v1/files", f"Bearer {CANARY}")
    assert b"\x00\x01\x02\xfd\xfe\xff" in call.body


async def test_clients_at_once(run_script: RunScript) -> None:
    """Three processes at once get what each of them gets alone."""
    seen = await asyncio.gather(*(run_script("openai.mjs", "stream", "named") for _ in range(3)))
    assert [results["stream"]["text"] for results in seen] == [ANSWER] * 3
