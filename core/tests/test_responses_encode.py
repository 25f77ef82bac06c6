"""A canonical request as a provider's Responses body: stateless, in order, and with every gap told."""

from __future__ import annotations

from typing import Any

import pytest
from core.tests.responses_samples import RESPONSES, decode, decode_items, encode, encoded

from headgate.chat import (
    Audio,
    ChatReply,
    ChatRequest,
    Choice,
    Citation,
    File,
    Image,
    Item,
    Message,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    ResponseFormat,
    Sampling,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    collect,
    replay,
)
from headgate.dialects import AnthropicMessages, ChatDialect, Gaps, GoogleGenerate, OpenAIChat
from headgate.errors import UnsupportedField

Json = dict[str, Any]

USER = Message("user", (Text("hi"),))
SCHEMA: Json = {"type": "object", "properties": {}}


def asked(*messages: Message, **members: Any) -> ChatRequest:
    """A request of another dialect's client."""
    return ChatRequest("m", messages or (USER,), dialect=members.pop("dialect", "openai.chat"), **members)


def turn(*parts: Part, **members: Any) -> Message:
    return Message("assistant", parts, **members)


def items(*messages: Message) -> list[Json]:
    return encode(asked(*messages))["input"]


def dropped(request: ChatRequest) -> list[str]:
    gaps = Gaps("vendor", "drop")
    encode(request, gaps)
    return gaps.dropped


def test_plain_request_stores_nothing() -> None:
    """The least request: an input in order, and nothing is kept by the vendor unless that was asked for."""
    system = Message("system", (Text("be brief"),))
    assert encode(asked(system, USER, turn(Text("hello")))) == {
        "model": "m",
        "input": [
            {"role": "system", "content": "be brief"},
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": "hello"},
        ],
        "store": False,
    }
    assert encode(asked(store=True, stream=True)) == {
        "model": "m",
        "input": [{"role": "user", "content": "hi"}],
        "store": True,
        "stream": True,
    }


def test_media() -> None:
    """Pictures and files by URL and by their bytes, which need a name here."""
    parts = (
        Text("look"),
        Image("https://x/y.png", detail="high"),
        Image(data="AAAA", media_type="image/webp"),
        File("https://x/y.pdf"),
        File(data="JVBE", media_type="application/pdf"),
        File(data="YQ==", filename="a.txt"),
    )
    (item,) = items(Message("user", parts))
    assert item["content"] == [
        {"type": "input_text", "text": "look"},
        {"type": "input_image", "detail": "high", "image_url": "https://x/y.png"},
        {"type": "input_image", "detail": "auto", "image_url": "data:image/webp;base64,AAAA"},
        {"type": "input_file", "file_url": "https://x/y.pdf"},
        {"type": "input_file", "file_data": "data:application/pdf;base64,JVBE", "filename": "file.pdf"},
        {"type": "input_file", "file_data": "data:text/plain;base64,YQ==", "filename": "a.txt"},
    ]


@pytest.mark.parametrize("part", [Image(file_id="f"), File(file_id="f")])
def test_a_file_of_another_vendor_is_refused_by_name(part: Image | File) -> None:
    """An id holds at the vendor that gave it, in what a tool gave as well; let drop, the rest is sent."""
    with pytest.raises(UnsupportedField) as caught:
        items(Message("user", (Text("x"), part)))
    assert caught.value.param == "messages[0].content[1].file_id"
    with pytest.raises(UnsupportedField) as caught:
        items(USER, turn(ToolCall("c", "f", "{}")), Message("tool", (ToolResult("c", (part,)),)))
    assert caught.value.param == "messages[2].content[0].file_id"


def test_tool_loop() -> None:
    """Words and calls of one turn in their order, results joined to them; no arguments are an empty object."""
    calls = turn(Text("wait"), ToolCall("c1", "f", "", 0), ToolCall("c2", "sql", "SELECT 1", 1, custom=True))
    results = Message("user", (ToolResult("c1", (Text("a"), Text("b"))), ToolResult("c2"), Text("and?")))
    assert items(USER, calls, results)[1:] == [
        {"role": "assistant", "content": "wait"},
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
        {"type": "custom_tool_call", "call_id": "c2", "name": "sql", "input": "SELECT 1"},
        {"type": "function_call_output", "call_id": "c1", "output": "ab"},
        {"type": "custom_tool_call_output", "call_id": "c2", "output": ""},
        {"role": "user", "content": "and?"},
    ]


