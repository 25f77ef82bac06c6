"""Requests of Google's clients: every spelling is read, nothing is lost, and wrong shapes are named."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import msgspec
import pytest
from core.tests.google_wire import GOOGLE, decode, encode, turn

from headgate.chat import (
    Audio,
    File,
    Image,
    Item,
    Message,
    Opaque,
    Reasoning,
    ResponseFormat,
    Sampling,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from headgate.dialects import AnthropicMessages, ChatDialect, Gaps, OpenAIChat, OpenAIResponses
from headgate.errors import InvalidRequest

HELLO = [turn("hello")]


@pytest.mark.parametrize("wanted", [["TEXT"], "TEXT"])
def test_text_alone_asks_for_nothing(wanted: object) -> None:
    """Who wants text and no more asks for what every vendor answers with; pictures remain to be asked for."""
    assert decode(contents=HELLO, generationConfig={"responseModalities": wanted}) == decode(contents=HELLO)
    pictured = decode(contents=HELLO, generation_config={"response_modalities": ["TEXT", "IMAGE"]})
    assert pictured.extra == {"generationConfig": {"responseModalities": ["TEXT", "IMAGE"]}}


def parts_of(*contents: Any) -> list[Any]:
    return [part for message in decode(contents=list(contents)).messages for part in message.parts]


def test_a_request_as_the_sdk_sends_it() -> None:
    """Instructions, turns, settings and tools find their places; model and streaming stand in the URL."""
    request = decode(
        systemInstruction={"parts": [{"text": "be brief"}], "role": "user"},
        contents=[turn("hi"), turn("hello", role="model"), turn("bye")],
        generationConfig={
            "temperature": 0.5,
            "topP": 0.9,
            "topK": 40.0,
            "maxOutputTokens": 100,
            "stopSequences": ["END"],
            "seed": 7,
            "candidateCount": 2,
            "responseLogprobs": True,
            "logprobs": 3,
            "presencePenalty": 0.1,
            "frequencyPenalty": 0.2,
        },
        serviceTier="FLEX",
        store=False,
    )
    assert (request.model, request.stream, request.dialect) == ("", False, "google.generate")
    assert [message.role for message in request.messages] == ["system", "user", "assistant", "user"]
    assert [message.text for message in request.messages] == ["be brief", "hi", "hello", "bye"]
    assert request.sampling == Sampling(0.5, 0.9, 40, 100, ("END",), 7, 0.1, 0.2, None, True, 3, 2)
    assert (request.service_tier, request.store, request.extra) == ("flex", False, {})


def test_both_spellings_mean_the_same() -> None:
    """Names in snake_case are read as those in camelCase, and a list of one may stand without brackets."""
    plain = decode(
        systemInstruction={"parts": [{"text": "s"}]},
        contents=[turn({"functionCall": {"name": "f", "args": {"a_b": 1}}}, role="model")],
        generationConfig={"maxOutputTokens": 5, "thinkingConfig": {"thinkingBudget": 9, "includeThoughts": True}},
        tools=[{"functionDeclarations": [{"name": "f", "parametersJsonSchema": {"type": "object"}}]}],
        toolConfig={"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["f", "g"]}},
        safetySettings=[{"category": "c"}],
    )
    snake = decode(
        system_instruction={"parts": {"text": "s"}},
        contents={"role": "MODEL", "parts": {"function_call": {"name": "f", "args": {"a_b": 1}}}},
        generation_config={
            "max_output_tokens": "5",
            "thinking_config": {"thinking_budget": 9, "include_thoughts": True},
        },
        tools={"function_declarations": [{"name": "f", "parameters_json_schema": {"type": "object"}}]},
        tool_config={"function_calling_config": {"mode": "any", "allowed_function_names": ["f", "g"]}},
        safety_settings=[{"category": "c"}],
    )
    assert snake == plain
    assert plain.extra == {"safetySettings": [{"category": "c"}]}


def test_what_has_no_place_stays_at_its_depth() -> None:
    """Unknown members of the request, its settings, turns, parts and tools are kept where they were."""
    body: dict[str, Any] = {
        "contents": [{**turn({"text": "a", "videoMetadata": {"fps": 1}}), "x": 1}],
        "generationConfig": {"mediaResolution": "LOW", "thinkingConfig": {"y": 2}, "responseMimeType": "text/x.enum"},
        "tools": [{"googleSearch": {}}, {"functionDeclarations": [{"name": "f", "behavior": "BLOCKING"}]}],
        "toolConfig": {"retrievalConfig": {"languageCode": "de"}},
        "cachedContent": "cachedContents/1",
    }
    request = decode(**body)
    assert request.messages[0] == Message("user", (Text("a", extra={"videoMetadata": {"fps": 1}}),), extra={"x": 1})
    assert request.extra == {
        "generationConfig": {"mediaResolution": "LOW", "thinkingConfig": {"y": 2}, "responseMimeType": "text/x.enum"},
        "toolConfig": {"retrievalConfig": {"languageCode": "de"}},
        "cachedContent": "cachedContents/1",
    }
    assert request.tools == (
        Tool("googleSearch", kind="googleSearch", raw={"googleSearch": {}}),
        Tool("f", extra={"behavior": "BLOCKING"}),
    )


def test_media() -> None:
    """Bytes and addresses become pictures, sounds and files by their media type; an uploaded file keeps its id."""
    upload = "https://generativelanguage.googleapis.com/v1beta/files/abc"
    parts = parts_of(
        turn(
            {"inlineData": {"mimeType": "image/png", "data": "AAAA"}},
            {"inlineData": {"mimeType": "audio/x-wav", "data": "BBBB"}},
            {"inlineData": {"mimeType": "application/pdf", "data": "CCCC", "displayName": "a.pdf"}},
            {"fileData": {"fileUri": "gs://b/x.png"}},
            {"fileData": {"fileUri": "https://x.example/film", "mimeType": "video/mp4"}},
            {"fileData": {"fileUri": upload, "mimeType": "image/png"}},
        )
    )
    assert parts == [
        Image(data="AAAA", media_type="image/png"),
        Audio("BBBB", "wav"),
        File(data="CCCC", media_type="application/pdf", filename="a.pdf"),
        Image(url="gs://b/x.png"),
        File(url="https://x.example/film", media_type="video/mp4"),
        Image(file_id=upload, media_type="image/png"),
    ]


def test_calls_without_ids_are_told_apart() -> None:
    """Calls get ids of their own, and results find them by name and order, in one turn or in several."""
    call = {"functionCall": {"name": "f", "args": {"n": 1}}}
    request = decode(
        contents=[
            turn(call, call, role="model"),
            turn({"functionResponse": {"name": "f", "response": {"output": "a"}}}, role="function"),
            turn({"functionResponse": {"name": "f", "response": {"output": "b"}}}),
            turn({"functionCall": {"name": "f"}}, role="model"),
        ]
    )
    first, second, third = (
        part for message in request.messages for part in message.parts if isinstance(part, ToolCall)
    )
    results = [part for message in request.messages for part in message.parts if isinstance(part, ToolResult)]
    assert len({first.id, second.id, third.id}) == 3
    assert [(result.call_id, result.text) for result in results] == [(first.id, "a"), (second.id, "b")]
    assert [message.role for message in request.messages] == ["assistant", "tool", "tool", "assistant"]
    assert (second.index, third.arguments) == (1, "")


def test_ids_that_are_given_are_kept() -> None:
    """A call's own id stays, and its result may leave it out."""
    request = decode(
        contents=[
            turn({"functionCall": {"id": "w6geog7o", "name": "f", "args": {}}}, role="model"),
            turn({"functionResponse": {"name": "f", "response": {}}}, "and now?"),
        ]
    )
    assert [part.id for part in request.messages[0].parts if isinstance(part, ToolCall)] == ["w6geog7o"]
    assert request.messages[1].role == "user"
    assert request.messages[1].parts[0] == ToolResult("w6geog7o", (Text("{}"),), name="f")


