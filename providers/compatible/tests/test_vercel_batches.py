"""Batches of Vercel's AI Gateway for OpenAI's clients: what is sent in the AI SDK's words, and what is told of results."""

from __future__ import annotations

import json
from typing import Any

import openai.types
import pytest
from openai.types.chat import ChatCompletion
from providers.compatible.tests.asking import KEY, Json, at, sent

from headgate.testing import Recorded

ROOT = "https://ai-gateway.vercel.sh/v4/ai/batch"
MODEL = "anthropic/claude-haiku-4.5"
CHAT = "/v1/chat/completions"
HI: Json = {"model": MODEL, "messages": [{"role": "user", "content": "Grüße"}]}
PENDING: Json = {
    "batchId": "abj_1",
    "status": "pending",
    "rawStatus": "in_progress",
    "requestCounts": {"total": 2, "pending": 2, "completed": 0, "failed": 0},
    "createdAt": "2026-08-20T10:00:00.000Z",
    "expiresAt": "2026-08-21T10:00:00.000Z",
}
USAGE: Json = {
    "inputTokens": {"total": 12, "noCache": 8, "cacheRead": 4, "cacheWrite": 0},
    "outputTokens": {"total": 7, "text": 5, "reasoning": 2},
}
RESULT: Json = {
    "content": [
        {"type": "reasoning", "text": "Hm.", "providerMetadata": {"anthropic": {"signature": "c2ln"}}},
        {"type": "text", "text": "Hi."},
        {"type": "source", "sourceType": "url", "id": "s1", "url": "https://a.example", "title": "A"},
    ],
    "finishReason": {"unified": "stop", "raw": "end_turn"},
    "usage": USAGE,
    "response": {"id": "msg_1", "timestamp": "2026-08-20T11:00:00.000Z", "modelId": "claude-haiku-4-5"},
    "providerMetadata": {"gateway": {"cost": "0.0001"}},
    "warnings": [],
}
MINE = {"x-headgate-provider": "mine"}


def new(*bodies: Json, **more: Any) -> Json:
    requests = [{"custom_id": f"r{number}", "body": body} for number, body in enumerate(bodies)]
    return {"input_file_id": "", "endpoint": CHAT, "completion_window": "24h", "requests": requests, **more}


async def options_of(body: Json, **headers: str) -> tuple[Json, str | None]:
    """The options that a request of this body has there, and what was dropped."""
    async with at("vercel") as vendor:
        vendor.answer(PENDING)
        status, told = await vendor.ask("POST", "/v1/batches", new({**HI, **body}), **headers)
        assert status == 200, told
        return sent(vendor.calls[0])[2]["requests"][0]["options"], vendor.dropped


async def test_a_new_batch() -> None:
    """Requests go as prompts with the model in a header, and the batch comes back in OpenAI's shape."""
    async with at("vercel") as vendor:
        vendor.answer({**PENDING, "warnings": [{"requestId": "r0", "warning": {"type": "other", "message": "w"}}]})
        line = {"custom_id": "b", "method": "POST", "url": CHAT, "body": {"messages": HI["messages"]}}
        asked = new(HI, model=f"mine/{MODEL}", callbackUrl="https://a.example/hook")
        asked["requests"].append(line)
        options = {"gateway": {"inferenceRegion": "eu"}}
        status, told = await vendor.ask(
            "POST", "/v1/batches", {**asked, "providerOptions": options}, **{"idempotency-key": "nightly-1"}
        )
        prompt = [{"role": "user", "content": [{"type": "text", "text": "Grüße"}]}]
        request = {"type": "text", "modelId": MODEL, "options": {"prompt": prompt}}
        assert sent(vendor.calls[0]) == (
            "POST",
            f"{ROOT}/start",
            {
                "requests": [{"id": "r0", **request}, {"id": "b", **request}],
                "callbackUrl": "https://a.example/hook",
                "providerOptions": options,
            },
        )
        headers = dict(vendor.calls[0].headers)
        assert (headers[b"ai-model-id"], headers[b"idempotency-key"]) == (MODEL.encode(), b"nightly-1")
        assert headers[b"ai-gateway-protocol-version"] == b"0.0.1"
        held: Any = vendor.calls[0].credential
        assert (held.secret.reveal(), held.header) == (KEY, "authorization")
        assert (status, vendor.dropped) == (200, None)
    batch = openai.types.Batch.model_validate(told)
    assert (batch.id, batch.status, batch.endpoint, batch.input_file_id) == ("abj_1", "in_progress", CHAT, "")
    assert (batch.created_at, batch.expires_at, batch.output_file_id) == (1787220000, 1787306400, None)
    assert batch.request_counts is not None
    assert batch.request_counts.to_dict() == {"total": 2, "completed": 0, "failed": 0}
    assert told["warnings"] == [{"requestId": "r0", "warning": {"type": "other", "message": "w"}}]