def test_result_with_a_picture() -> None:
    """A result that is not text alone is a list, which this dialect has room for."""
    result = Message("tool", (ToolResult("c1", (Text("see"), Image("https://x/y.png"))),))
    item = items(turn(ToolCall("c1", "f", "{}")), result)[1]
    assert [part["type"] for part in item["output"]] == ["input_text", "input_image"]


def test_call_ids_are_legal_and_their_own() -> None:
    """Ids that are too long or repeated get others, and each result goes to the call it answers."""
    long = "x" * 100
    history = (
        turn(ToolCall(long, "f", "{}"), ToolCall("same", "f", "{}", 1)),
        Message("tool", (ToolResult(long),)),
        Message("tool", (ToolResult("same"),)),
        turn(ToolCall("same", "f", "{}")),
        Message("tool", (ToolResult("same"),)),
    )
    sent = [item["call_id"] for item in items(*history)]
    assert sent[:2] == sent[2:4]
    assert sent[4] == sent[5]
    assert len(set(sent)) == 3
    assert all(0 < len(each) <= 64 for each in sent)


def test_names_are_legal_and_come_back() -> None:
    """A name that OpenAI does not take is written in another way everywhere, and the table leads back."""
    request = asked(
        turn(ToolCall("c", "a.b:c", "{}")),
        tools=(Tool("a.b:c", parameters=SCHEMA),),
        tool_choice=ToolChoice("named", "a.b:c"),
    )
    body = encode(request)
    (sent,) = {body["tools"][0]["name"], body["input"][0]["name"], body["tool_choice"]["name"]}
    assert sent != "a.b:c"
    assert RESPONSES.names_back(request) == {sent: "a.b:c"}


def test_encrypted_thinking_goes_back() -> None:
    """OpenAI's own thinking goes before what came behind it, with the ids of both, and is asked for again."""
    thought = Reasoning("so", Opaque("openai", "gAAA"), item_id="rs_1")
    history = turn(thought, ToolCall("c1", "f", "{}", item_id="fc_1"))
    body = encode(asked(USER, history, Message("tool", (ToolResult("c1"),))))
    assert body["input"][1:3] == [
        {
            "type": "reasoning",
            "id": "rs_1",
            "summary": [{"type": "summary_text", "text": "so"}],
            "encrypted_content": "gAAA",
        },
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}", "id": "fc_1"},
    ]
    assert body["include"] == ["reasoning.encrypted_content"]


def test_summary_and_secret_of_one_item_are_one() -> None:
    """Clients of other dialects may send a summary and what is encrypted as two blocks with one id."""
    parts = (
        Reasoning("so", is_summary=True, item_id="rs_1"),
        Reasoning("", Opaque("openai", "E"), is_redacted=True, item_id="rs_1"),
        Text("done"),
    )
    assert items(turn(*parts))[0] == {
        "type": "reasoning",
        "id": "rs_1",
        "summary": [{"type": "summary_text", "text": "so"}],
        "encrypted_content": "E",
    }


@pytest.mark.parametrize(
    "parts",
    [
        (Reasoning("plain"), Text("x")),
        (Reasoning("", is_redacted=True, item_id="rs_1"), Text("x")),
        (Reasoning("other", Opaque("anthropic", "Eq")), Text("x")),
        (Text("x"), Reasoning("", Opaque("openai", "E"), is_redacted=True, item_id="rs_1")),
    ],
    ids=["no secret", "stored elsewhere", "another origin", "nothing behind it"],
)
def test_thinking_that_would_be_refused_stays_out(parts: tuple[Part, ...]) -> None:
    """A reasoning item that OpenAI answers with a 400 is left out and named."""
    request = asked(turn(*parts), USER)
    assert [item["role"] for item in encode(request)["input"]] == ["assistant", "user"]
    assert any("reasoning_content" in name for name in dropped(request))


def test_calls_lose_their_ids_without_their_thinking() -> None:
    """An item's id alone would name a stored item whose reasoning item OpenAI then misses."""
    (item,) = items(turn(ToolCall("c1", "f", "{}", item_id="fc_1")))
    assert "id" not in item


