"""A client's Responses stream: the official types accept every event, the official client reads it, and it says it all."""

from __future__ import annotations

from typing import Any

import openai
import pytest
from core.tests.responses_samples import ASKED, answer, client, decode, kinds_of, replayed, said, streamed, told

from headgate.chat import (
    ChatReply,
    Choice,
    Citation,
    CitationDelta,
    ErrorEvent,
    ExtraDelta,
    Finish,
    Image,
    Item,
    Message,
    Opaque,
    Part,
    PartDelta,
    Reasoning,
    ReasoningDelta,
    ReasoningEnd,
    Refusal,
    Start,
    StreamEvent,
    Text,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    ToolCallStart,
    Usage,
    UsageEvent,
)

Json = dict[str, Any]

START = Start("chatcmpl-1", "model-x", 1700000000)
END = (Finish("stop", raw="stop"), UsageEvent(Usage(3, 2)))


def stream(*events: StreamEvent) -> list[Json]:
    """The events of a whole stream with these in it."""
    return told(said((START, *events, *END)))


def last(*events: StreamEvent) -> Json:
    return stream(*events)[-1]["response"]


def test_text() -> None:
    """The events of a plain text in their order, and everything again in the last one."""
    events = stream(TextDelta("Hel"), TextDelta("lo"))
    assert kinds_of(events) == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert [events[at]["delta"] for at in (4, 5)] == ["Hel", "lo"]
    assert events[6]["text"] == "Hello"
    assert events[0]["response"]["status"] == "in_progress"
    whole = events[-1]["response"]
    assert (whole["status"], whole["usage"]["total_tokens"]) == ("completed", 5)
    assert whole["output"] == [events[8]["item"]]
    assert {event["item_id"] for event in events[3:8]} == {whole["output"][0]["id"]}


def test_tool_calls_may_come_interleaved() -> None:
    """Arguments of several calls stay apart; each call is told whole at the end."""
    events = stream(
        TextDelta("wait"),
        ToolCallStart(0, "c1", "f"),
        ToolCallStart(1, "c2", "sql", custom=True),
        ToolCallDelta(0, '{"a"'),
        ToolCallDelta(1, "SELECT"),
        ToolCallDelta(0, ":1}"),
        ToolCallStart(2, "c3", "g"),
    )
    whole = events[-1]["response"]["output"]
    assert [item["type"] for item in whole] == ["message", "function_call", "custom_tool_call", "function_call"]
    assert (whole[1]["arguments"], whole[2]["input"], whole[3]["arguments"]) == ('{"a":1}', "SELECT", "{}")
    for item in whole[1:]:
        place = whole.index(item)
        deltas = [event["delta"] for event in events if "delta" in event and event["output_index"] == place]
        assert "".join(deltas) == item.get("arguments", item.get("input"))
        dones = [event for event in events if event["type"].endswith(".done") and event["output_index"] == place]
        assert [event["type"].split(".")[1] for event in dones][-1] == "output_item"


def test_thinking() -> None:
    """Thinking is told as a summary, which clients show; another provider's signature is sealed in its item."""
    events = stream(
        ReasoningDelta("so "),
        ReasoningDelta("then"),
        ReasoningEnd(Opaque("anthropic", "Eq", "acc")),
        ReasoningEnd(Opaque("anthropic", "red"), is_redacted=True),
        TextDelta("Hi"),
    )
    thought, redacted, words = events[-1]["response"]["output"]
    assert thought["summary"] == [{"type": "summary_text", "text": "so then"}]
    assert thought["encrypted_content"] == "headgate:anthropic:acc:Eq"
    assert (redacted["summary"], redacted["encrypted_content"]) == ([], "headgate:anthropic::red")
    assert words["type"] == "message"
    assert kinds_of(events)[2:9] == [
        "response.output_item.added",
        "response.reasoning_summary_part.added",
        "response.reasoning_summary_text.delta",
        "response.reasoning_summary_text.delta",
        "response.reasoning_summary_text.done",
        "response.reasoning_summary_part.done",
        "response.output_item.done",
    ]


def test_thinking_that_nobody_ends() -> None:
    """Where no end of thinking is told, what follows ends it."""
    output = last(ReasoningDelta("so"), ToolCallStart(0, "c", "f"))["output"]
    assert [item["type"] for item in output] == ["reasoning", "function_call"]
    assert "encrypted_content" not in output[0]


def test_sources_refusals_and_pictures() -> None:
    """A source without places belongs to the text since the one before; one that is no link stands beside the text."""
    events = stream(
        TextDelta("ab"),
        CitationDelta(Citation("https://x")),
        TextDelta("cd"),
        CitationDelta(Citation("https://y", start=0, end=1)),
        CitationDelta(Citation(quote="q")),
        PartDelta(Image(data="AA==", media_type="image/png")),
        PartDelta(
            Item(
                "openai.responses",
                {
                    "type": "web_search_call",
                    "id": "w",
                    "status": "completed",
                    "action": {"type": "search", "query": "q", "queries": []},
                },
            )
        ),
        PartDelta(Item("anthropic.messages", {"type": "x"})),
        ExtraDelta({"vendor": 1, "phase": "final_answer"}),
    )
    places = [event["annotation"] for event in events if event["type"].endswith("annotation.added")]
    assert [(note["start_index"], note["end_index"]) for note in places] == [(0, 2), (2, 3)]
    whole = events[-1]["response"]
    words, picture, search = whole["output"]
    assert words["content"][0]["annotations"] == places
    assert words["content"][0]["citations"] == [{"quote": "q"}]
    assert (picture["result"], search["id"]) == ("AA==", "w")
    assert (whole["vendor"], whole["provider_items"][0]["dialect"]) == (1, "anthropic.messages")