async def test_what_a_request_says() -> None:
    """Options, turns and media have the AI SDK's names; marks of caches are what it tells Anthropic."""
    mark = {"type": "ephemeral"}
    told, dropped = await options_of(
        {
            "messages": [
                {"role": "system", "content": [{"type": "text", "text": "Be short.", "cache_control": mark}]},
                {"role": "developer", "content": "Be kind."},
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "What?"},
                        {"type": "image_url", "image_url": {"url": "https://a.example/a.png", "detail": "low"}},
                        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBO"}},
                        {"type": "input_audio", "input_audio": {"data": "UklG", "format": "wav"}},
                        {
                            "type": "file",
                            "file": {"file_data": "data:application/pdf;base64,JVBE", "filename": "a.pdf"},
                        },
                    ],
                },
                {"role": "assistant", "content": "A cat.", "reasoning_content": "Hm."},
                {"role": "user", "content": "Sure?"},
            ],
            "max_completion_tokens": 50,
            "temperature": 0.5,
            "top_p": 0.9,
            "seed": 7,
            "stop": ["END"],
            "presence_penalty": 0.1,
            "frequency_penalty": 0.2,
            "reasoning_effort": "max",
            "user": "u1",
            "providerOptions": {"anthropic": {"effort": "low"}},
        }
    )
    assert told == {
        "prompt": [
            {"role": "system", "content": "Be short.", "providerOptions": {"anthropic": {"cacheControl": mark}}},
            {"role": "system", "content": "Be kind."},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "What?"},
                    {"type": "file", "mediaType": "image", "data": {"type": "url", "url": "https://a.example/a.png"}},
                    {"type": "file", "mediaType": "image/png", "data": {"type": "data", "data": "iVBO"}},
                    {"type": "file", "mediaType": "audio/wav", "data": {"type": "data", "data": "UklG"}},
                    {
                        "type": "file",
                        "mediaType": "application/pdf",
                        "data": {"type": "data", "data": "JVBE"},
                        "filename": "a.pdf",
                    },
                ],
            },
            {"role": "assistant", "content": [{"type": "text", "text": "A cat."}]},
            {"role": "user", "content": [{"type": "text", "text": "Sure?"}]},
        ],
        "maxOutputTokens": 50,
        "temperature": 0.5,
        "topP": 0.9,
        "seed": 7,
        "stopSequences": ["END"],
        "presencePenalty": 0.1,
        "frequencyPenalty": 0.2,
        "reasoning": "max",
        "providerOptions": {"gateway": {"user": "u1"}, "anthropic": {"effort": "low"}},
    }
    assert dropped == ("requests[].body.messages[2].content[1].image_url.detail, requests[].body.messages[3].reasoning")


