"""Mistral: ids, the order of roles, thinking as parts, and a schema that takes nothing it does not know."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mistralai.client.models import ChatCompletionRequest
from providers.compatible.tests.calls import (
    Json,
    body_of,
    deploy_row,
    exchange,
    held,
    messages_request,
    responses_request,
    send,
)
from pydantic import TypeAdapter

from headgate.chat import Message, Role, Text, ToolCall, ToolResult
from headgate.errors import InvalidRequest
from headgate.testing import Recorded, ReplayUpstream
from headgate_compatible.vendors.mistral import bridged, in_order, with_short_ids

REQUEST = TypeAdapter[Any](ChatCompletionRequest)
USER: Json = {"role": "user", "content": "hi"}
TOOL: Json = {"name": "f", "input_schema": {"type": "object"}}


def call(call_id: str, **arguments: Any) -> Json:
    return {"role": "assistant", "content": [{"type": "tool_use", "id": call_id, "name": "f", "input": arguments}]}


def result(call_id: str, *more: Json) -> Json:
    return {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call_id, "content": "r"}, *more]}


def answered(call_id: str) -> Json:
    """A call as a chat client sends it back."""
    function = {"name": "f", "arguments": "{}"}
    return {
        "role": "assistant",
        "content": "",
        "tool_calls": [{"id": call_id, "type": "function", "function": function}],
    }


def answer(call_id: str) -> Json:
    return {"role": "tool", "tool_call_id": call_id, "content": "r"}


async def mistral(body: Json, operation: str = "messages", **request: Any) -> tuple[Json, list[str]]:
    """What Mistral is sent, checked with the types of its SDK."""
    sent, dropped = await send(deploy_row("mistral"), body, operation, **request)
    known = set(ChatCompletionRequest.model_fields) | {"schema"}
    assert set(sent) <= known
    REQUEST.validate_python(sent)
    return sent, dropped


async def test_turns_that_nothing_is_left_of() -> None:
    """A vendor is not asked for nothing."""
    with pytest.raises(InvalidRequest, match="nothing to send"):
        await send(deploy_row("mistral"), responses_request(input=[{"type": "odd"}]), "responses")


# ids


async def test_ids_in_the_body_of_a_chat_client() -> None:
    """An application that changes to Mistral in mid-conversation brings the ids of its calls along."""
    turns = [USER, answered("call_01"), answer("call_01"), answered("Ab3Ab3Ab3"), answer("Ab3Ab3Ab3")]
    sent, dropped = await mistral({"model": "m", "messages": turns}, "chat")
    ids = [message["tool_calls"][0]["id"] for message in sent["messages"] if "tool_calls" in message]
    assert ids == [message["tool_call_id"] for message in sent["messages"] if message["role"] == "tool"]
    assert re.fullmatch("[A-Za-z0-9]{9}", ids[0])
    assert (ids[1], dropped) == ("Ab3Ab3Ab3", [])


@pytest.mark.parametrize(
    "messages",
    ['[ {"role":"tool", "tool_call_id":"Ab3Ab3Ab3","content":1.0} ]', '{"tool_call_id":"x"}', '[{"tool_call_id":1}]'],
)
def test_bodies_with_legal_ids_keep_their_bytes(messages: str) -> None:
    """Nothing is rewritten where no id is too long, nor what is no list of messages."""
    body = f'{{"model":"m", "messages":{messages}}}'.encode()
    provider = deploy_row("mistral")
    assert held(provider.prepare(exchange(provider, body))) == body


async def test_ids_are_nine_letters_and_digits() -> None:
    """An id of another vendor becomes one that Mistral takes, the same for a call and its result; a legal one stays."""
    turns = [USER, call("toolu_01"), result("toolu_01"), call("Ab3Ab3Ab3"), result("Ab3Ab3Ab3")]
    sent, _ = await mistral(messages_request(*turns, tools=[TOOL]))
    ids = [message["tool_calls"][0]["id"] for message in sent["messages"] if "tool_calls" in message]
    assert ids == [message["tool_call_id"] for message in sent["messages"] if message["role"] == "tool"]
    assert re.fullmatch("[A-Za-z0-9]{9}", ids[0])
    assert ids[1] == "Ab3Ab3Ab3"


@given(st.lists(st.text(max_size=12), unique=True, max_size=8), st.integers(0, 3))
def test_ids_stay_apart(ids: list[str], legal: int) -> None:
    """No two ids become one, not even one that another was turned into, and every result finds its call."""
    made = next(iter(with_short_ids([Message("assistant", (ToolCall("x", "f", ""),))]))).parts[0]
    assert isinstance(made, ToolCall)
    given_ids = [*ids, *([made.id, "x"] if "x" not in ids else []), *(f"legal000{at}" for at in range(legal))]
    turns = [Message("assistant", tuple(ToolCall(each, "f", "") for each in given_ids))]
    turns += [Message("tool", (ToolResult(each),)) for each in reversed(given_ids)]
    mapped = list(with_short_ids(turns))
    calls = [part.id for part in mapped[0].parts if isinstance(part, ToolCall)]
    results = [part.call_id for message in mapped[1:] for part in message.parts if isinstance(part, ToolResult)]
    assert len(set(calls)) == len(given_ids)
    assert results == calls[::-1]
    assert all(re.fullmatch("[A-Za-z0-9]{9}", each) for each in calls)


# the order of roles


async def test_a_user_behind_a_result() -> None:
    """Between a result and a user's turn stands a word of the assistant's."""
    sent, _ = await mistral(
        messages_request(USER, call("c"), result("c", {"type": "text", "text": "go on"}), tools=[TOOL])
    )
    assert [message["role"] for message in sent["messages"]] == ["user", "assistant", "tool", "assistant", "user"]
    assert sent["messages"][3] == {"role": "assistant", "content": "OK."}


async def test_pictures_of_a_result() -> None:
    """So it does before a picture that a tool returned, which is said by the user."""
    picture: Json = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}
    turn: Json = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c", "content": [picture]}]}
    sent, _ = await mistral(messages_request(USER, call("c"), turn, tools=[TOOL]))
    assert [message["role"] for message in sent["messages"]] == ["user", "assistant", "tool", "assistant", "user"]


async def test_instructions_between_turns() -> None:
    """An instruction behind the assistant's turn follows the next one of the user; without one the user says it."""
    system: Json = {"role": "system", "content": "be brief"}
    said: Json = {"role": "assistant", "content": "yes"}
    sent, _ = await mistral(responses_request(USER, said, system, USER), "responses")
    assert [message["role"] for message in sent["messages"]] == ["user", "assistant", "user", "system"]
    sent, _ = await mistral(responses_request(USER, said, system), "responses")
    assert sent["messages"][2] == {"role": "user", "content": "<system>\nbe brief\n</system>"}


