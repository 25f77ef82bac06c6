"""Mistral's completions of code, as clients of OpenAI's completions ask for them and read them, whole and streamed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import openai
import pytest
from mistralai.client.models import FIMCompletionRequest
from providers.compatible.tests.calls import Json, body_of, deploy_row, exchange

from headgate.errors import UnsupportedField
from headgate.testing import Recorded, ReplayUpstream, gateway
from headgate_compatible import catalogue

CODE: Json = {"prompt": "def f(", "suffix": "return a", "max_tokens": 9, "stop": ["#"], "temperature": 0.2}
USAGE: Json = {"prompt_tokens": 8, "completion_tokens": 2, "total_tokens": 10}
ANSWER: Json = {
    "id": "c1",
    "object": "chat.completion",
    "created": 7,
    "model": "codestral-2508",
    "choices": [{"index": 0, "finish_reason": "model_length", "message": {"role": "assistant", "content": "a):"}}],
    "usage": USAGE,
}
IDLE: Json = {"n": 1, "best_of": 1, "echo": False, "logprobs": None, "presence_penalty": 0, "frequency_penalty": 0.0}


def chunk(content: str, finish: str | None = None, **members: Any) -> Json:
    choice: Json = {"index": 0, "delta": {"role": "assistant", "content": content}, "finish_reason": finish}
    return {"id": "c1", "object": "chat.completion.chunk", "created": 7, "model": "m", "choices": [choice], **members}


def streamed(*chunks: Json, end: bytes = b"data: [DONE]\n\n") -> Recorded:
    body = b"".join(b"data: " + json.dumps(each).encode() + b"\n\n" for each in chunks) + end
    return Recorded(headers=(("content-type", "text/event-stream"),), body=body, framing="chunked")


def client_of(upstream: ReplayUpstream) -> Any:
    settings = {"v": {"provider": "mistral", "api_key": "sk-vendor-key"}}
    return gateway(catalogue()["mistral"], providers=settings, upstream=upstream)


async def completed(body: Json, answer: Recorded, **headers: str) -> tuple[Any, ReplayUpstream]:
    upstream = ReplayUpstream({"*": answer})
    async with client_of(upstream) as client:
        reply = await client.post("/v1/completions", json={"model": "v/codestral-latest", **body}, headers=headers)
    return reply, upstream


def texts(raw: str) -> list[str]:
    """The pieces of text in a stream of completions, in order."""
    lines = [line.removeprefix("data: ") for line in raw.splitlines() if line.startswith("data: {")]
    return [json.loads(line)["choices"][0]["text"] for line in lines]


async def test_a_completion_of_code() -> None:
    """What Mistral has is sent under its names, and its answer is a completion with the usage it states."""
    reply, upstream = await completed({**CODE, **IDLE, "seed": 5, "user": "u"}, Recorded.from_json(ANSWER))
    [request] = upstream.requests
    assert (request.method, request.url) == ("POST", "https://api.mistral.ai/v1/fim/completions")
    assert json.loads(request.body) == {"model": "codestral-latest", **CODE, "random_seed": 5}
    FIMCompletionRequest.model_validate_json(request.body)
    assert (reply.headers["x-headgate-dropped"], reply.json()["usage"]) == ("user", USAGE)
    said = openai.types.Completion.model_validate(reply.json())
    assert (said.object, said.id, said.choices[0].text) == ("text_completion", "c1", "a):")
    assert said.choices[0].finish_reason == "length"


@pytest.mark.parametrize(
    ("members", "field"),
    [
        ({"n": 2}, "n"),
        ({"echo": True}, "echo"),
        ({"logprobs": 3}, "logprobs"),
        ({"logit_bias": {"5": 1}}, "logit_bias"),
    ],
)
async def test_what_it_has_no_words_for(members: Json, field: str) -> None:
    """It is refused by name; let drop, the rest is sent and the reply names it."""
    reply, upstream = await completed({**CODE, **members}, Recorded.from_json(ANSWER))
    assert (reply.status_code, reply.json()["error"]["param"], upstream.requests) == (400, field, [])
    reply, upstream = await completed(
        {**CODE, **members}, Recorded.from_json(ANSWER), **{"x-headgate-unsupported": "drop"}
    )
    assert (reply.status_code, reply.headers["x-headgate-dropped"]) == (200, field)
    assert json.loads(upstream.requests[0].body) == {"model": "codestral-latest", **CODE}


@pytest.mark.parametrize(("prompt", "sent"), [(["a"], "a"), (["a", "b"], None), ([1, 2], None), ([[1, 2]], None)])
def test_one_text(prompt: Sequence[object], sent: str | None) -> None:
    """One text may stand in a list; several texts and tokens cannot be sent."""
    provider = deploy_row("mistral")
    ex = exchange(provider, {"model": "m", "prompt": prompt}, "completions")
    if sent is None:
        with pytest.raises(UnsupportedField, match="`prompt` must be one text"):
            provider.prepare(ex)
    else:
        assert json.loads(provider.prepare(ex).body)["prompt"] == sent  # pyright: ignore[reportArgumentType] - it is whole


@pytest.mark.parametrize("end", [b"data: [DONE]\n\n", b"data: [DONE]"])
async def test_a_stream(end: bytes) -> None:
    """Each chunk is one of completions, `[DONE]` and comments pass, and the last chunk's usage is the reply's."""
    chunks = [chunk("a"), chunk("):"), chunk("", "stop", usage=USAGE)]
    upstream = ReplayUpstream({"*": streamed(*chunks, end=b": alive\n\n" + end)})
    provider = deploy_row("mistral", upstream)
    ex = exchange(provider, {"model": "m", **CODE, "stream": True}, "completions")
    reply = await provider.call(ex)
    said = await body_of(reply)
    events = [json.loads(line[6:]) for line in said.splitlines() if line.startswith(b"data: {")]
    assert [event["choices"][0]["text"] for event in events] == ["a", "):", ""]
    assert {event["object"] for event in events} == {"text_completion"}
    assert [event["choices"][0]["finish_reason"] for event in events] == [None, None, "stop"]
    assert said.endswith(b": alive\n\n" + end)
    assert reply.usage is not None
    assert (reply.usage.prompt, reply.usage.completion) == (8, 2)


async def test_a_stream_with_the_sdk() -> None:
    """OpenAI's SDK reads the pieces as they come."""
    upstream = ReplayUpstream({"*": streamed(chunk("a"), chunk("):", "stop", usage=USAGE))})
    async with client_of(upstream) as client:
        reply = await client.post("/v1/completions", json={"model": "v/m", **CODE, "stream": True})
    assert texts(reply.text) == ["a", "):"]
    assert reply.text.endswith("data: [DONE]\n\n")


async def test_a_stream_that_breaks_off() -> None:
    """It ends with an error event, as any other does, and not with `[DONE]`."""
    upstream = ReplayUpstream({"*": streamed(chunk("a"), end=b"")})
    async with client_of(upstream) as client:
        reply = await client.post("/v1/completions", json={"model": "v/m", **CODE, "stream": True})
    assert "upstream_cut" in reply.text
    assert "[DONE]" not in reply.text


async def test_a_refusal() -> None:
    """Mistral's error passes with its status and words."""
    answer = Recorded.from_json(
        {"object": "error", "message": "Invalid model", "type": "invalid_model", "code": "1500"}, 400
    )
    reply, _ = await completed(CODE, answer)
    assert (reply.status_code, reply.json()["error"]["message"]) == (400, "Invalid model")
