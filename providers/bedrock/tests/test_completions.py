"""Completions of models that continue a prompt, for clients of OpenAI's: what is asked, what comes back, what cannot be told."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any

import openai.types
import pytest

from headgate.testing import Recorded, ReplayUpstream, gateway
from headgate_bedrock import Bedrock
from headgate_bedrock.frames import encode_frame

Json = dict[str, Any]

LLAMA = "us.meta.llama3-3-70b-instruct-v1:0"
LLAMA_4 = "us.meta.llama4-scout-17b-instruct-v1:0"
MISTRAL = "mistral.mixtral-8x7b-instruct-v0:1"
DEEPSEEK = "us.deepseek.r1-v1:0"
IMPORTED = "arn:aws:bedrock:us-west-2:123456789012:imported-model/abcdefghijkl"
OLD = "arn:aws:bedrock:us-west-2:123456789012:imported-model/mnopqrstuvwx"
DROP = {"x-headgate-unsupported": "drop"}
DEPLOYED: Json = {
    "provider": "bedrock",
    "region": "us-west-2",
    "access_key_id": "AKIDEXAMPLE",
    "secret_access_key": "wJalrXUtnFEMI",
    "base_models": {OLD: "meta.llama3-1-8b-instruct-v1:0"},
}
PROMPT = "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
FRAMED = (("content-type", "application/vnd.amazon.eventstream"), ("x-amzn-bedrock-content-type", "application/json"))
METRICS: Json = {"inputTokenCount": 7, "outputTokenCount": 2, "invocationLatency": 9, "firstByteLatency": 5}
SAID: Json = {"generation": " there", "prompt_token_count": 7, "generation_token_count": 2, "stop_reason": "stop"}
COUNTS = (("x-amzn-bedrock-input-token-count", "7"), ("x-amzn-bedrock-output-token-count", "2"))
USED = {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}


def whole(said: Json, headers: Sequence[tuple[str, str]] = ()) -> Recorded:
    return Recorded(headers=(("content-type", "application/json"), *headers), body=json.dumps(said).encode())


def piece(said: Json) -> bytes:
    payload = {"bytes": base64.b64encode(json.dumps(said).encode()).decode(), "p": "abcdefgh"}
    head = {":event-type": "chunk", ":content-type": "application/json", ":message-type": "event"}
    return encode_frame(head, json.dumps(payload).encode())


def broken(kind: str, message: str) -> bytes:
    head = {":exception-type": kind, ":content-type": "application/json", ":message-type": "exception"}
    return encode_frame(head, json.dumps({"message": message}).encode())


def framed(*frames: bytes) -> Recorded:
    return Recorded(headers=FRAMED, body=b"".join(frames), framing="chunked")


async def asked(
    body: Json,
    *answers: Recorded,
    model: str = LLAMA,
    headers: Mapping[str, str] | None = None,
    settings: Json | None = None,
) -> tuple[Any, ReplayUpstream]:
    """A client's reply to a request for completions, and what Bedrock was asked."""
    upstream = ReplayUpstream()
    upstream.answer("*", *(answers or (whole(SAID),)))
    async with gateway(Bedrock, providers={"aws": {**DEPLOYED, **(settings or {})}}, upstream=upstream) as client:
        request = {"model": f"aws/{model}", "prompt": PROMPT, **body}
        return await client.post("/v1/completions", json=request, headers=headers or {}), upstream


def chunks_of(reply: Any) -> list[Json]:
    """The chunks of a stream, which ends as OpenAI's do."""
    *events, done, rest = reply.text.split("\n\n")
    assert (done, rest) == ("data: [DONE]", "")
    chunks: list[Json] = [json.loads(each.removeprefix("data: ")) for each in events]
    for each in chunks:
        openai.types.Completion.model_construct(**each)
        assert each["object"] == "text_completion"
        assert each["id"] == chunks[0]["id"]
        assert isinstance(each["created"], int)
    return chunks