WEATHER: Json = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
CALL: Json = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"tools": [WEATHER]}, "body.tools"),
        ({"response_format": {"type": "json_object"}}, "body.response_format"),
        ({"n": 2}, "body.n"),
        ({"logprobs": True}, "body.logprobs"),
        ({"logit_bias": {"1": 2}}, "body.logit_bias"),
        ({"stream": True}, "body.stream"),
        ({"web_search_options": {"search_context_size": "low"}}, "body.web_search_options"),
        ({"messages": []}, "body.messages"),
        ({"messages": [{"role": "assistant", "tool_calls": [CALL]}]}, "body.messages[0].content[0]"),
        ({"model": "openai/gpt-5"}, None),
    ],
)
async def test_what_a_request_cannot_say(body: Json, param: str | None) -> None:
    """What a batch has no words for is refused by its name and that of the request, and nothing is sent."""
    async with at("vercel") as vendor:
        asked = new({**HI, **body}, HI) if param is None else new({**HI, **body})
        status, told = await vendor.ask("POST", "/v1/batches", asked)
        assert (status, vendor.calls) == (400, [])
        assert told["error"]["param"] == ("model" if param is None else f"requests[0].{param}")
        assert param is None or "`r0`" in told["error"]["message"]


async def test_what_may_be_dropped() -> None:
    """Let drop, it is left out and named."""
    told, dropped = await options_of({"tools": [WEATHER], "n": 2}, **{"x-headgate-unsupported": "drop"})
    assert (set(told), dropped) == ({"prompt"}, "requests[].body.tools, requests[].body.n")


async def test_late_results_of_tools() -> None:
    """Turns are in the order of a single request: a result stands behind its call, whatever was said between."""
    asked: list[Json] = [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b", "tool_calls": [CALL]},
        {"role": "user", "content": "c"},
        {"role": "tool", "tool_call_id": "c1", "content": "d"},
    ]
    told, _ = await options_of({"messages": asked}, **{"x-headgate-unsupported": "drop"})
    assert [[each.get("text") for each in turn["content"]] for turn in told["prompt"]] == [["a"], ["b"], [], ["c"]]


UNSAID: list[tuple[Json, str]] = [
    ({"input_file_id": "file-1"}, "input_file_id"),
    ({"requests": None}, "requests"),
    ({"endpoint": "/v1/embeddings"}, "endpoint"),
    ({"completion_window": "1h"}, "completion_window"),
    ({"metadata": {"a": "b"}}, "metadata"),
    ({"requests": [{"custom_id": "a", "body": HI}] * 2}, "requests"),
    ({"requests": [{"custom_id": str(number), "body": HI} for number in range(1001)]}, "requests"),
    ({"requests": [{"custom_id": "", "body": HI}]}, "requests[0].custom_id"),
    ({"requests": [{"custom_id": "a", "body": {"messages": []}}]}, "requests[0].body.model"),
    ({"requests": [{"custom_id": "a", "url": "/v1/responses", "body": HI}]}, "requests[0].url"),
    ({"requests": [{"custom_id": "a", "body": None}]}, "requests[0].body"),
    ({"requests": [{"custom_id": "a", "method": 1, "body": HI}]}, "requests[0].method"),
]


@pytest.mark.parametrize(("asked", "param"), UNSAID)
async def test_what_a_batch_cannot_say(asked: Json, param: str) -> None:
    """So is what a batch itself cannot say."""
    async with at("vercel") as vendor:
        status, told = await vendor.ask("POST", "/v1/batches", {**new(HI), **asked})
        assert (status, told["error"]["param"], vendor.calls) == (400, param, [])


@pytest.mark.parametrize(
    ("said", "status", "has_output", "has_errors"),
    [
        ({}, "in_progress", False, False),
        ({"rawStatus": "validating"}, "validating", False, False),
        ({"rawStatus": "canceling"}, "cancelling", False, False),
        ({"status": "completed", "requestCounts": {"total": 2, "completed": 2, "failed": 0}}, "completed", True, False),
        ({"status": "completed", "requestCounts": {"total": 2, "completed": 1, "failed": 1}}, "completed", True, True),
        ({"status": "completed", "requestCounts": None}, "completed", True, True),
        ({"status": "failed", "rawStatus": "expired"}, "expired", False, True),
        ({"status": "failed", "rawStatus": "cancelled"}, "cancelled", False, True),
        ({"status": "failed", "rawStatus": None, "error": {"message": "no", "code": "bad"}}, "failed", False, True),
    ],
)
async def test_statuses(said: Json, status: str, has_output: bool, has_errors: bool) -> None:
    """A batch that has ended is its own output, and what did not come to an answer stands beside it."""
    async with at("vercel") as vendor:
        vendor.answer({**PENDING, **said, "batchId": None})
        _, told = await vendor.ask("GET", "/v1/batches/abj_1")
        assert sent(vendor.calls[0]) == ("POST", f"{ROOT}/status", {"batchId": "abj_1"})
        assert b"ai-model-id" not in dict(vendor.calls[0].headers)
    batch = openai.types.Batch.model_validate(told)
    assert (batch.id, batch.status) == ("abj_1", status)
    assert (batch.output_file_id, batch.error_file_id) == (
        "abj_1" if has_output else None,
        "abj_1-errors" if has_errors else None,
    )
    if "error" in said:
        assert batch.errors is not None
        assert [(each.code, each.message) for each in batch.errors.data or []] == [("bad", "no")]


