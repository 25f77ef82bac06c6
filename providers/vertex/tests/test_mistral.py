"""Mistral's models on Vertex AI: chat of every client's, and completions of code, as Mistral's own SDK asks for them there."""

from __future__ import annotations

import json
from typing import Any

import openai.types
import pytest
from mistralai.gcp.client.models import ChatCompletionRequest, FIMCompletionRequest

from headgate.testing import Recorded, ReplayUpstream, gateway
from headgate_vertex import Vertex
from headgate_vertex.models import find_model

Json = dict[str, Any]

PLACE = "https://us-central1-aiplatform.googleapis.com/v1/projects/p/locations/us-central1/publishers/mistralai/models"
USAGE: Json = {"prompt_tokens": 8, "completion_tokens": 2, "total_tokens": 10}
TURN: Json = {"role": "assistant", "content": "Hi"}
ANSWER: Json = {
    "id": "c1",
    "object": "chat.completion",
    "created": 7,
    "model": "mistral-medium-3",
    "choices": [{"index": 0, "finish_reason": "stop", "message": TURN}],
    "usage": USAGE,
}


def chunk(content: str, finish: str | None = None) -> Json:
    """A piece of a stream."""
    choice: Json = {"index": 0, "delta": {"role": "assistant", "content": content}, "finish_reason": finish}
    return {"id": "c1", "object": "chat.completion.chunk", "created": 7, "model": "m", "choices": [choice]}


async def asked(path: str, body: Json, answer: Json | Recorded = ANSWER) -> tuple[Any, ReplayUpstream]:
    """A client's reply, and what Vertex AI was asked."""
    upstream = ReplayUpstream({"*": answer if isinstance(answer, Recorded) else Recorded.from_json(answer)})
    providers = {"v": {"provider": "vertex", "project": "p", "location": "us-central1", "api_key": "AIza-some-key"}}
    async with gateway(Vertex, providers=providers, upstream=upstream) as client:
        return await client.post(path, json=body), upstream


@pytest.mark.parametrize(
    ("name", "interface", "model"),
    [
        ("mistral-medium-3", "mistral", "mistral-medium-3"),
        ("codestral-2@001", "mistral", "codestral-2@001"),
        ("mistralai/mistral-small-2503", "mistral", "mistral-small-2503"),
        ("publishers/mistralai/models/ministral-3", "mistral", "ministral-3"),
        ("mistralai/mistral-ocr-maas", "openai", "mistralai/mistral-ocr-maas"),
        ("meta/mistral-7b", "openai", "meta/mistral-7b"),
    ],
)
def test_whose_model_it_is(name: str, interface: str, model: str) -> None:
    """Mistral's models are known by their names or by their publisher; hosted open ones are the OpenAI layer's."""
    found = find_model(name)
    assert (found.interface, found.id) == (interface, model)


async def test_a_chat() -> None:
    """A chat has the model in path and body, fields by Mistral's names and ids of calls as it takes them."""
    call = {"id": "call_0123456789", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    messages: list[Json] = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_0123456789", "content": "1"},
    ]
    body: Json = {
        "model": "v/mistral-medium-3",
        "messages": messages,
        "max_completion_tokens": 9,
        "seed": 5,
        "user": "u",
    }
    reply, upstream = await asked("/v1/chat/completions", body)
    assert (reply.json(), reply.headers["x-headgate-dropped"]) == (ANSWER, "user")
    [request] = upstream.requests
    assert request.url == f"{PLACE}/mistral-medium-3:rawPredict"
    ChatCompletionRequest.model_validate_json(request.body)
    sent: Json = json.loads(request.body)
    assert (sent["model"], sent["max_tokens"], sent["random_seed"]) == ("mistral-medium-3", 9, 5)
    ids = {sent["messages"][2]["tool_calls"][0]["id"], sent["messages"][3]["tool_call_id"]}
    assert (len(ids), {len(each) for each in ids}, sent["messages"][0]["role"]) == (1, {9}, "system")


