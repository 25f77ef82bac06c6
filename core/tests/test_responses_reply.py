"""Whole Responses answers, both ways: what a provider says is understood, and what a client gets its official SDK accepts."""

from __future__ import annotations

from typing import Any

import msgspec
import openai
import pytest
from core.tests.responses_samples import (
    ASKED,
    RESPONSES,
    answer,
    client,
    decode,
    encoded,
    function_call,
    message,
    reply,
)

from headgate.chat import (
    Audio,
    ChatReply,
    Choice,
    Citation,
    FinishReason,
    Image,
    Item,
    Message,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    Usage,
)
from headgate.dialects import OpenAIChat
from headgate.errors import ErrorWords, ProviderFailed

Json = dict[str, Any]

NOTE: Json = {"type": "url_citation", "url": "https://x", "title": "X", "start_index": 0, "end_index": 2}
SEARCH = {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search", "query": "q"}}


def answered(*parts: Part, **members: Any) -> ChatReply:
    """A reply of these parts from a provider of another dialect."""
    finish: FinishReason = members.pop("finish", "stop")
    extra: Json = members.pop("choice", {})
    message = Message("assistant", parts, extra=members.pop("message", {}))
    choice = Choice(message, finish, members.pop("raw", finish), members.pop("stop", None), extra=extra)
    return ChatReply("chatcmpl-1", "model-x", (choice,), 1700000000, **members)


# from providers


def test_reply() -> None:
    """Thinking, words, a built-in tool's item and a call, in their order, with usage and what is not only an echo."""
    thought: Json = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "E"}
    words = message("Hi", content=[{"type": "output_text", "text": "Hi", "annotations": [NOTE]}], phase="final_answer")
    body = reply(thought, SEARCH, words, function_call(), service_tier="default", tools=[], cost=3, error=None)
    held = RESPONSES.decode_reply(body)
    assert held.choices[0] == Choice(
        Message(
            "assistant",
            (
                Reasoning("", Opaque("openai", "E"), is_redacted=True, item_id="rs_1"),
                Item("openai.responses", SEARCH),
                Text("Hi", citations=(Citation("https://x", "X", None, 0, 2, NOTE),)),
                ToolCall("call_1", "weather", '{"city":"Bern"}', item_id="fc_1"),
            ),
            extra={"phase": "final_answer"},
        ),
        "tool_calls",
        "completed",
    )
    assert (held.id, held.model, held.created) == ("resp_1", "gpt-x", 1700000000)
    assert (held.service_tier, held.dialect, held.extra) == ("default", "openai.responses", {"cost": 3})
    usage = held.usage
    assert usage is not None
    assert (usage.prompt, usage.completion, usage.cached, usage.reasoning) == (9, 6, 4, 2)
    assert RESPONSES.reply_usage(body) == usage


def test_perplexitys_words_for_the_cache() -> None:
    """What was read from the cache and written to it counts, by the names of the Agent API."""
    details = {"cache_read_input_tokens": 4, "cache_creation_input_tokens": 2}
    body = msgspec.json.encode({"usage": {"input_tokens": 9, "output_tokens": 1, "input_tokens_details": details}})
    usage = RESPONSES.reply_usage(body)
    assert usage is not None
    assert (usage.prompt, usage.cached, usage.cache_write) == (9, 4, 2)


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({"status": "completed"}, ("stop", "completed")),
        ({"status": None}, ("stop", "completed")),
        ({"incomplete_details": {"reason": "max_output_tokens"}}, ("length", "max_output_tokens")),
        ({"incomplete_details": {"reason": "content_filter"}}, ("content_filter", "content_filter")),
        ({"incomplete_details": {"reason": "steered"}}, ("stop", "steered")),
        ({"incomplete_details": {"reason": "server_timeout"}}, ("error", "server_timeout")),
        ({"incomplete_details": None}, ("stop", "incomplete")),
    ],
)
def test_finish(members: Json, expected: tuple[str, str]) -> None:
    """Why an answer ended, and the vendor's own word."""
    (choice,) = RESPONSES.decode_reply(reply(message("x"), **{"status": "incomplete", **members})).choices
    assert (choice.finish, choice.finish_raw) == expected


@pytest.mark.parametrize("reason", ["server_timeout", "steered", None])
def test_whole_calls_of_an_incomplete_answer(reason: str | None) -> None:
    """An answer that asks for calls ends for them, unless it was cut at a limit."""
    call = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
    body = reply(call, status="incomplete", incomplete_details={"reason": reason})
    assert RESPONSES.decode_reply(body).choices[0].finish == "tool_calls"