def test_results_with_ids_of_the_clients_own_find_their_calls() -> None:
    """Gemini CLI numbers the calls that Google gave no ids in its results alone; an id that a call has goes before."""

    def result(call_id: str) -> Any:
        return {"functionResponse": {"id": call_id, "name": "f", "response": {"output": call_id}}}

    request = decode(
        contents=[
            turn({"functionCall": {"name": "f"}}, {"functionCall": {"name": "f"}}, role="model"),
            turn(result("f-1"), result("f-2")),
            turn({"functionCall": {"id": "own", "name": "f"}}, role="model"),
            turn(result("other"), result("own")),
        ]
    )
    calls = [part.id for message in request.messages for part in message.parts if isinstance(part, ToolCall)]
    results = [part for message in request.messages for part in message.parts if isinstance(part, ToolResult)]
    assert [(part.call_id, part.text) for part in results] == [
        (calls[0], "f-1"),
        (calls[1], "f-2"),
        ("other", "other"),
        ("own", "own"),
    ]


def test_arguments_keep_their_numbers() -> None:
    """Arguments and results are the JSON text that came, without its spaces."""
    body = (
        b'{"contents": [{"role": "model", "parts": [{"functionCall": {"name": "f", "args": {"a": 1.50,\n "b": 1E+2}}}]},'
        b'{"parts": {"function_response": {"name": "f", "response": {"n": 123456789012345678901.0}}}}]}'
    )
    call, result = (message.parts[0] for message in GOOGLE.decode_request(body).messages)
    assert isinstance(call, ToolCall)
    assert isinstance(result, ToolResult)
    assert call.arguments == '{"a":1.50,"b":1E+2}'
    assert result.text == '{"n":123456789012345678901.0}'