@pytest.mark.parametrize(
    ("finish", "kind"),
    [
        (Finish("length", raw="max_tokens"), "response.incomplete"),
        (Finish("content_filter"), "response.incomplete"),
        (Finish("error", raw="malformed"), "response.failed"),
        (Finish("tool_calls"), "response.completed"),
    ],
)
def test_last_event(finish: Finish, kind: str) -> None:
    """The last event says how the answer ended; there is no `[DONE]`."""
    out = said((START, TextDelta("Hi"), finish, UsageEvent(Usage(3, 2), {"service_tier": "flex", "cost": 1})))
    events = told(out)
    assert (events[-1]["type"], b"[DONE]" in out) == (kind, False)
    whole = events[-1]["response"]
    assert (whole["usage"]["input_tokens"], whole["service_tier"], whole["cost"]) == (3, "flex", 1)
    is_whole = kind == "response.completed"
    assert whole["output"][0]["status"] == ("completed" if is_whole else "incomplete")


PARTS: tuple[Part, ...] = (
    Reasoning("so", Opaque("google", "c2ln")),
    Text("Hi ", citations=(Citation("https://x", "X", None, 0, 2),)),
    Text("there", opaque=Opaque("google", "dGV4")),
    Refusal("no"),
    ToolCall("c1", "f", '{"a": 1.0}', 0, opaque=Opaque("google", "Y2Fs")),
    ToolCall("c2", "g", "", 1, extra={"x": 1}),
    Image(data="AA==", media_type="image/png"),
)


@pytest.mark.parametrize("finish", ["stop", "length"])
def test_stream_and_whole_answer_say_the_same(finish: Any) -> None:
    """The last event of a stream is the whole answer."""
    choice = Choice(Message("assistant", PARTS), finish, "raw", extra={"v": 1})
    held = ChatReply("chatcmpl-1", "m", (choice,), 5, Usage(3, 2, 1), extra={"cost": 1})
    assert told(replayed(held))[-1]["response"] == answer(held)


def test_official_client_reads_it() -> None:
    """The official client's stream helper gives every event and the final response."""
    choice = Choice(Message("assistant", PARTS), "tool_calls")
    kinds, final = streamed(replayed(ChatReply("chatcmpl-1", "m", (choice,), 5, Usage(3, 2))))
    assert kinds[0] == "response.created"
    assert kinds[-1] == "response.completed"
    assert final.output_text == "Hi there"
    calls = [item for item in final.output if item.type == "function_call"]
    assert [(call.call_id, call.name, call.arguments) for call in calls] == [
        ("c1", "f", '{"a": 1.0}'),
        ("c2", "g", "{}"),
    ]


def test_answers_go_back_into_the_next_request() -> None:
    """What the official client gives as output may be sent back as it is, and means the same."""
    choice = Choice(Message("assistant", PARTS), "tool_calls")
    _, final = streamed(replayed(ChatReply("chatcmpl-1", "m", (choice,), 5)))
    items = [item.model_dump(mode="json", exclude_none=True) for item in final.output]
    (turn,) = decode(input=items).messages
    thought, words, refusal, first, second, picture = turn.parts
    assert (thought, refusal) == (
        Reasoning("so", Opaque("google", "c2ln"), item_id="rs_hg_chatcmpl-1_0"),
        Refusal("no"),
    )
    assert isinstance(words, Text)
    assert (words.text, words.opaque) == ("Hi there", Opaque("google", "dGV4"))
    assert isinstance(first, ToolCall)
    assert (first.id, first.arguments, first.opaque) == ("c1", '{"a": 1.0}', Opaque("google", "Y2Fs"))
    assert isinstance(second, ToolCall)
    assert (second.id, second.arguments) == ("c2", "{}")
    assert picture == Image(data="AA==", media_type="image/png")


def test_error_of_the_provider() -> None:
    """OpenAI's two events: the error as such, then the failed answer as far as it came."""
    error = ErrorEvent("broke", "overloaded", {"type": "overloaded_error"}, 429)
    events = told(said((START, TextDelta("Hi"), error)))
    first, second = events[-2:]
    assert (first["type"], first["message"], first["code"]) == ("error", "broke", "overloaded")
    assert first["error"] == {"type": "overloaded_error", "code": "overloaded", "message": "broke", "param": None}
    assert second["type"] == "response.failed"
    assert second["response"]["error"] == {"code": "rate_limit_exceeded", "message": "broke"}
    with pytest.raises(openai.APIError, match="broke"):
        list(client(said((START, TextDelta("Hi"), error))).responses.create(model="m", input="hi", stream=True))


def test_start_may_be_missing() -> None:
    """A stream whose decoder said no start has one all the same: clients need it."""
    events = told(said((TextDelta("Hi"), *END)))
    assert kinds_of(events)[:2] == ["response.created", "response.in_progress"]


def test_one_choice_only() -> None:
    """There is one answer in this dialect: what belongs to another choice is not mixed into it."""
    assert last(TextDelta("a"), TextDelta("b", 1), Finish("length", 1))["output"][0]["content"][0]["text"] == "a"


def test_echoes_in_every_life_event() -> None:
    """The request's settings stand in the first event already."""
    asked = decode(stream=True, instructions="be", temperature=0.5)
    first = told(said((START, *END), asked))[0]["response"]
    assert (first["instructions"], first["temperature"], first["usage"]) == ("be", 0.5, None)
    assert ASKED.stream
