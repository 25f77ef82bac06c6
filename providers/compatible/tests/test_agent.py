"""Perplexity's Agent API: what clients of every dialect ask of it, in a body that holds nothing it does not know."""

from __future__ import annotations

import json
from typing import Any

import pytest
from perplexity.types import response_create_params as types
from providers.compatible.tests.calls import (
    CALL,
    DROP,
    RESULT,
    TOOL,
    USER,
    Json,
    body_of,
    deploy_row,
    exchange,
    messages_request,
    responses_request,
    send,
)
from providers.compatible.tests.test_types import BODIES, check

from headgate.errors import UnsupportedField
from headgate.testing import Recorded, ReplayUpstream

MODEL = {"model": "openai/gpt-5.1"}
SCHEMA: Json = {"type": "object", "properties": {"a": {"type": "string"}}}
FOUND: Json = {
    "type": "search_results",
    "queries": ["a"],
    "results": [{"id": 1, "url": "https://a.example", "title": "A"}, {"id": 2, "url": "https://b.example"}],
}
SIGNED: Json = {
    "type": "function_call",
    "id": "fc_1",
    "call_id": "c",
    "status": "completed",
    "name": "f",
    "arguments": "{}",
    "thought_signature": "c2ln",
}
USED = {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}


def said(text: str) -> Json:
    """A message of the agent's."""
    part: Json = {"type": "output_text", "text": text, "annotations": []}
    return {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [part]}


def answer(*output: Json) -> Json:
    """A whole answer."""
    told: Json = {"id": "resp_1", "object": "response", "created_at": 1, "status": "completed", "usage": USED}
    return {**told, **MODEL, "output": list(output)}


def replayed(*output: Json) -> ReplayUpstream:
    """A vendor that answers with these items."""
    return ReplayUpstream({"*": Recorded.from_json(answer(*output))})


async def sent_to_agent(body: Json, operation: str = "messages", **request: Any) -> tuple[Json, list[str]]:
    """What the agent is sent for a client's body, and what was dropped on the way."""
    return await send(deploy_row("perplexity", replayed(said("yes"))), body | MODEL, operation, **request)


@pytest.mark.parametrize("client", ["chat", "messages", "generate"])
def test_models_with_a_slash_are_the_agents(client: str) -> None:
    """Clients of every dialect are translated into the Agent API for its models, and into Sonar's chat for others."""
    provider = deploy_row("perplexity")
    ex = exchange(provider, messages_request(USER) if client != "generate" else {"contents": []}, client)
    assert provider.spoken(ex, "openai/gpt-5.1") == ("responses", "openai.responses")
    assert provider.spoken(ex, "sonar") == ("chat", "openai.chat")


@pytest.mark.parametrize("client", [name for name in BODIES if name != "responses"])
async def test_encoded_requests_are_valid(client: str) -> None:
    """Whatever a client asks for, the agent is sent what Perplexity's own SDK could have sent, but for a choice of tools."""
    sent, _ = await sent_to_agent(BODIES[client], client, headers=DROP)
    sent.pop("tool_choice", None)  # https://docs.perplexity.ai/docs/agent-api/migrate-from-sonar/how-to has it
    for name in ("temperature", "top_p", "parallel_tool_calls", "metadata"):
        sent.pop(name, None)  # likewise
    check(types.ResponseCreateParamsNonStreaming, sent)


async def test_a_loop_of_tools() -> None:
    """A call comes with its signature and goes back with it; its result says whose it is."""
    provider = deploy_row("perplexity", replayed(SIGNED))
    chat: Json = {"messages": [USER], "tools": [{"type": "function", "function": {"name": "f"}}], **MODEL}
    turn = json.loads(await body_of(await provider.call(exchange(provider, chat))))["choices"][0]["message"]
    result = {"role": "tool", "tool_call_id": "c", "content": "r"}
    sent, dropped = await sent_to_agent({**chat, "messages": [USER, turn, result]}, "chat")
    named = {"call_id": "c", "name": "f", "thought_signature": "c2ln"}
    assert sent["input"][1:] == [
        {"type": "function_call", "arguments": "{}", **named},
        {"type": "function_call_output", "output": "r", **named},
    ]
    assert dropped == []


async def test_another_vendors_calls_go_unsigned() -> None:
    """A loop that began elsewhere goes on, and a tool that is named is named by its name alone."""
    body = messages_request(USER, CALL, RESULT, tools=[TOOL], tool_choice={"type": "tool", "name": "f"})
    sent, dropped = await sent_to_agent(body)
    assert [item["type"] for item in sent["input"]] == ["message", "function_call", "function_call_output"]
    assert (sent["tool_choice"], "thought_signature" in json.dumps(sent), dropped) == ({"name": "f"}, False, [])


@pytest.mark.parametrize("operation", ["chat", "responses"])
async def test_a_schema_stands_where_chat_has_it(operation: str) -> None:
    """The member of Responses is unknown there, so that of its own clients is put in the same place."""
    shaped: Json = {"name": "n", "schema": SCHEMA, "strict": True}
    wanted: Json = {"type": "json_schema", "json_schema": shaped}
    bodies: dict[str, Json] = {
        "chat": {"messages": [USER], "response_format": wanted},
        "responses": responses_request(USER, text={"format": {"type": "json_schema", **shaped}}),
    }
    sent, _ = await sent_to_agent(bodies[operation], operation)
    assert (sent["response_format"], "text" in sent) == (wanted, False)