@pytest.mark.parametrize(
    ("response", "text", "is_error"),
    [
        ({"output": "fine"}, "fine", False),
        ({"error": "no"}, "no", True),
        ({"output": {"a": 1}}, '{"a":1}', False),
        ({"result": "x"}, '{"result":"x"}', False),
        ({"error": "no", "more": 1}, '{"error":"no","more":1}', False),
        ({}, "{}", False),
        (None, "", False),
    ],
)
def test_what_a_tool_answered(response: Any, text: str, is_error: bool) -> None:
    """`output` and `error` alone have a meaning; any other object is the answer."""
    [result] = parts_of(turn({"functionResponse": {"name": "f", "response": response}}))
    assert (result.text, result.is_error) == (text, is_error)


def test_pictures_in_a_result() -> None:
    """The media of a result come behind its text."""
    media = [{"inlineData": {"mimeType": "image/png", "data": "AAAA"}}]
    [result] = parts_of(turn({"functionResponse": {"name": "f", "response": {"output": "x"}, "parts": media}}))
    assert result.content == (Text("x"), Image(data="AAAA", media_type="image/png"))


def test_signatures() -> None:
    """Google's own signatures stay as they are; what another vendor signed is found in them again, with its id."""
    mine = b64encode(b"headgate.item:openai:acc:rs_1:gAAA:b").decode()
    parts = parts_of(
        turn(
            {"text": "thinking", "thought": True},
            {"text": " on", "thought": True},
            {"text": "", "thought": True, "thoughtSignature": mine},
            {"text": "hi", "thoughtSignature": "c2ln"},
            {"functionCall": {"id": "1", "name": "f"}, "thoughtSignature": b64encode(b"headgate:x::s").decode()},
            {"thoughtSignature": "bGFzdA=="},
            role="model",
        )
    )
    assert parts == [
        Reasoning("thinking on", Opaque("openai", "gAAA:b", "acc"), is_summary=True, item_id="rs_1"),
        Text("hi", opaque=Opaque("google", "c2ln")),
        ToolCall("1", "f", "", opaque=Opaque("x", "s")),
        Text("", opaque=Opaque("google", "bGFzdA==")),
    ]