async def test_a_batch_is_cancelled() -> None:
    """The answer to a cancellation is the status."""
    async with at("vercel") as vendor:
        vendor.answer({**PENDING, "rawStatus": "cancelling", "batchId": None})
        status, told = await vendor.ask("POST", "/v1/batches/abj_1/cancel")
        assert sent(vendor.calls[0]) == ("POST", f"{ROOT}/cancel", {"batchId": "abj_1"})
        assert (status, told["id"], told["status"]) == (200, "abj_1", "cancelling")


async def test_a_cancellation_that_is_answered_with_nothing() -> None:
    """The status is asked for, of this batch."""
    async with at("vercel") as vendor:
        vendor.answer({}, {**PENDING, "rawStatus": "cancelling"})
        status, told = await vendor.ask("POST", "/v1/batches/abj_1/cancel")
        assert sent(vendor.calls[1]) == ("POST", f"{ROOT}/status", {"batchId": "abj_1"})
        assert (status, told["status"]) == (200, "cancelling")


FAILED: Json = {"message": "too long", "type": "invalid_request_error", "code": "context", "statusCode": 400}
LINES: list[Json] = [
    {"type": "text", "id": "a", "status": "succeeded", "result": RESULT},
    {"type": "text", "id": "b", "status": "failed", "error": FAILED},
    {"type": "text", "id": "c", "status": "expired"},
    {"type": "text", "id": "d", "status": "cancelled", "error": {"message": "gone"}},
    {"type": "text", "id": "e", "status": "succeeded", "result": {"content": []}},
]


async def results(file: str, lines: list[Json]) -> list[Json]:
    body = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    async with at("vercel") as vendor:
        recorded = Recorded(headers=(("content-type", "application/x-ndjson"),), body=body)
        vendor.upstream.answer("*", recorded)
        reply = await vendor.client.get(f"/v1/files/{file}/content", headers=MINE)
        assert sent(vendor.calls[0]) == ("POST", f"{ROOT}/results", {"batchId": "abj_1"})
        assert reply.status_code == 200
    return [json.loads(line) for line in reply.content.splitlines()]


async def test_results() -> None:
    """Answers are chat completions in OpenAI's lines; one that is none is told as an error."""
    good, bad = await results("abj_1", LINES)
    assert (good["custom_id"], good["error"], good["response"]["status_code"]) == ("a", None, 200)
    said = ChatCompletion.model_validate(good["response"]["body"])
    assert (said.id, said.model, said.created) == ("msg_1", "claude-haiku-4-5", 1787223600)
    [choice] = said.choices
    assert (choice.finish_reason, choice.message.content) == ("stop", "Hi.")
    assert choice.message.annotations is not None
    assert choice.message.annotations[0].url_citation.url == "https://a.example"
    message = good["response"]["body"]["choices"][0]["message"]
    assert message["reasoning_content"] == "Hm."
    assert message["reasoning_details"][0]["signature"] == "c2ln"
    assert said.usage is not None
    assert said.usage.prompt_tokens_details is not None
    assert (said.usage.prompt_tokens, said.usage.completion_tokens) == (12, 7)
    assert said.usage.prompt_tokens_details.cached_tokens == 4
    assert good["response"]["body"]["providerMetadata"] == {"gateway": {"cost": "0.0001"}}
    assert (bad["custom_id"], bad["response"]) == ("e", None)
    assert "finishReason" in bad["error"]["message"]