def test_refusals_stay_refusals() -> None:
    """A refusal of an earlier turn needs the form of an output message."""
    (item,) = items(turn(Refusal("no")))
    assert item["content"] == [{"type": "refusal", "refusal": "no"}]


def test_settings() -> None:
    """Every setting under this dialect's name; functions say that they are not strict, or the vendor would make them so."""
    body = encode(
        asked(
            sampling=Sampling(0.5, 0.9, max_tokens=100, logprobs=True, top_logprobs=2),
            tools=(Tool("f", "d", SCHEMA), Tool("g", strict=True)),
            tool_choice=ToolChoice("auto", allowed=("f",)),
            parallel_tool_calls=False,
            response_format=ResponseFormat("json_schema", "n", SCHEMA, strict=True),
            verbosity="low",
            user="u",
            metadata={"a": "b"},
            service_tier="priority",
            cache_key="k",
            safety_identifier="s",
        )
    )
    assert {name: body[name] for name in ("temperature", "top_p", "max_output_tokens", "top_logprobs")} == {
        "temperature": 0.5,
        "top_p": 0.9,
        "max_output_tokens": 100,
        "top_logprobs": 2,
    }
    assert body["tools"] == [
        {"type": "function", "name": "f", "description": "d", "parameters": SCHEMA, "strict": False},
        {"type": "function", "name": "g", "parameters": SCHEMA, "strict": True},
    ]
    assert body["tool_choice"] == {
        "type": "allowed_tools",
        "mode": "auto",
        "tools": [{"type": "function", "name": "f"}],
    }
    form = {"type": "json_schema", "name": "n", "schema": SCHEMA, "strict": True}
    assert body["text"] == {"format": form, "verbosity": "low"}
    assert body["include"] == ["message.output_text.logprobs"]
    assert (body["user"], body["metadata"], body["service_tier"]) == ("u", {"a": "b"}, "priority")
    assert (body["prompt_cache_key"], body["safety_identifier"]) == ("k", "s")
    assert body["parallel_tool_calls"] is False


@pytest.mark.parametrize(
    ("thinking", "reasoning", "is_encrypted"),
    [
        (Thinking("high", budget_tokens=1000), {"effort": "high"}, True),
        (Thinking("high"), {"effort": "high"}, True),
        (Thinking("low", is_shown=True), {"effort": "low", "summary": "auto"}, True),
        (Thinking("low", summary="detailed", is_shown=False), {"effort": "low"}, True),
        (Thinking(budget_tokens=1000, mode="enabled"), {"effort": "low"}, True),
        (Thinking(budget_tokens=20000), {"effort": "high"}, True),
        (Thinking(mode="disabled"), {"effort": "none"}, False),
        (Thinking(mode="adaptive"), None, True),
    ],
)
def test_thinking(thinking: Thinking, reasoning: Json | None, *, is_encrypted: bool) -> None:
    """Efforts, budgets and switches; encrypted thinking is asked for only where there is thinking at all.

    A budget has no place, and that is told.
    """
    body = encode(asked(thinking=thinking))
    assert body.get("reasoning") == reasoning
    assert ("include" in body) == is_encrypted
    assert dropped(asked(thinking=thinking)) == ["thinking.budget_tokens"] * (thinking.budget_tokens is not None)


@pytest.mark.parametrize("off", [Thinking("high", mode="disabled"), Thinking("high", 0)])
def test_a_switch_that_is_off_wins_over_an_effort(off: Thinking) -> None:
    """No thinking is asked for, whether in words or encrypted, and the effort beside it is named."""
    request = asked(thinking=off)
    body = encode(request)
    assert (body["reasoning"], "include" in body, dropped(request)) == ({"effort": "none"}, False, ["reasoning_effort"])


def test_too_low_a_limit_is_raised() -> None:
    """Fewer than 16 output tokens are refused by OpenAI: the limit becomes that, and is named."""
    request = asked(sampling=Sampling(max_tokens=5))
    assert encode(request)["max_output_tokens"] == 16
    assert dropped(request) == ["max_completion_tokens"]