def test_refusal_and_logprobs() -> None:
    """A refusal is a part of its own and ends with `stop`; log probabilities take the form of a chat completion."""
    logprob = {"token": "a", "logprob": -0.1, "bytes": [97], "top_logprobs": []}
    content = [
        {"type": "output_text", "text": "a", "annotations": [], "logprobs": [logprob]},
        {"type": "refusal", "refusal": "no"},
    ]
    (choice,) = RESPONSES.decode_reply(reply(message("", content=content))).choices
    assert (choice.message.parts, choice.finish) == ((Text("a"), Refusal("no")), "stop")
    assert choice.logprobs == {"content": [logprob], "refusal": None}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (reply(status="failed", error={"code": "server_error", "message": "broke"}), "broke"),
        (reply(status="cancelled"), "cancelled"),
        (reply(status="in_progress"), "in_progress"),
        (b'{"object": "chat.completion", "choices": []}', "output"),
        (b"[]", "object"),
        (b"\xff", ""),
        (reply(SEARCH, {"type": "function_call"}), "output[1].name"),
    ],
)
def test_what_is_no_answer(body: bytes, words: str) -> None:
    """A failed answer, one that is not complete, and what is none are the provider's failure, never a crash."""
    with pytest.raises(ProviderFailed) as caught:
        RESPONSES.decode_reply(body)
    assert words in caught.value.message


@pytest.mark.parametrize("status", ["completed", "incomplete"])
def test_an_answer_without_items(status: str) -> None:
    """One that is over is empty, as for OpenAI's own client."""
    body: Json = {"id": "r", "status": status, "output": None, "usage": {"input_tokens": 1, "output_tokens": 2}}
    answer = RESPONSES.decode_reply(msgspec.json.encode(body))
    (choice,) = answer.choices
    assert (choice.message.parts, choice.finish, answer.usage is not None) == ((), "stop", True)


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (
            {"input_tokens": 3, "input_tokens_details": None, "output_tokens": None},
            Usage(3, raw={"input_tokens": 3, "input_tokens_details": None, "output_tokens": None}),
        ),
        ({"input_tokens": -1, "output_tokens": 2.0}, Usage(0, 2, raw={"input_tokens": -1, "output_tokens": 2.0})),
        (
            {"prompt_tokens": 15, "completion_tokens": 8, "total_tokens": 23},
            Usage(15, 8, raw={"prompt_tokens": 15, "completion_tokens": 8, "total_tokens": 23}),
        ),
        (None, None),
        ({}, None),
    ],
)
def test_odd_usage(usage: Json | None, expected: Usage | None) -> None:
    """Counts that are missing, null or negative are 0, no usage is none, and Fireworks' names count as well."""
    body = reply(usage=usage)
    assert (RESPONSES.decode_reply(body).usage, RESPONSES.reply_usage(body)) == (expected, expected)


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (400, {"message": "no such model", "code": "model_not_found"}, (404, "model_not_found", None)),
        (400, {"message": "Incorrect API key provided: x"}, (401, None, None)),
        (
            429,
            {"message": "Please try again in 1.5s.", "code": "rate_limit_exceeded"},
            (429, "rate_limit_exceeded", 1.5),
        ),
        (429, {"message": "Please try again in 250ms."}, (429, None, 0.25)),
        (429, {"message": "Please try again in 1m2s."}, (429, None, 62.0)),
        (429, {"message": "Please retry after 6 seconds."}, (429, None, 6.0)),
        (500, {"message": "try again in 2s"}, (500, None, None)),
    ],
)
def test_errors_of_providers(status: int, body: Json, expected: tuple[int, str | None, float | None]) -> None:
    """An error keeps its words; a status that says something else is put right, and a wait in the text is read."""
    words = RESPONSES.decode_error(status, encoded({"error": {"type": "t", "param": None, **body}}))
    assert (words.status, words.code, words.retry_after_s) == expected
    assert (words.message, words.type) == (body["message"], "t")


# to clients