async def test_errors_of_results() -> None:
    """What failed has the status and the words that a single request would have got."""
    failed, expired, cancelled = await results("abj_1-errors", LINES)
    assert (failed["custom_id"], failed["response"]["status_code"]) == ("b", 400)
    assert failed["response"]["body"]["error"]["message"] == "too long"
    assert failed["response"]["body"]["error"]["code"] == "context"
    assert (expired["response"], expired["error"]["code"]) == (None, "batch_expired")
    assert cancelled["error"] == {"code": "batch_cancelled", "message": "gone"}


@pytest.mark.parametrize(
    ("error", "message"),
    [("x", "x"), (["x"], "no answer was told"), (7, "no answer was told"), (None, "no answer was told")],
)
async def test_odd_errors_of_results(error: Any, message: str) -> None:
    """An error in another shape is that of its line, and the others go on."""
    lines = [{"id": "1", "status": "failed", "error": error}, {"id": "2", "status": "failed", "error": FAILED}]
    odd, usual = await results("abj_1-errors", lines)
    assert (odd["custom_id"], odd["error"]) == ("1", {"code": "failed", "message": message})
    assert usual["response"]["status_code"] == 400


@pytest.mark.parametrize(
    ("content", "word", "finish"),
    [
        ([{"type": "tool-call", "toolCallId": "c1", "toolName": "f", "input": {"a": 1}}], "stop", "tool_calls"),
        ([{"type": "tool-call", "toolCallId": "c1", "toolName": "f", "input": '{"a":1}'}], "other", "tool_calls"),
        ([{"type": "tool-call", "toolCallId": "c1", "toolName": "f", "input": '{"a":1}'}], "tool-calls", "tool_calls"),
        ([{"type": "file", "mediaType": "image/png", "data": {"type": "data", "data": "iVBO"}}], "length", "length"),
        ([{"type": "custom", "kind": "x.y"}], "content-filter", "content_filter"),
        ([{"type": "file", "mediaType": "audio/wav", "data": {"type": "data", "data": "UklG"}}], "other", "stop"),
    ],
)
async def test_what_an_answer_may_hold(content: list[Json], word: str, finish: str) -> None:
    """Calls, pictures and sound have their places; what only the AI SDK knows stays as it is."""
    result = {**RESULT, "content": content, "finishReason": {"unified": word}}
    [line] = await results("abj_1", [{"type": "text", "id": "a", "status": "succeeded", "result": result}])
    [choice] = line["response"]["body"]["choices"]
    assert choice["finish_reason"] == finish
    message = choice["message"]
    match content[0]["type"]:
        case "tool-call":
            assert message["tool_calls"][0]["function"] == {"name": "f", "arguments": '{"a":1}'}
        case "custom":
            assert message["provider_items"] == [{"type": "custom", "kind": "x.y", "dialect": "vercel.batches"}]
        case _:
            assert "iVBO" in json.dumps(message.get("images")) or message["audio"]["data"] == "UklG"


async def test_what_there_is_not() -> None:
    """No list of batches, and no files but results."""
    async with at("vercel") as vendor:
        for method, path in (("GET", "/v1/batches"), ("GET", "/v1/files"), ("DELETE", "/v1/files/abj_1")):
            reply = await vendor.client.request(method, path, headers=MINE)
            assert (reply.status_code, reply.json()["error"]["code"]) == (400, "unsupported_operation")
        assert vendor.calls == []


async def test_errors_of_the_vendor() -> None:
    """Its status and words come to the client, of results too."""
    error = {"error": {"message": "the batch is pending", "type": "invalid_request_error"}}
    async with at("vercel") as vendor:
        vendor.upstream.answer("*", Recorded.from_json(error, 400))
        status, told = await vendor.ask("GET", "/v1/files/abj_1/content")
        assert (status, told["error"]["message"]) == (400, "the batch is pending")
        status, told = await vendor.ask("POST", "/v1/batches", new(HI))
        assert (status, told["error"]["message"]) == (400, "the batch is pending")