@pytest.mark.parametrize(
    ("members", "field"),
    [
        ({"sampling": Sampling(stop=("x",))}, "stop"),
        ({"sampling": Sampling(seed=0)}, "seed"),
        ({"sampling": Sampling(top_k=3)}, "top_k"),
        ({"sampling": Sampling(n=2)}, "n"),
        ({"sampling": Sampling(presence_penalty=1.0)}, "presence_penalty"),
        ({"sampling": Sampling(logit_bias={"1": 5.0})}, "logit_bias"),
        ({"service_tier": "standard_only"}, "service_tier"),
        ({"tools": (Tool("bash", kind="bash_20250124", raw={}),)}, "tools[0].bash_20250124"),
        ({"tool_choice": ToolChoice("other", raw={"type": "x"})}, "tool_choice"),
        ({"extra": {"web_search_options": {"a": 1}}}, "web_search_options"),
    ],
)
def test_what_cannot_be_said_is_refused_by_name(members: Json, field: str) -> None:
    """What changes the answer and has no place here is refused, or left out and named where that is allowed."""
    with pytest.raises(UnsupportedField) as caught:
        encode(asked(**members))
    assert caught.value.param == field
    assert field in dropped(asked(**members))


def test_members_of_an_answer_that_comes_back_may_go() -> None:
    """What another vendor said beside its words changes nothing of what is asked for: it is left out and named."""
    parts = (Text("a", extra={"x": 1}), ToolCall("c", "f", "{}", extra={"y": 2}))
    request = asked(USER, Message("assistant", parts, extra={"channel": "final"}))
    assert dropped(request) == ["messages[1].channel", "messages[1].content.x", "messages[1].content[1].y"]
    assert [item.get("content") or item["name"] for item in encode(request)["input"]] == ["hi", "a", "f"]


@pytest.mark.parametrize(
    ("part", "field"),
    [
        (Audio("UklG", "wav"), "messages[0].content[0]"),
        (Item("anthropic.messages", {"type": "x"}), "messages[0].content[0]"),
        (File(data="YQ==", context="why"), "messages[0].content[0].context"),
    ],
)
def test_parts_that_cannot_be_said(part: Part, field: str) -> None:
    """A part without a place is refused by its own."""
    with pytest.raises(UnsupportedField) as caught:
        encode(asked(Message("user", (part,))))
    assert caught.value.param == field


def test_hints_are_left_out_and_named() -> None:
    """What only hints is left out under either policy."""
    mark = {"type": "ephemeral"}
    request = asked(
        Message("user", (Text("a", cache=mark), Text("b")), name="bob"),
        turn(Text("c", citations=(Citation("https://x"),))),
        Message("tool", (ToolResult("c1", is_error=True),)),
        tools=(Tool("f", cache=mark),),
        metadata={"n": 1},
        extra={"stream_options": {"x": True}},
    )
    gaps = Gaps("vendor")
    encode(request, gaps)
    assert set(gaps.dropped) == {
        "messages[0].name",
        "messages[0].content[0].cache_control",
        "messages[1].annotations",
        "messages[2].content[0].is_error",
        "tools[0].cache_control",
        "metadata",
        "stream_options",
    }


def test_defaults_are_no_gap() -> None:
    """What asks for nothing is neither refused nor named."""
    sampling = Sampling(n=1, logprobs=False, presence_penalty=0.0, frequency_penalty=0.0, logit_bias={}, top_logprobs=0)
    gaps = Gaps("vendor")
    body = encode(asked(sampling=sampling, parallel_tool_calls=True, tool_choice=ToolChoice("auto")), gaps)
    assert (set(body), gaps.dropped) == ({"model", "input", "store"}, [])


def test_custom_tool_of_a_chat_client() -> None:
    """OpenAI's two dialects spell a custom tool at another depth."""
    grammar = {"type": "grammar", "grammar": {"syntax": "regex", "definition": "a+"}}
    raw = {"type": "custom", "custom": {"name": "sql", "description": "d", "format": grammar}}
    body = encode(asked(tools=(Tool("sql", kind="custom", raw=raw),), tool_choice=ToolChoice("named", "sql")))
    form = {"type": "grammar", "syntax": "regex", "definition": "a+"}
    assert body["tools"] == [{"type": "custom", "name": "sql", "description": "d", "format": form}]
    assert body["tool_choice"] == {"type": "custom", "name": "sql"}