def test_answer_is_whole() -> None:
    """Every part is an item with an id made from the reply's, and the echoes tell what was asked."""
    asked = decode(
        instructions="be",
        tools=[{"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": True}],
        tool_choice="required",
        temperature=0.5,
        max_output_tokens=50,
        reasoning={"effort": "low", "summary": "auto"},
        text={"format": {"type": "json_schema", "name": "n", "schema": {}}, "verbosity": "low"},
        metadata={"a": "b"},
        parallel_tool_calls=False,
        user="u",
        store=True,
    )
    parts = (Reasoning("so", Opaque("anthropic", "Eq:z", "acc")), Text("Hi"), ToolCall("c1", "f", '{"n": 1.0}'))
    body = answer(answered(*parts, finish="tool_calls", usage=Usage(9, 6, 4, 1, 2)), asked)
    assert body["output"] == [
        {
            "id": "rs_hg_chatcmpl-1_0",
            "type": "reasoning",
            "summary": [{"type": "summary_text", "text": "so"}],
            "encrypted_content": "headgate:anthropic:acc:Eq:z",
        },
        {
            "id": "msg_hg_chatcmpl-1_1",
            "type": "message",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": "Hi", "annotations": [], "logprobs": []}],
        },
        {
            "id": "fc_hg_chatcmpl-1_2",
            "type": "function_call",
            "status": "completed",
            "call_id": "c1",
            "name": "f",
            "arguments": '{"n": 1.0}',
        },
    ]
    assert body["usage"] == {
        "input_tokens": 9,
        "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 1},
        "output_tokens": 6,
        "output_tokens_details": {"reasoning_tokens": 2},
        "total_tokens": 15,
    }
    assert {name: body[name] for name in ("id", "model", "created_at", "status", "error", "incomplete_details")} == {
        "id": "resp_hg_chatcmpl-1",
        "model": "model-x",
        "created_at": 1700000000,
        "status": "completed",
        "error": None,
        "incomplete_details": None,
    }
    assert (body["instructions"], body["tool_choice"], body["temperature"]) == ("be", "required", 0.5)
    assert body["tools"][0] == {
        "type": "function",
        "name": "f",
        "parameters": {"type": "object"},
        "strict": True,
    }
    assert body["reasoning"] == {"effort": "low", "summary": "auto"}
    assert body["text"]["format"] == {"type": "json_schema", "name": "n", "schema": {}}
    assert (body["metadata"], body["parallel_tool_calls"], body["max_output_tokens"]) == ({"a": "b"}, False, 50)
    assert (body["user"], body["store"]) == ("u", False)


@pytest.mark.parametrize(
    ("finish", "status", "details"),
    [
        ("stop", "completed", None),
        ("tool_calls", "completed", None),
        ("length", "incomplete", {"reason": "max_output_tokens"}),
        ("content_filter", "incomplete", {"reason": "content_filter"}),
        ("error", "failed", None),
    ],
)
def test_status(finish: FinishReason, status: str, details: Json | None) -> None:
    """Each finish reason as a status; an answer that was cut says so of its last item, and no other."""
    body = answer(answered(Text("a"), ToolCall("c", "f", "{"), finish=finish, raw="word"))
    assert (body["status"], body["incomplete_details"]) == (status, details)
    assert (body["error"] is not None) == (status == "failed")
    last = "completed" if status == "completed" else "incomplete"
    assert [item["status"] for item in body["output"]] == ["completed", last]
    assert body["native_finish_reason"] == "word"


def test_less_usual_parts() -> None:
    """Refusals, sources, pictures, redacted thinking and custom calls have items; nothing is lost of what has none."""
    parts = (
        Reasoning("", Opaque("anthropic", "red"), is_redacted=True),
        Text("ab", citations=(Citation("https://x", "X"), Citation(quote="q", raw={"type": "page", "page": 3}))),
        Refusal("no"),
        Image(data="AA==", media_type="image/webp"),
        ToolCall("c1", "sql", "SELECT", custom=True),
        Item("anthropic.messages", {"type": "server_tool_use"}),
        Audio("UklG", "wav", "spoken", "a1"),
        Image("https://x/y.png"),
    )
    body = answer(answered(*parts, stop="END", choice={"native": 1}, extra={"cost": 2, "conversation": "x"}))
    redacted, words, picture, call, spoken = body["output"]
    assert (redacted["id"], redacted["summary"]) == ("rs_hgx_chatcmpl-1_0", [])
    note = {"type": "url_citation", "url": "https://x", "title": "X", "start_index": 0, "end_index": 2}
    assert words["content"][0]["annotations"] == [note]
    assert words["content"][0]["citations"] == [{"type": "page", "page": 3}]
    assert words["content"][1] == {"type": "refusal", "refusal": "no"}
    assert (picture["type"], picture["result"], picture["output_format"]) == ("image_generation_call", "AA==", "webp")
    assert (call["type"], call["input"]) == ("custom_tool_call", "SELECT")
    assert spoken["content"][0]["text"] == "spoken"
    assert body["provider_items"] == [{"type": "server_tool_use", "dialect": "anthropic.messages"}]
    assert body["images"] == [{"type": "image_url", "image_url": {"url": "https://x/y.png"}}]
    assert body["audio"]["transcript"] == "spoken"
    assert (body["stop_sequence"], body["native"], body["cost"], "conversation" in body) == ("END", 1, 2, False)