BY_MISTRAL: Json = {"outputs": [{"text": " there", "stop_reason": "stop"}]}
BY_DEEPSEEK: Json = {"choices": [{"text": " there", "stop_reason": "stop"}]}
BY_ONES_OWN: Json = {
    "id": "cmpl-1",
    "object": "text_completion",
    "created": 1,
    "model": "",
    "usage": USED,
    "choices": [{"index": 0, "text": " there", "logprobs": None, "finish_reason": "stop"}],
}
SAMPLING: Json = {"temperature": 0.5, "top_p": 0.9}
IDLE: Json = {"n": 1, "echo": False, "stop": None, "best_of": 1, "logprobs": None, "suffix": None, "logit_bias": {}}
ANY: Json = {"max_tokens": 64, "seed": 1, "logprobs": 2, "echo": True, "stop": "END", "n": 1}


@pytest.mark.parametrize(
    ("model", "body", "told", "answer"),
    [
        (LLAMA, {"max_tokens": 64, **SAMPLING}, {"max_gen_len": 64, **SAMPLING}, SAID),
        (LLAMA, {"images": ["AA=="], **IDLE}, {"images": ["AA=="]}, SAID),
        (MISTRAL, {"max_tokens": None, "temperature": None, "stop": [], "user": None}, {}, BY_MISTRAL),
        (MISTRAL, {"max_tokens": 64, "stop": "END"}, {"max_tokens": 64, "stop": ["END"]}, BY_MISTRAL),
        (MISTRAL, {"top_k": 5}, {"top_k": 5}, BY_MISTRAL),
        (DEEPSEEK, {"stop": ["a", "b"], "max_tokens": 9}, {"stop": ["a", "b"], "max_tokens": 9}, BY_DEEPSEEK),
        (OLD, {"max_tokens": 64}, {"max_gen_len": 64}, SAID),
        (IMPORTED, ANY, ANY, BY_ONES_OWN),
    ],
)
async def test_a_prompt_is_continued(model: str, body: Json, told: Json, answer: Json) -> None:
    """A request is in the maker's words, signed, its prompt untouched; the answer is OpenAI's with what headers say it used."""
    reply, upstream = await asked(body, whole(answer, COUNTS), model=model)
    said = reply.json()
    made = openai.types.Completion.model_validate(said)
    assert (made.choices[0].text, made.choices[0].finish_reason, made.model) == (" there", "stop", model)
    assert (said["usage"], made.object) == (USED, "text_completion")
    assert made.id.startswith("cmpl-")
    assert made.created > 0
    request = upstream.requests[-1]
    assert json.loads(request.body) == {"prompt": PROMPT, **told}
    assert request.url.startswith("https://bedrock-runtime.us-west-2.amazonaws.com/model/")
    assert request.url.endswith("/invoke")
    assert b"authorization" in dict(request.headers)


async def test_the_reason_to_end() -> None:
    """An answer that was cut says so, one that a guardrail held back was filtered, and no usage is made up."""
    cut = {"outputs": [{"text": "a", "stop_reason": "length"}]}
    reply, _ = await asked({}, whole(cut), model=MISTRAL)
    assert (reply.json()["choices"][0]["finish_reason"], "usage" in reply.json()) == ("length", False)
    held: Json = {"generation": "Sorry.", "stop_reason": None, "amazon-bedrock-guardrailAction": "INTERVENED"}
    guard = {"guardrail": {"identifier": "gr1", "version": "2", "trace": "enabled"}}
    reply, upstream = await asked({}, whole(held), settings=guard)
    assert reply.json()["choices"][0]["finish_reason"] == "content_filter"
    head = dict(upstream.requests[-1].headers)
    names = (b"x-amzn-bedrock-guardrailidentifier", b"x-amzn-bedrock-guardrailversion", b"x-amzn-bedrock-trace")
    assert [head[name] for name in names] == [b"gr1", b"2", b"ENABLED"]


ACTED: Json = {"amazon-bedrock-guardrailAction": "INTERVENED"}