def test_own_request_comes_out_as_it_went_in() -> None:
    """A request of this dialect keeps its instructions, its state, its built-in tools and what nobody knows."""
    tools = [{"type": "web_search"}, {"type": "function", "name": "f", "parameters": SCHEMA, "strict": None}]
    request = decode(
        instructions="be",
        previous_response_id="resp_0",
        tools=tools,
        tool_choice={"type": "web_search_preview"},
        include=["web_search_call.action.sources", "message.output_text.logprobs"],
        unknown={"a": 1},
    )
    body = encode(request)
    assert {name: body[name] for name in ("instructions", "previous_response_id", "tool_choice", "unknown")} == {
        "instructions": "be",
        "previous_response_id": "resp_0",
        "tool_choice": {"type": "web_search_preview"},
        "unknown": {"a": 1},
    }
    assert body["include"] == ["web_search_call.action.sources", "message.output_text.logprobs"]
    assert ("store" in body, decode(**{**body, "input": "hi"})) == (False, request)


def test_own_history_without_what_another_provider_thought() -> None:
    """A request with the gateway's marks is not forwarded: encoded anew, it has what OpenAI can read and nothing else."""
    own: Json = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA"}
    foreign: Json = {
        "type": "reasoning",
        "id": "rs_hg_x_0",
        "summary": [],
        "encrypted_content": "headgate:google::c2ln",
    }
    words = {"role": "assistant", "content": "a"}
    call = {"type": "function_call", "id": "fc_hg_x_1", "call_id": "c1", "name": "f", "arguments": "{}"}
    body = encode(decode_items(own, words, foreign, call))
    assert body["input"] == [own, words, {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"}]
    assert RESPONSES.carries_foreign(encoded(foreign))
    assert RESPONSES.carries_foreign(encoded(call))
    assert not RESPONSES.carries_foreign(encoded([own, words, "x_hg_1"]))


@pytest.mark.parametrize("is_stream", [False, True])
@pytest.mark.parametrize(
    "client", [OpenAIChat(), AnthropicMessages(), GoogleGenerate()], ids=lambda client: client.name
)
def test_the_namespace_of_a_call_comes_back(client: ChatDialect, is_stream: bool) -> None:
    """A client of any dialect holds the namespace that OpenAI gave a call, sends it back, and OpenAI gets it where it was."""
    called = ToolCall("call_1", "f", "{}", extra={"namespace": "crm"})
    held = ChatReply("r", "m", (Choice(Message("assistant", (called,)), "tool_calls"),), created=1)
    if is_stream:
        encoder = client.stream_encoder(asked())
        decoder = client.stream_decoder()
        frames = b"".join([*map(encoder.feed, replay(held)), encoder.end()]).split(b"\n\n")[:-1]
        back = collect([*(event for frame in frames for event in decoder.feed(frame + b"\n\n")), *decoder.end()])
    else:
        back = client.decode_reply(client.encode_reply(held, asked()))
    returned = asked(USER, back.choices[0].message, dialect=client.name)
    gaps = Gaps("vendor", "refuse", client.hints)
    item = encode(returned, gaps)["input"][1]
    assert (item["type"], item["namespace"], gaps.dropped) == ("function_call", "crm", [])


@pytest.mark.parametrize(
    ("part", "left_out"),
    [
        (Item("anthropic.messages", {"type": "server_tool_use"}), "messages[1].provider_items"),
        (Audio("AAAA", "pcm16"), "messages[1].content[0].audio"),
    ],
)
def test_what_another_provider_did_is_left_out_where_it_comes_back(part: Part, left_out: str) -> None:
    """The turn keeps its words, and what has no place is named and not refused."""
    gaps = Gaps("vendor")
    body = encode(asked(USER, Message("assistant", (part, Text("found")))), gaps)
    assert body["input"][1] == {"role": "assistant", "content": "found"}
    assert gaps.dropped == [left_out]


def test_members_that_the_gateway_told_beside_openais_do_not_go_back() -> None:
    """The words of a source, and another vendor's `caller`, under names that OpenAI does not know."""
    cited = {"type": "url_citation", "url": "https://a.b", "title": "A", "start_index": 0, "end_index": 2}
    content = [{"type": "output_text", "text": "hi", "annotations": [{**cited, "quote": "hi there"}]}]
    message = {"type": "message", "role": "assistant", "id": "msg_hg_1", "content": content}
    call = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}", "provider_caller": {"type": "x"}}
    said, called = encode(decode_items(message, call))["input"]
    assert said["content"][0]["annotations"] == [cited]
    assert called == {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