def test_a_turn_of_the_model_in_many_contents() -> None:
    """Chats of google-genai keep each chunk of a stream as a content: text goes on, and who signed thinking gets it whole."""
    signature = b64encode(b"headgate:anthropic:a:SIG").decode()
    pieces: list[dict[str, Any]] = [
        {"text": "deep ", "thought": True},
        {"text": "thought", "thought": True},
        {"text": "", "thought": True, "thoughtSignature": signature},
        {"text": "Hello"},
        {"text": "\n\n"},
        {"text": "World"},
        {"functionCall": {"name": "f"}},
        {"functionCall": {"name": "g"}},
        {"text": ""},
    ]
    contents = [turn("q"), *({"role": "model", "parts": [piece]} for piece in pieces)]
    request = decode(contents=contents)
    assert [message.role for message in request.messages] == ["user", "assistant"]
    thought, text, first, second, _ = request.messages[1].parts
    assert thought == Reasoning("deep thought", Opaque("anthropic", "SIG", "a"), is_summary=True)
    assert text == Text("Hello\n\nWorld")
    assert [(call.name, call.index) for call in (first, second) if isinstance(call, ToolCall)] == [("f", 0), ("g", 1)]


def test_blocks_only_google_understands() -> None:
    """Code and its outcome are kept as they are; a block of another provider comes back out of the metadata."""
    code = {"executableCode": {"language": "PYTHON", "code": "1"}}
    carried = {
        "text": "",
        "partMetadata": {"provider_item": {"dialect": "anthropic.messages", "type": "server_tool_use"}},
    }
    parts = parts_of(turn(code, carried, {}, role="model"))
    assert parts == [Item("google.generate", code), Item("anthropic.messages", {"type": "server_tool_use"})]


@pytest.mark.parametrize(
    ("config", "choice"),
    [
        ({"mode": "AUTO"}, ToolChoice("auto")),
        ({"mode": "NONE"}, ToolChoice("none")),
        ({"mode": "ANY"}, ToolChoice("required")),
        ({"mode": "ANY", "allowedFunctionNames": ["f"]}, ToolChoice("named", "f")),
        ({"mode": "ANY", "allowedFunctionNames": ["f", "g"]}, ToolChoice("required", allowed=("f", "g"))),
        ({"mode": "VALIDATED"}, ToolChoice("auto")),
        ({"mode": "MODE_UNSPECIFIED"}, None),
        ({}, None),
    ],
)
def test_choices(config: dict[str, Any], choice: ToolChoice | None) -> None:
    """Modes of calling have their words; one allowed function is a named one."""
    assert decode(contents=HELLO, toolConfig={"functionCallingConfig": config}).tool_choice == choice


@pytest.mark.parametrize("policy", ["refuse", "drop"])
@pytest.mark.parametrize("dialect", [OpenAIChat(), OpenAIResponses(), AnthropicMessages()])
def test_validated_is_a_hint_elsewhere(dialect: ChatDialect, policy: Any) -> None:
    """That arguments shall be valid is Google's own mode: others are sent the plain choice, and what is lost is named."""
    tools = [{"functionDeclarations": [{"name": "f", "parametersJsonSchema": {"type": "object"}}]}]
    request = decode(contents=HELLO, tools=tools, toolConfig={"functionCallingConfig": {"mode": "VALIDATED"}})
    gaps = Gaps("vendor", policy, GOOGLE.hints)
    body = msgspec.json.decode(dialect.encode_request(msgspec.structs.replace(request, model="m"), gaps))
    assert body.get("tool_choice") in ({"type": "auto"}, "auto")
    assert gaps.dropped == ["toolConfig.functionCallingConfig.mode"]


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"thinkingBudget": 0}, Thinking("none", 0, "disabled")),
        ({"thinkingBudget": -1, "includeThoughts": True}, Thinking(None, None, "adaptive", is_shown=True)),
        ({"thinkingBudget": 512}, Thinking(None, 512)),
        ({"thinkingLevel": "HIGH"}, Thinking("high")),
        ({"thinkingLevel": "THINKING_LEVEL_UNSPECIFIED"}, Thinking()),
    ],
)
def test_thinking(config: dict[str, Any], expected: Thinking) -> None:
    """Levels are efforts; a budget of 0 switches off and -1 leaves it to the model."""
    assert decode(contents=HELLO, generationConfig={"thinkingConfig": config}).thinking == expected