@pytest.mark.parametrize(
    ("said", "texts"),
    [
        (({"generation": "no", **ACTED}, {"generation": "", "stop_reason": "stop"}), ["no", ""]),
        (({"generation": "no", "stop_reason": "stop"}, ACTED), ["no", ""]),
        (({"generation": "no"}, ACTED), ["no", ""]),
        ((ACTED,), [""]),
    ],
)
async def test_a_guardrail_acts_in_a_stream(said: Sequence[Json], texts: list[str]) -> None:
    """Whichever piece tells of it, the answer was filtered, and is whole."""
    reply, _ = await asked({"stream": True}, framed(*(piece(each) for each in said)))
    choices = [choice for each in chunks_of(reply) for choice in each["choices"]]
    assert [each["text"] for each in choices] == texts
    assert choices[-1]["finish_reason"] == "content_filter"


@pytest.mark.parametrize("model", [LLAMA, IMPORTED])
async def test_a_guardrail_is_the_deployments(model: str) -> None:
    """A caller says neither which parts of a prompt it looks at nor how it streams."""
    config = {"amazon-bedrock-guardrailConfig": {"tagSuffix": "x"}}
    guard = {"guardrail": {"identifier": "gr1"}}
    reply, upstream = await asked(config, model=model, settings=guard)
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, "amazon-bedrock-guardrailConfig")
    assert upstream.requests == []
    reply, upstream = await asked(config, whole(BY_ONES_OWN), model=model, settings=guard, headers=DROP)
    assert reply.headers["x-headgate-dropped"] == "amazon-bedrock-guardrailConfig"
    assert json.loads(upstream.requests[-1].body) == {"prompt": PROMPT}


async def test_several_prompts() -> None:
    """Each text is a call, and its answer a choice in its place; what all of them used is summed."""
    answers = [whole({**SAID, "generation": each}) for each in ("one", "two")]
    reply, upstream = await asked({"prompt": ["a", "b"]}, *answers)
    said = openai.types.Completion.model_validate(reply.json())
    assert [(each.index, each.text) for each in said.choices] == [(0, "one"), (1, "two")]
    assert said.usage is not None
    assert (said.usage.prompt_tokens, said.usage.completion_tokens) == (14, 4)
    assert [json.loads(each.body)["prompt"] for each in upstream.requests] == ["a", "b"]


@pytest.mark.parametrize(
    ("model", "body", "param"),
    [
        (LLAMA, {"stop": ["END"]}, "stop"),
        (LLAMA, {"n": 2}, "n"),
        (LLAMA, {"suffix": "end"}, "suffix"),
        (MISTRAL, {"echo": True}, "echo"),
        (MISTRAL, {"stop": [str(each) for each in range(11)]}, "stop"),
        (DEEPSEEK, {"seed": 7}, "seed"),
        (DEEPSEEK, {"logprobs": 0}, "logprobs"),
    ],
)
async def test_what_a_maker_has_no_words_for(model: str, body: Json, param: str) -> None:
    """It is refused by its name, or dropped and named."""
    reply, upstream = await asked(body, model=model)
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, param)
    assert not upstream.requests
    reply, upstream = await asked(
        body, whole({"choices": [{"text": "a", "stop_reason": "stop"}]}), model=model, headers=DROP
    )
    assert (reply.status_code, reply.headers["x-headgate-dropped"]) == (200, param)
    sent = json.loads(upstream.requests[0].body)
    assert sent.get(param) == (body[param][:10] if model == MISTRAL and param == "stop" else None)