@pytest.mark.parametrize("size", [1, 11, 4096])
async def test_a_streamed_chat(size: int) -> None:
    """A stream is asked for by a method of its own and passes, however it is cut on its way."""
    answer = Recorded.from_events(chunk("H"), chunk("i", "stop")).varied(sizes=(size,))
    body = {"model": "v/mistral-medium-3", "messages": [{"role": "user", "content": "Hello"}], "stream": True}
    reply, upstream = await asked("/v1/chat/completions", {**body, "stream_options": {"include_usage": True}}, answer)
    assert reply.content == answer.body
    assert upstream.requests[-1].url == f"{PLACE}/mistral-medium-3:streamRawPredict"
    assert json.loads(upstream.requests[-1].body) == {**body, "model": "mistral-medium-3"}


async def test_clients_of_other_apis() -> None:
    """A client of Anthropic's is answered by it too, with its tools and its wish to think."""
    tool: Json = {"name": "f", "input_schema": {"type": "object", "properties": {}}}
    body: Json = {
        "model": "v/mistral-medium-3",
        "max_tokens": 9,
        "messages": [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "H"}],
        "tools": [tool],
    }
    reply, upstream = await asked("/v1/messages", body)
    assert reply.json()["content"] == [{"type": "text", "text": "Hi"}]
    sent: Json = json.loads(upstream.requests[-1].body)
    ChatCompletionRequest.model_validate(sent)
    assert (sent["max_tokens"], sent["messages"][1]["prefix"]) == (9, True)
    assert sent["tools"][0]["function"]["parameters"] == tool["input_schema"]


async def test_a_completion_of_code() -> None:
    """Codestral completes code; its answer in the shape of chat is a completion."""
    body: Json = {"prompt": ["def f("], "suffix": "return a", "max_tokens": 9, "seed": 5, "n": 1}
    reply, upstream = await asked("/v1/completions", {"model": "v/codestral-2", **body})
    said = openai.types.Completion.model_validate(reply.json())
    assert (said.choices[0].text, said.choices[0].finish_reason) == ("Hi", "stop")
    [request] = upstream.requests
    assert request.url == f"{PLACE}/codestral-2:rawPredict"
    FIMCompletionRequest.model_validate_json(request.body)
    told = {"model": "codestral-2", "prompt": "def f(", "suffix": "return a", "max_tokens": 9, "random_seed": 5}
    assert json.loads(request.body) == told


async def test_a_streamed_completion() -> None:
    """Its pieces are those of a completion."""
    answer = Recorded.from_events(chunk("a"), chunk(")", "stop"))
    reply, upstream = await asked("/v1/completions", {"model": "v/codestral-2", "prompt": "f(", "stream": True}, answer)
    lines = [line.removeprefix("data: ") for line in reply.text.splitlines() if line.startswith("data: {")]
    assert [json.loads(line)["choices"][0]["text"] for line in lines] == ["a", ")"]
    assert upstream.requests[-1].url == f"{PLACE}/codestral-2:streamRawPredict"


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        (
            "/v1/chat/completions",
            {"messages": [{"role": "user", "content": "a"}], "logit_bias": {"5": 1}},
            "logit_bias",
        ),
        ("/v1/completions", {"prompt": "a", "echo": True}, "echo"),
        ("/v1/completions", {"prompt": ["a", "b"]}, "prompt"),
    ],
)
async def test_what_cannot_be_told(path: str, body: Json, param: str) -> None:
    """What Mistral has no words for is refused by name."""
    refused, upstream = await asked(path, {"model": "v/codestral-2", **body})
    assert (refused.status_code, refused.json()["error"]["param"], upstream.requests) == (400, param, [])


@pytest.mark.parametrize("model", ["gemini-2.5-flash", "claude-sonnet-4-5", "meta/llama-4-scout-maas"])
async def test_other_models_complete_nothing(model: str) -> None:
    """No other model there has completions, and nothing is sent."""
    refused, upstream = await asked("/v1/completions", {"model": f"v/{model}", "prompt": "a"})
    assert (400 <= refused.status_code < 500, upstream.requests) == (True, [])


async def test_an_error() -> None:
    """An error keeps its status and message."""
    answer = Recorded.from_json({"object": "error", "message": "no such model", "type": "invalid_model"}, 404)
    reply, _ = await asked("/v1/completions", {"model": "v/codestral-9", "prompt": "a"}, answer)
    assert (reply.status_code, reply.json()["error"]["message"]) == (404, "no such model")