def test_formats() -> None:
    """JSON with a schema of either kind, without one, or none at all."""
    schema = {"type": "OBJECT", "properties": {"b": {"type": "STRING", "nullable": True}}, "propertyOrdering": ["b"]}
    plain = {"type": "object", "properties": {"b": {"type": ["string", "null"]}}}

    def asked(**config: Any) -> ResponseFormat | None:
        return decode(contents=HELLO, generationConfig=config).response_format

    as_json = "application/json"
    assert asked(responseMimeType=as_json) == ResponseFormat("json_object")
    assert asked(responseMimeType=as_json, responseSchema=schema) == ResponseFormat("json_schema", schema=plain)
    assert asked(responseMimeType=as_json, responseJsonSchema=plain) == ResponseFormat("json_schema", schema=plain)
    assert asked(responseMimeType="text/plain") is None


WRONG: list[tuple[dict[str, Any], str]] = [
    ({}, "contents"),
    ({"contents": []}, "contents"),
    ({"contents": "hi"}, "contents"),
    ({"contents": [{"role": "boss", "parts": []}]}, "contents[0].role"),
    ({"contents": [turn({"text": 1})]}, "contents[0].parts[0].text"),
    ({"contents": [turn({"functionCall": {}})]}, "contents[0].parts[0].functionCall.name"),
    ({"contents": [turn({"inlineData": {}})]}, "contents[0].parts[0].inlineData.data"),
    (
        {"contents": HELLO, "toolConfig": {"functionCallingConfig": {"mode": "X"}}},
        "toolConfig.functionCallingConfig.mode",
    ),
    ({"contents": HELLO, "tools": [{"functionDeclarations": [{}]}]}, "tools[0].functionDeclarations[0].name"),
]


@pytest.mark.parametrize(("body", "place"), WRONG)
def test_wrong_shapes_are_named(body: dict[str, Any], place: str) -> None:
    """A member of another type or without a meaning is refused by its place."""
    with pytest.raises(InvalidRequest) as caught:
        GOOGLE.decode_request(msgspec.json.encode(body))
    assert caught.value.param == place


def test_a_request_goes_back_as_it_came() -> None:
    """What was decoded and is encoded again for the same dialect says the same."""
    body: dict[str, Any] = {
        "systemInstruction": {"parts": [{"text": "s"}]},
        "contents": [
            turn(
                {"text": "a", "videoMetadata": {"fps": 1}},
                {"fileData": {"fileUri": "files/1", "mimeType": "video/mp4"}},
            ),
            turn({"text": "t", "thought": True}, {"functionCall": {"id": "x", "name": "f", "args": {}}}, role="model"),
            turn({"functionResponse": {"id": "x", "name": "f", "response": {"a": 1}}}),
        ],
        "tools": [
            {"functionDeclarations": [{"name": "f", "parametersJsonSchema": {"type": "object"}}]},
            {"urlContext": {}},
        ],
        "toolConfig": {"functionCallingConfig": {"mode": "VALIDATED"}},
        "generationConfig": {"thinkingConfig": {"thinkingBudget": -1}, "mediaResolution": "MEDIA_RESOLUTION_LOW"},
        "safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "OFF"}],
        "serviceTier": "standard",
    }
    assert encode(decode(**body)) == (body, [])