@pytest.mark.parametrize(
    ("model", "body", "code"),
    [
        ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", {}, "unsupported_model"),
        ("mistral.mistral-large-2407-v1:0", {}, "unsupported_model"),
        ("amazon.nova-lite-v1:0", {}, "unsupported_model"),
        ("arn:aws:bedrock:us-west-2:123456789012:application-inference-profile/1arbu5hu2sjr", {}, "unsupported_model"),
        (LLAMA, {"prompt": [1, 2]}, "unsupported_field"),
        (LLAMA, {"prompt": [[1, 2]]}, "unsupported_field"),
        (LLAMA, {"prompt": ["a", "b"], "stream": True}, "unsupported_field"),
        (LLAMA, {"prompt": ""}, "invalid_request"),
        (MISTRAL, {"stop": 5}, "invalid_request"),
        (MISTRAL, {"stop": ["a", {"b": 1}]}, "invalid_request"),
        (LLAMA, {"prompt": []}, "invalid_request"),
        (LLAMA, {"prompt": ["a"] * 129}, "invalid_request"),
    ],
)
async def test_what_cannot_be_completed(model: str, body: Json, code: str) -> None:
    """Models that take turns are refused with what to do instead, and so are prompts that are no texts."""
    reply, upstream = await asked(body, model=model)
    assert (reply.status_code, reply.json()["error"]["code"]) == (400, code)
    assert not upstream.requests
    if code == "unsupported_model":
        told = "base_models" if model.startswith("arn:") else "/v1/chat/completions"
        assert told in reply.json()["error"]["message"]


LLAMA_STREAM: tuple[Json, ...] = (
    {"generation": "", "prompt_token_count": 7, "generation_token_count": 0, "stop_reason": None},
    {"generation": " th", "prompt_token_count": None, "generation_token_count": 1, "stop_reason": None},
    {"generation": "ere", "prompt_token_count": None, "generation_token_count": 2, "stop_reason": None},
    {"generation": "", "prompt_token_count": None, "generation_token_count": 2, "stop_reason": "length",
     "amazon-bedrock-invocationMetrics": METRICS},
)  # fmt: skip
MISTRAL_STREAM: tuple[Json, ...] = (
    {"outputs": [{"text": " th", "stop_reason": None}]},
    {"outputs": [{"text": "ere", "stop_reason": None}]},
    {"outputs": [{"text": "", "stop_reason": "length"}], "amazon-bedrock-invocationMetrics": METRICS},
)
IMPORTED_STREAM: tuple[Json, ...] = (
    {
        "id": "c",
        "object": "text_completion",
        "created": 1,
        "choices": [{"index": 0, "text": " th", "finish_reason": None}],
    },
    {
        "id": "c",
        "object": "text_completion",
        "created": 1,
        "choices": [{"index": 0, "text": "ere", "finish_reason": "length"}],
    },
    {"id": "c", "object": "text_completion", "created": 1, "choices": [], "usage": USED},
)


@pytest.mark.parametrize(
    ("model", "said"), [(LLAMA, LLAMA_STREAM), (MISTRAL, MISTRAL_STREAM), (IMPORTED, IMPORTED_STREAM)]
)
@pytest.mark.parametrize("size", [1, 7, 100_000])
async def test_a_stream(model: str, said: Sequence[Json], size: int) -> None:
    """Pieces are chunks wherever their bytes are cut, and usage stands in the last one, or alone for who asks for it."""
    answer = framed(*(piece(each) for each in said)).varied(sizes=(size,))
    for options in ({}, {"stream_options": {"include_usage": True}}):
        reply, upstream = await asked({"stream": True, **options}, answer, model=model)
        chunks = chunks_of(reply)
        texts = [choice["text"] for each in chunks for choice in each["choices"]]
        assert texts == [" th", "ere", ""]
        reasons = [choice["finish_reason"] for each in chunks for choice in each["choices"]]
        assert reasons == [None, None, "length"]
        assert chunks[-1]["usage"] == USED
        assert bool(chunks[-1]["choices"]) == (not options)
        request = upstream.requests[-1]
        assert request.url.endswith("/invoke-with-response-stream")
        assert json.loads(request.body) == {"prompt": PROMPT}
        assert dict(request.headers)[b"accept"] == b"application/vnd.amazon.eventstream"