def test_calls_are_told_apart() -> None:
    """A call without arguments has an empty object, and two of one id get ids of their own: clients join results by them."""
    body = answer(answered(ToolCall("f", "f", "", 0), ToolCall("f", "f", "{}", 1), ToolCall("", "g", "{}", 2)))
    assert [item["arguments"] for item in body["output"]] == ["{}", "{}", "{}"]
    assert len({item["call_id"] for item in body["output"]}) == 3


def test_signatures_ride_along() -> None:
    """Signatures of another provider on texts and calls stand in `extra_content`, for a client to send back."""
    opaque = Opaque("google", "c2ln", "acc")
    body = answer(answered(Text("x", opaque=opaque), ToolCall("c", "f", "{}", opaque=opaque)))
    expected = {"google": {"thought_signature": "c2ln", "account": "acc"}}
    assert body["output"][0]["content"][0]["extra_content"] == expected
    assert body["output"][1]["extra_content"] == expected


def test_members_of_other_vendors_take_no_name_of_this_dialect() -> None:
    """What another vendor calls `caller` is no caller here, and gets a name of its own."""
    extra = {"caller": {"type": "code_execution"}, "namespace": "n"}
    (item,) = answer(answered(ToolCall("c", "f", "{}", extra=extra)))["output"]
    assert (item["provider_caller"], item["namespace"], "caller" in item) == ({"type": "code_execution"}, "n", False)


def test_logprobs_and_tier() -> None:
    """Log probabilities come beside the text, and only a tier that is known here is told."""
    logprob = {"token": "a", "logprob": -0.1, "bytes": None, "top_logprobs": [{"token": "b", "logprob": -2.0}]}
    choice = Choice(Message("assistant", (Text("a"),)), "stop", logprobs={"content": [logprob], "refusal": None})
    body = answer(ChatReply("1", "m", (choice,), service_tier="standard"))
    expected: Json = {"token": "a", "logprob": -0.1, "bytes": []}
    assert body["output"][0]["content"][0]["logprobs"] == [
        {**expected, "top_logprobs": [{"token": "b", "logprob": -2.0, "bytes": []}]}
    ]
    assert body["service_tier"] is None
    assert answer(ChatReply("1", "m", (choice,), service_tier="flex"))["service_tier"] == "flex"


def test_nothing_to_say() -> None:
    """A reply without choices or without words is complete and empty."""
    assert answer(ChatReply("resp_x", "m", ()))["output"] == []
    body = answer(answered())
    assert (body["output"], body["status"], body["id"]) == ([], "completed", "resp_hg_chatcmpl-1")


def test_official_client_reads_answers_and_errors() -> None:
    """The official client gets the text of an answer, and raises on an error with its words."""
    body = RESPONSES.encode_reply(answered(Text("Hi"), usage=Usage(1, 2)), ASKED)
    response = client(body, kind="application/json").responses.create(model="m", input="hi")
    assert (response.output_text, response.status) == ("Hi", "completed")
    error = RESPONSES.encode_error(ErrorWords(429, "slow down", "rate_limit_error", "rate_limited"))
    with pytest.raises(openai.RateLimitError, match="slow down") as caught:
        client(error, kind="application/json", status=429).responses.create(model="m", input="hi")
    assert caught.value.code == "rate_limited"


JUDGED: Json = {
    "categories": {"violence": False},
    "category_scores": {"violence": 0.1},
    "category_applied_input_types": {},
    "flagged": False,
}


def test_moderation_has_the_clients_form() -> None:
    """Chat holds a list of results for each side, the Responses API one result; an error is the same in both."""
    one = {**JUDGED, "type": "moderation_result", "model": "omni"}
    failed = {"type": "error", "code": "x", "message": "y"}
    listed = {"type": "moderation_results", "model": "omni", "results": [one]}
    choice = Choice(Message("assistant", (Text("hi"),)), "stop")
    chat = ChatReply(
        "r", "m", (choice,), dialect="openai.chat", extra={"moderation": {"input": listed, "output": failed}}
    )
    assert answer(chat)["moderation"] == {"input": one, "output": failed}
    own = msgspec.structs.replace(
        chat, dialect="openai.responses", extra={"moderation": {"input": one, "output": failed}}
    )
    told = msgspec.json.decode(OpenAIChat().encode_reply(own, ASKED))
    assert told["moderation"] == {"input": listed, "output": failed}
