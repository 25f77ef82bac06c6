"""Requests to Gemini: every part of the canonical model is said in Google's words, or named as lost."""

from __future__ import annotations

from base64 import b64decode
from typing import Any, get_args

import pytest
from core.tests.google_wire import ask, decode, encode, turn

from headgate import chat
from headgate.chat import (
    Audio,
    ChatRequest,
    Citation,
    File,
    Image,
    Item,
    Message,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Sampling,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from headgate.dialects.google.encode import IGNORED
from headgate.errors import InvalidRequest, UnsupportedField

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
F = Tool("f", "says f", SCHEMA)


def user(*parts: Any) -> Message:
    return Message("user", tuple(Text(part) if isinstance(part, str) else part for part in parts))


def model(*parts: Any) -> Message:
    return Message("assistant", tuple(Text(part) if isinstance(part, str) else part for part in parts))


def results(*parts: ToolResult) -> Message:
    return Message("tool", parts)


def answered(call_id: str, text: str, **fields: Any) -> ToolResult:
    return ToolResult(call_id, (Text(text),), **fields)


def contents(*messages: Message, policy: Any = "refuse", **fields: Any) -> list[Any]:
    return encode(ask(*messages, **fields), policy)[0]["contents"]


def test_instructions_stand_apart() -> None:
    """System and developer messages at the beginning are instructions, each text a part of its own."""
    body, dropped = encode(
        ask(Message("system", (Text("a"), Text("b"))), Message("developer", (Text("c"),)), user("hi"))
    )
    assert body["systemInstruction"] == {"parts": [{"text": "a"}, {"text": "b"}, {"text": "c"}]}
    assert (body["contents"], dropped) == ([turn("hi")], [])


def test_instructions_between_turns() -> None:
    """Gemini has no place for them: they are said by the user where they stood, and that is told."""
    messages = (user("hi"), Message("system", (Text("be brief"),)), user("go"))
    body, dropped = encode(ask(*messages))
    assert body["contents"] == [turn("hi"), turn("<system>\nbe brief\n</system>"), turn("go")]
    assert dropped == ["messages[1].role"]


def test_what_says_nothing_is_left_out() -> None:
    """Empty texts and turns are not sent; an empty text with a signature is."""
    signed = Text("", opaque=Opaque("google", "c2ln"))
    assert contents(user("a", ""), model(""), model(), user("b"), model(signed)) == [
        turn("a"),
        turn("b"),
        turn({"text": "", "thoughtSignature": "c2ln"}, role="model"),
    ]


def test_text_and_calls_stay_together() -> None:
    """Text comes before the calls it introduces, and both are sent."""
    call = ToolCall("call_abc_0", "f", '{"city": "Bern",\n "n": 1.50}')
    [_, sent] = contents(user("go"), model("I will look", call))
    assert sent == turn(
        "I will look", {"functionCall": {"name": "f", "args": {"city": "Bern", "n": 1.5}}}, role="model"
    )


def test_results_in_one_turn_in_the_order_of_the_calls() -> None:
    """However they were sent, results are one turn, joined to their calls by name and order."""
    asked = model(ToolCall("call_1", "f", ""), ToolCall("call_2", "g", "{}"))
    sent = contents(asked, results(answered("call_2", "two")), results(answered("call_1", "one")), user("and?"))
    assert sent[1:] == [
        turn(
            {"functionResponse": {"name": "f", "response": {"output": "one"}}},
            {"functionResponse": {"name": "g", "response": {"output": "two"}}},
        ),
        turn("and?"),
    ]


def test_answers_in_a_row_are_one_turn() -> None:
    """Results stand right behind the turn that called, which what the model said next belongs to."""
    asked = model(ToolCall("call_1", "f", ""))
    sent = contents(user("go"), asked, model("wait"), results(answered("call_1", "one")))
    assert sent[1:] == [
        turn({"functionCall": {"name": "f", "args": {}}}, "wait", role="model"),
        turn({"functionResponse": {"name": "f", "response": {"output": "one"}}}),
    ]


def test_results_and_words_of_one_turn() -> None:
    """A user turn with results and more becomes two, results first."""
    sent = contents(model(ToolCall("a", "f", "")), user("look", answered("a", "x")))
    assert sent[1:] == [turn({"functionResponse": {"name": "f", "response": {"output": "x"}}}), turn("look")]


def test_calls_that_share_an_id() -> None:
    """Legacy functions have their name as id: results go by their order, and no id is sent."""
    asked = model(ToolCall("f", "f", '{"n":1}'), ToolCall("f", "f", '{"n":2}'))
    sent = contents(asked, results(answered("f", "1", name="f")), results(answered("f", "2", name="f")))
    assert [part["functionResponse"]["response"]["output"] for part in sent[1]["parts"]] == ["1", "2"]
    assert "id" not in sent[0]["parts"][0]["functionCall"]


def test_ids_that_are_used_again() -> None:
    """Some vendors count their calls anew in each turn: a result belongs to the call right before it."""
    sent = contents(
        model(ToolCall("call_0", "f", "")),
        results(answered("call_0", "1")),
        model(ToolCall("call_0", "g", "")),
        results(answered("call_0", "2")),
    )
    assert [sent[at]["parts"][0]["functionResponse"]["name"] for at in (1, 3)] == ["f", "g"]


def test_ids_go_back_where_gemini_gave_them() -> None:
    """An id of Gemini's returns as it was; ids made here or elsewhere do not go out."""
    asked = model(ToolCall("gemini_w6geog7o", "f", ""), ToolCall("toolu_1", "g", ""), ToolCall("call_abc_2", "h", ""))
    answers = results(answered("gemini_w6geog7o", "x"), answered("toolu_1", "y"), answered("call_abc_2", "z"))
    [calls, said] = contents(asked, answers)
    assert [part["functionCall"].get("id") for part in calls["parts"]] == ["w6geog7o", None, None]
    assert [part["functionResponse"].get("id") for part in said["parts"]] == ["w6geog7o", None, None]


def test_a_result_of_no_call() -> None:
    """Google must be told the function: a result that answers nothing is refused by its place."""
    with pytest.raises(InvalidRequest, match="nobody made") as caught:
        encode(ask(results(answered("call_9", "x"))))
    assert caught.value.param == "messages[0].content"


@pytest.mark.parametrize(
    ("text", "is_error", "response"),
    [
        ("sunny", False, {"output": "sunny"}),
        ('{"t": 1}', False, {"t": 1}),
        ("[1, 2]", False, {"output": [1, 2]}),
        ("42", False, {"output": "42"}),
        ("", False, {"output": ""}),
        ("broken", True, {"error": "broken"}),
        ('{"code": 5}', True, {"error": {"code": 5}}),
        ('{"half', False, {"output": '{"half'}),
        # it would name a part beside the answer: https://github.com/vercel/ai/issues/14369
        ('{"s": [{"$ref": "#/$defs/a"}]}', False, {"output": '{"s": [{"$ref": "#/$defs/a"}]}'}),
        ('[{"$ref": "x"}]', True, {"error": '[{"$ref": "x"}]'}),
        ('{"href": "$ref"}', False, {"href": "$ref"}),
    ],
)
def test_a_response_is_an_object(text: str, is_error: bool, response: Any) -> None:
    """An object is the response itself; anything else is its output, and an error says so."""
    sent = contents(model(ToolCall("a", "f", "")), results(answered("a", text, is_error=is_error)))
    assert sent[1]["parts"][0]["functionResponse"]["response"] == response


@pytest.mark.parametrize(
    ("arguments", "args"),
    [
        ("", {}),
        ("{}", {}),
        ('{"a":[1]}', {"a": [1]}),
        ("null", {"input": "null"}),
        ("free text", {"input": "free text"}),
    ],
)
def test_arguments_are_an_object(arguments: str, args: Any) -> None:
    """No arguments are an empty object; what is no object becomes the member `input` of one."""
    assert contents(model(ToolCall("a", "f", arguments)))[0]["parts"][0]["functionCall"]["args"] == args


def test_pictures_from_tools() -> None:
    """Gemini 3 takes them in the result, models before it beside it."""
    picture = Image(data="AAAA", media_type="image/png")
    messages = (model(ToolCall("a", "f", "")), results(ToolResult("a", (Text("see"), picture))))
    blob = {"inlineData": {"mimeType": "image/png", "data": "AAAA"}}
    said = {"name": "f", "response": {"output": "see"}}
    assert contents(*messages)[1]["parts"] == [{"functionResponse": said}, blob]
    newer = encode(ChatRequest("gemini-3-pro-preview", messages))[0]["contents"][1]
    assert newer["parts"] == [{"functionResponse": {**said, "parts": [blob]}}]


def test_media() -> None:
    """Bytes inline, addresses as they are, the media type from the address where nobody said it."""
    sent = contents(
        user(
            Image(data="AAAA", media_type="image/webp"),
            Image(url="https://x.example/a.PNG?q=1", detail="auto"),
            File(url="gs://bucket/doc.pdf"),
            File(data="BBBB", filename="notes.txt"),
            File(file_id="files/abc", media_type="video/mp4"),
            Audio("CCCC", "mp3"),
        )
    )
    assert sent[0]["parts"] == [
        {"inlineData": {"mimeType": "image/webp", "data": "AAAA"}},
        {"fileData": {"mimeType": "image/png", "fileUri": "https://x.example/a.PNG?q=1"}},
        {"fileData": {"mimeType": "application/pdf", "fileUri": "gs://bucket/doc.pdf"}},
        {"inlineData": {"mimeType": "text/plain", "data": "BBBB"}},
        {
            "fileData": {
                "mimeType": "video/mp4",
                "fileUri": "https://generativelanguage.googleapis.com/v1beta/files/abc",
            }
        },
        {"inlineData": {"mimeType": "audio/mp3", "data": "CCCC"}},
    ]


@pytest.mark.parametrize(
    ("part", "field"),
    [
        (File(file_id="file-abc"), "messages[0].content[0].file_id"),
        (Audio("", "", id="audio_1"), "messages[0].audio"),
        (Image(), "messages[0].content[0]"),
        (Text("a", extra={"odd": 1}), "messages[0].content[0].odd"),
    ],
)
def test_parts_that_cannot_be_sent(part: Any, field: str) -> None:
    """A file or sound that another provider holds, and members nobody knows, are refused by their place."""
    with pytest.raises(UnsupportedField) as caught:
        encode(ask(user(part), dialect="openai.chat"))
    assert caught.value.param == field
    assert encode(ask(user(part, "x"), dialect="openai.chat"), "drop")[1] == [field]


def test_thinking_goes_back_signed_or_not_at_all() -> None:
    """Thinking returns with Google's signature; without one it says nothing to Gemini."""
    sent, dropped = encode(
        ask(
            model(
                Reasoning("why", Opaque("google", "c2ln")), ToolCall("a", "f", "", opaque=Opaque("google", "Zg==")), "x"
            ),
            model(Reasoning("foreign"), Refusal("no")),
        )
    )
    assert sent["contents"] == [
        turn(
            {"text": "why", "thought": True, "thoughtSignature": "c2ln"},
            {"functionCall": {"name": "f", "args": {}}, "thoughtSignature": "Zg=="},
            "x",
            "no",
            role="model",
        )
    ]
    assert dropped == ["messages[1].reasoning_content"]


def test_another_vendors_signature_is_sealed() -> None:
    """A signature that is not Google's is told from Google's own wherever it stands."""
    request = ask(model(Text("a", opaque=Opaque("anthropic", "s:ig", "acc"))))
    [sent] = encode(request)[0]["contents"]
    assert b64decode(sent["parts"][0]["thoughtSignature"]) == b"headgate:anthropic:acc:s:ig"
    assert decode(contents=[sent]).messages == request.messages


def test_blocks_of_providers() -> None:
    """Google's own blocks go back as they were, another's stay here."""
    code = {"executableCode": {"language": "PYTHON", "code": "1"}}
    body, dropped = encode(ask(model(Item("google.generate", code), Item("anthropic.messages", {"type": "x"}))))
    assert body["contents"] == [turn(code, role="model")]
    assert dropped == ["messages[0].provider_items"]


def test_blocks_of_the_caller() -> None:
    """What a caller shows in another vendor's words is refused by its place: it is not left out as an answer's echo is."""
    with pytest.raises(UnsupportedField) as caught:
        encode(ask(user("hear", Item("anthropic.messages", {"type": "input_audio"}))))
    assert caught.value.param == "messages[0].content[1]"


def test_hints_are_left_out_by_name() -> None:
    """What changes nothing about the answer is not sent, and is named."""
    mark = {"type": "ephemeral"}
    request = ask(
        Message("user", (Text("a", mark), Image(url="gs://b/a.png", detail="high")), name="ann"),
        model(Text("b", citations=(Citation("u"),))),
        tools=(Tool("f", cache=mark),),
        user="u",
        metadata={"a": "b"},
        store=True,
        verbosity="low",
        cache_key="k",
        safety_identifier="s",
        service_tier="auto",
        parallel_tool_calls=True,
        dialect="openai.chat",
        extra={"prediction": {"type": "content"}, "modalities": None},
    )
    body, dropped = encode(request)
    assert set(body) == {"contents", "tools"}
    assert sorted(dropped) == [
        "messages[0].content[0].cache_control",
        "messages[0].content[1].detail",
        "messages[0].name",
        "messages[1].annotations",
        "metadata",
        "prediction",
        "prompt_cache_key",
        "safety_identifier",
        "store",
        "tools[0].cache_control",
        "user",
        "verbosity",
    ]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"sampling": Sampling(logit_bias={"1": 5.0})}, "logit_bias"),
        ({"parallel_tool_calls": False, "tools": (F,)}, "parallel_tool_calls"),
        ({"service_tier": "scale"}, "service_tier"),
        ({"tools": (Tool("web", kind="web_search", raw={}),)}, "tools[0]"),
        ({"tool_choice": ToolChoice("other", raw={})}, "tool_choice"),
        ({"thinking": Thinking("enormous")}, "reasoning_effort"),
        ({"extra": {"web_search_options": {"a": 1}}, "dialect": "openai.chat"}, "web_search_options"),
    ],
)
def test_what_changes_the_meaning_is_refused(fields: dict[str, Any], field: str) -> None:
    """It is refused by name, or left out by name where the policy is to drop."""
    with pytest.raises(UnsupportedField) as caught:
        encode(ask(**fields))
    assert caught.value.param == field
    assert encode(ask(**fields), "drop")[1] == [field]


def test_ignored_fields_are_fields() -> None:
    """The list of what is never written names fields that exist."""
    structs = {kind.__name__: kind for kind in get_args(Part)}
    structs |= {name: getattr(chat, name) for name in chat.__all__ if isinstance(getattr(chat, name), type)}
    for name in IGNORED:
        struct, _, field = name.partition(".")
        assert field in structs[struct].__struct_fields__, name


def test_a_sound_of_another_model_comes_back_as_what_it_said() -> None:
    """Gemini is told of no sound by its id; what a vendor told of one that came with its bytes may go."""
    by_id = ask(user("x"), model(Audio("", "wav", "said", "audio_1")), user("y"))
    body, dropped = encode(by_id)
    assert (body["contents"][1]["parts"], dropped) == ([{"text": "said"}], ["messages[1].audio"])
    whole = ask(user("x"), model(Audio("AAAA", "wav", extra={"expires_at": 9})), user("y"))
    assert encode(whole)[1] == ["messages[1].content[0].expires_at"]