ROLES: list[Role] = ["system", "user", "assistant", "tool"]
ALLOWED = {
    "system": {"system", "user", "assistant"},
    "user": {"system", "user", "assistant"},
    "assistant": {"assistant", "user", "tool"},
    "tool": {"assistant", "tool"},
}
"""Which role may follow which, by mistral-common."""


@given(st.lists(st.sampled_from(ROLES), max_size=9))
def test_any_order_becomes_one_that_is_taken(roles: list[Role]) -> None:
    """Whatever follows whatever, the result is an order that Mistral takes, and every text is still there."""
    turns: list[Message] = []
    for at, role in enumerate(roles):
        if role == "tool":
            turns.append(Message("assistant", (ToolCall(f"c{at}", "f", "{}"),)))
            turns.append(Message("tool", (ToolResult(f"c{at}", (Text(f"t{at}"),)),)))
        else:
            turns.append(Message(role, (Text(f"t{at}"),)))
    ordered = in_order(turns)
    encoded = bridged([{"role": turn.role} for turn in ordered])
    assert all(second["role"] in ALLOWED[first["role"]] for first, second in pairwise(encoded))
    told = " ".join(part.text for turn in ordered for part in turn.parts if isinstance(part, Text | ToolResult))
    assert all(f"t{at}" in told for at in range(len(roles)))


# content