async def test_its_own_clients_are_relayed() -> None:
    """A body that it knows all of keeps its bytes."""
    provider = deploy_row("perplexity", replayed(said("yes")))
    ex = exchange(
        provider, responses_request({"type": "message"} | USER, tools=[{"type": "web_search"}]) | MODEL, "responses"
    )
    assert provider.prepare(ex).body == ex.body


async def test_a_history_of_its_own_clients() -> None:
    """What OpenAI's SDK sends back of an answer has the members and kinds that an input may have; what stays away is named."""
    picture: Json = {"type": "input_image", "image_url": "https://a.example", "detail": "low"}
    result: Json = {"type": "function_call_output", "call_id": "c", "output": [{"type": "input_text", "text": "r"}]}
    body = responses_request(USER, {"role": "user", "content": [picture]}, FOUND, said("yes"), SIGNED, result)
    sent, dropped = await sent_to_agent(body, "responses")
    check(types.ResponseCreateParamsNonStreaming, sent)
    call = {name: value for name, value in SIGNED.items() if name not in {"id", "status"}}
    assert sent["input"] == [
        {"type": "message", "role": "user", "content": "hi"},
        {"type": "message", "role": "user", "content": [{"type": "input_image", "image_url": "https://a.example"}]},
        {"type": "message", "role": "assistant", "content": "yes"},
        call,
        {"type": "function_call_output", "call_id": "c", "output": "r"},
    ]
    assert dropped == ["input[1].content.detail", "input[2]"]


async def test_a_search_is_a_tool() -> None:
    """What chat clients ask of models that search becomes the agent's tool; a time zone has no place there and is named."""
    place = {"type": "approximate", "approximate": {"country": "DE", "timezone": "Europe/Berlin"}}
    options = {"search_context_size": "low", "user_location": place}
    sent, dropped = await sent_to_agent({"messages": [USER], "web_search_options": options}, "chat")
    tool = {"type": "web_search", "search_context_size": "low", "user_location": {"country": "DE"}}
    assert (sent["tools"], dropped) == ([tool], ["web_search_options.user_location.approximate.timezone"])


@pytest.mark.parametrize(
    ("members", "named"),
    [
        ({"stop": ["x"]}, "stop"),
        ({"logprobs": True}, "logprobs"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
    ],
)
async def test_what_it_has_not_is_refused(members: Json, named: str) -> None:
    """Fields that change what is asked for are refused by name, and let drop they are not sent."""
    body: Json = {"messages": [USER], **members}
    with pytest.raises(UnsupportedField, match=f"`{named}`"):
        await sent_to_agent(body, "chat")
    sent, dropped = await sent_to_agent(body, "chat", headers=DROP)
    assert (set(sent), dropped) == ({"model", "input", "store"}, [named])


async def test_efforts() -> None:
    """An effort is one of the agent's words and nothing stands beside it; thinking that cannot be switched off is named."""
    sent, dropped = await sent_to_agent({"messages": [USER], "reasoning_effort": "max"}, "chat")
    assert (sent["reasoning"], dropped) == ({"effort": "xhigh"}, ["reasoning_effort"])
    sent, dropped = await sent_to_agent({"messages": [USER], "reasoning_effort": "none"}, "chat")
    assert ("reasoning" in sent, dropped) == (False, ["reasoning_effort"])


@pytest.mark.parametrize("stream", [False, True])
async def test_sources_stand_where_marks_name_them(stream: bool) -> None:
    """What the agent found is told as the sources of its text, and the search itself is no part of the answer."""
    output = [FOUND, said("yes [2]")]
    events: list[Json] = [
        {"type": "response.created", "response": {**answer(), "status": "in_progress"}},
        {"type": "response.output_item.added", "output_index": 0, "item": {**said(""), "content": []}},
        {"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": "yes [2]"},
        {"type": "response.output_item.done", "output_index": 0, "item": said("yes [2]")},
        {"type": "response.completed", "response": answer(*output)},
    ]
    data = "".join(f"data: {json.dumps(event)}\n\n" for event in events).encode()
    streamed = Recorded(headers=(("content-type", "text/event-stream"),), body=data)
    upstream = ReplayUpstream({"*": streamed}) if stream else replayed(*output)
    provider = deploy_row("perplexity", upstream)
    body: Json = {"messages": [USER], "stream": stream, **MODEL}
    told = (await body_of(await provider.call(exchange(provider, body)))).decode()
    assert "https://b.example" in told
    assert "https://a.example" not in told
    assert "provider_items" not in told


@pytest.mark.parametrize("stream", [False, True])
async def test_a_source_is_told_once(stream: bool) -> None:
    """An annotation of the vendor's for a mark is not told again as what that mark names."""
    note: Json = {"type": "url_citation", "url": "https://b.example", "title": "B", "start_index": 4, "end_index": 7}
    message = said("yes [2]")
    message["content"][0]["annotations"] = [note]
    events: list[Json] = [
        {"type": "response.output_item.added", "output_index": 0, "item": {**said(""), "content": []}},
        {"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": "yes [2]"},
        {"type": "response.output_item.done", "output_index": 0, "item": message},
        {"type": "response.completed", "response": answer(FOUND, message)},
    ]
    data = "".join(f"data: {json.dumps(event)}\n\n" for event in events).encode()
    streamed = Recorded(headers=(("content-type", "text/event-stream"),), body=data)
    upstream = ReplayUpstream({"*": streamed}) if stream else replayed(FOUND, message)
    provider = deploy_row("perplexity", upstream)
    told = (
        await body_of(await provider.call(exchange(provider, {"messages": [USER], "stream": stream, **MODEL})))
    ).decode()
    assert told.count('"url_citation":') == 1