async def test_llama_4_answers_whole() -> None:
    """A model that is not for streams is asked for a whole answer, which is streamed in one piece."""
    reply, upstream = await asked({"stream": True}, whole(SAID, COUNTS), model=LLAMA_4)
    chunks = chunks_of(reply)
    assert [choice["text"] for each in chunks for choice in each["choices"]] == [" there", ""]
    assert chunks[-1]["usage"] == USED
    assert upstream.requests[-1].url.endswith("/invoke")


async def test_a_stream_breaks() -> None:
    """An exception is an error: a reply where it comes first, else an event; a stream without a reason to end is cut."""
    first = framed(broken("throttlingException", "Too many requests"))
    reply, _ = await asked({"stream": True}, first)
    assert (reply.status_code, reply.json()["error"]["message"]) == (429, "Too many requests")
    late = framed(piece(LLAMA_STREAM[1]), broken("modelStreamErrorException", "it broke"))
    reply, _ = await asked({"stream": True}, late)
    last = json.loads(reply.text.strip().split("\n\n")[-1].removeprefix("data: "))
    assert (last["error"]["message"], last["error"]["type"]) == ("it broke", "modelStreamErrorException")
    assert "[DONE]" not in reply.text
    reply, _ = await asked({"stream": True}, framed(piece(LLAMA_STREAM[1])))
    assert "upstream_cut" in reply.text
    assert "[DONE]" not in reply.text


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("status", "kind", "stands_for"),
    [
        (400, "ValidationException", 400),
        (403, "UnrecognizedClientException", 401),
        (404, "ResourceNotFoundException", 404),
        (408, "ModelTimeoutException", 504),
        (424, "ModelErrorException", 502),
        (429, "ThrottlingException", 429),
        (500, "InternalServerException", 500),
    ],
)
async def test_errors(status: int, kind: str, stands_for: int, *, stream: bool) -> None:
    """What AWS says is told in OpenAI's envelope, with the status that the exception stands for."""
    head = (("content-type", "application/json"), ("x-amzn-errortype", f"{kind}:http://internal.amazon.com/"))
    refused = Recorded.from_json({"message": "no"}, status).varied(headers=head)
    reply, _ = await asked({"stream": stream}, refused)
    error = reply.json()["error"]
    assert (reply.status_code, error["message"], error["code"]) == (stands_for, "no", kind)


@pytest.mark.parametrize("body", [b"<html>", b"", b"[]", b'{}, {"generation": "x"}'])
@pytest.mark.parametrize("prompt", [["a", "b"], "a"])
async def test_an_answer_that_is_none(prompt: Any, body: bytes) -> None:
    """One among several is the provider's failure as an only one is."""
    good = whole(SAID)
    reply, _ = await asked({"prompt": prompt}, good.varied(body=body), *([good] if prompt != "a" else []))
    assert (reply.status_code, reply.json()["error"]["code"]) == (502, "upstream_bad_reply")


async def test_an_answer_that_tells_no_reason() -> None:
    """It is whole, streamed or not; choices that tell no place have the one where they stand."""
    said = {"generation": "hello", "stop_reason": None}
    reply, _ = await asked({"stream": True}, whole(said), model=LLAMA_4)
    choices = [choice for each in chunks_of(reply) for choice in each["choices"]]
    assert [(each["text"], each["finish_reason"]) for each in choices] == [("hello", None), ("", "stop")]
    two = {"choices": [{"index": None, "text": "a", "finish_reason": "stop"}, {"index": 1, "text": "b"}]}
    reply, _ = await asked({"stream": True}, framed(piece(two)), model=IMPORTED)
    assert [(each["index"], each["text"]) for each in chunks_of(reply)[0]["choices"]] == [(0, "a"), (1, "b")]


async def test_an_answer_without_a_text() -> None:
    """It is no completion."""
    reply, _ = await asked({}, whole({"output": {}}))
    assert (reply.status_code, reply.json()["error"]["code"]) == (502, "upstream_bad_reply")
    reply, _ = await asked({"stream": True}, whole({"output": {}}), model=LLAMA_4)
    assert "[DONE]" not in reply.text