async def test_thinking_is_a_part() -> None:
    """Thinking of an earlier turn is the first part of its content, for the schema has no member for it."""
    content: list[Json] = [{"type": "thinking", "thinking": "hm", "signature": ""}, {"type": "text", "text": "yes"}]
    sent, _ = await mistral(messages_request(USER, {"role": "assistant", "content": content}, USER))
    assert sent["messages"][1] == {
        "role": "assistant",
        "content": [
            {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
            {"type": "text", "text": "yes"},
        ],
    }


async def test_signed_thinking_goes_back() -> None:
    """A signature reaches a client of another dialect and Mistral again, whole and streamed; no one else's does."""
    thought: Json = {
        "type": "thinking",
        "thinking": [{"type": "text", "text": "hm"}],
        "signature": "c2ln",
        "closed": True,
    }
    answer: Json = {"role": "assistant", "content": [thought, {"type": "text", "text": "yes"}]}
    whole = Recorded.from_json(
        {"id": "r", "model": "m", "choices": [{"index": 0, "message": answer, "finish_reason": "stop"}]}
    )
    pieces: list[Json] = [{"thinking": [{"type": "text", "text": "hm"}]}, {"thinking": [], "signature": "c2ln"}]
    deltas: list[Json] = [{"content": [{"type": "thinking", **piece}]} for piece in pieces] + [{"content": "yes"}]
    chunks: list[Json] = [{"id": "r", "model": "m", "choices": [{"index": 0, "delta": delta}]} for delta in deltas]
    chunks[-1]["choices"][0]["finish_reason"] = "stop"
    stream = Recorded.from_events(*chunks)
    for recorded, is_stream in ((whole, False), (stream, True)):
        provider = deploy_row("mistral", ReplayUpstream({"*": recorded}))
        asked = exchange(provider, messages_request(USER, stream=is_stream), "messages")
        told = await body_of(await provider.call(asked))
        (signature,) = re.findall(rb'"signature":"([^"]+)"', told)
        content: list[Json] = [
            {"type": "thinking", "thinking": "hm", "signature": signature.decode()},
            {"type": "text", "text": "yes"},
        ]
        again = messages_request(USER, {"role": "assistant", "content": content}, USER)
        sent, dropped = await mistral(again)
        signed = {name: thought[name] for name in ("type", "thinking", "signature")}
        assert (sent["messages"][1]["content"], dropped) == ([signed, {"type": "text", "text": "yes"}], [])
        other: Json = {"role": "assistant", "content": [{**content[0], "signature": "claudes"}, content[1]]}
        sent, dropped = await mistral(messages_request(USER, other, USER))
        assert "signature" not in sent["messages"][1]["content"][0]
        assert dropped == ["messages[1].reasoning"]


async def test_documents_and_sound() -> None:
    """A document is a URL, by data or by place, and sound is bare base64."""
    pdf: Json = {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0="}
    sent, _ = await mistral(responses_request({"role": "user", "content": [pdf]}), "responses")
    part = {"type": "document_url", "document_url": "data:application/pdf;base64,JVBERi0=", "document_name": "a.pdf"}
    assert sent["messages"][0]["content"] == [part]
    sound: Json = {"inlineData": {"mimeType": "audio/wav", "data": "AAAA"}}
    sent, _ = await mistral({"contents": [{"role": "user", "parts": [sound]}]}, "generate")
    assert sent["messages"][0]["content"] == [{"type": "input_audio", "input_audio": "AAAA"}]


async def test_refusals_are_text() -> None:
    """What the model declined with is something it said."""
    refusal: Json = {"type": "message", "role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]}
    sent, _ = await mistral(responses_request(USER, refusal, USER), "responses")
    assert sent["messages"][1] == {"role": "assistant", "content": "no"}


async def test_an_answer_to_go_on_with() -> None:
    """A last turn of the assistant is a prefix, which Mistral wants to be told."""
    sent, _ = await mistral(messages_request(USER, {"role": "assistant", "content": "It is"}))
    assert sent["messages"][1] == {"role": "assistant", "content": "It is", "prefix": True}


# fields


async def test_fields() -> None:
    """Fields have Mistral's names, a stream asks for no usage, which always comes, and tools have parameters."""
    body = messages_request(
        USER, stream=True, tools=[TOOL], tool_choice={"type": "any"}, metadata={"user_id": "u"}, top_k=3,
        thinking={"type": "enabled", "budget_tokens": 2000}, max_tokens=4000,
    )  # fmt: skip
    sent, dropped = await mistral(body)
    assert {name: sent[name] for name in ("max_tokens", "reasoning_effort", "tool_choice", "top_k", "stream")} == {
        "max_tokens": 4000, "reasoning_effort": "high", "tool_choice": "required", "top_k": 3, "stream": True,
    }  # fmt: skip
    assert sorted(dropped) == ["reasoning_effort", "thinking.budget_tokens", "user"]
    bare: list[Json] = [{"type": "function", "name": "f"}]
    sent, _ = await mistral(responses_request(USER, tools=bare), "responses")
    assert sent["tools"][0]["function"]["parameters"] == {"type": "object", "properties": {}}


async def test_a_chat_client_keeps_its_bytes_but_for_names() -> None:
    """A chat client's body is Mistral's already: only the named differences are made."""
    body: Json = {
        "model": "m", "messages": [{"role": "user", "content": "hi"}], "seed": 7, "max_completion_tokens": 9,
        "stream": True, "stream_options": {"include_usage": True}, "service_tier": "default",
    }  # fmt: skip
    provider = deploy_row("mistral")
    ex = exchange(provider, body)
    sent = provider.prepare(ex).body
    assert (
        sent
        == b'{"model":"m","messages":[{"role":"user","content":"hi"}],"random_seed":7,"max_tokens":9,"stream":true}'
    )
    assert ex.dropped == ["stream_options"]


async def test_named_and_strict_tools_and_schemas_are_mistrals_own() -> None:
    """A tool is forced by its name and held to its schema, and an answer to another one, in OpenAI's words."""
    schema: Json = {"type": "object", "properties": {"a": {"type": "string"}}}
    function: Json = {"type": "function", "name": "f", "parameters": schema, "strict": True}
    form: Json = {"type": "json_schema", "name": "n", "schema": schema, "strict": True}
    body = responses_request(
        USER, tools=[function], tool_choice={"type": "function", "name": "f"}, text={"format": form}
    )
    sent, dropped = await mistral(body, "responses")
    assert sent["tool_choice"] == {"type": "function", "function": {"name": "f"}}
    assert sent["tools"][0]["function"]["strict"] is True
    wanted = {"name": "n", "schema": schema, "strict": True}
    assert sent["response_format"] == {"type": "json_schema", "json_schema": wanted}
    assert dropped == []
