"""Requests: each model is told in its own inputs, and what it does not take is refused by name."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec.structs import replace
from providers.replicate.tests.replicate_wire import (
    BARE,
    CLAUDE,
    GEMINI,
    GPT,
    LLAMA,
    Json,
    asked,
    described,
    inputs,
    sent,
)

from headgate.chat import (
    Audio,
    File,
    Image,
    Item,
    Message,
    Part,
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
from headgate.dialects import Gaps
from headgate.errors import InvalidRequest, UnsupportedField
from headgate_replicate import ReplicateChat
from headgate_replicate.inputs import PROMPTS

SYSTEM = Message("system", (Text("be kind"),))
USER = Message("user", (Text("hello"),))
SAID = Message("assistant", (Text("hi"),))
PICTURE = Image(data="AAAA", media_type="image/jpeg")


@pytest.mark.parametrize(
    ("model", "name"), [(LLAMA, "system_prompt"), (GPT, "system_prompt"), (GEMINI, "system_instruction")]
)
def test_one_turn(model: Json, name: str) -> None:
    """Instructions and one turn are said natively, whatever the maker calls them."""
    assert sent(model, asked(SYSTEM, USER)) == ({"prompt": "hello", name: "be kind"}, [])
    assert sent(model, asked()) == ({"prompt": "hello"}, [])
    both = asked(SYSTEM, Message("developer", (Text("be brief"),)), Message("user", (Text("a"), Text("b"))))
    assert sent(model, both)[0] == {"prompt": "a\n\nb", name: "be kind\n\nbe brief"}


def test_a_history_needs_messages() -> None:
    """A model with `messages` is told a history turn by turn; for others it is refused at the first turn that is lost."""
    history = asked(SYSTEM, USER, SAID, Message("user", (Text("and?"),)))
    turns = [("system", "be kind"), ("user", "hello"), ("assistant", "hi"), ("user", "and?")]
    assert sent(GPT, history) == ({"messages": [{"role": role, "content": text} for role, text in turns]}, [])
    with pytest.raises(UnsupportedField, match=r"`messages\[1\]`.*`messages`") as caught:
        sent(LLAMA, history)
    assert caught.value.param == "messages[1]"
    told, dropped = sent(LLAMA, history, "drop")
    assert told == {"prompt": "and?", "system_prompt": "be kind"}
    assert dropped == ["messages[1]", "messages[2]"]


def test_instructions_that_stand_elsewhere() -> None:
    """Between turns they need `messages`; a model without a place for them refuses them by name."""
    late = asked(USER, SYSTEM)
    assert [turn["role"] for turn in sent(GPT, late)[0]["messages"]] == ["user", "system"]
    with pytest.raises(UnsupportedField, match=r"`messages\[1\]`"):
        sent(LLAMA, late)
    with pytest.raises(UnsupportedField, match=r"`messages\[0\]`.*no system prompt"):
        sent(BARE, asked(SYSTEM, USER))
    assert sent(BARE, asked(SYSTEM, USER), "drop") == ({"prompt": "hello"}, ["messages[0]"])
    only = described(prompt={"type": "string"}, messages={"type": "array"})
    assert [turn["role"] for turn in sent(only, asked(SYSTEM, USER))[0]["messages"]] == ["system", "user"]


@pytest.mark.parametrize("messages", [(SYSTEM,), (USER, SAID)])
def test_there_must_be_a_turn_to_answer(messages: tuple[Message, ...]) -> None:
    """Instructions alone, and an answer that is to be continued, are no prompt, whatever the policy."""
    with pytest.raises(InvalidRequest) as caught:
        sent(LLAMA, asked(*messages), "drop")
    assert caught.value.param == "messages"


def test_pictures() -> None:
    """A list, or one: by bytes in a data URL, or by an address that Replicate fetches."""
    url = Image(url="https://a.example/x.png")
    one = asked(Message("user", (Text("see"), PICTURE)))
    two = asked(Message("user", (Text("see"), PICTURE, url)))
    data = "data:image/jpeg;base64,AAAA"
    assert sent(GPT, two)[0] == {"prompt": "see", "image_input": [data, url.url]}
    assert sent(GEMINI, two)[0]["images"] == [data, url.url]
    assert sent(CLAUDE, one)[0]["image"] == data
    with pytest.raises(UnsupportedField, match="one picture"):
        sent(CLAUDE, two)
    with pytest.raises(UnsupportedField, match="no pictures"):
        sent(LLAMA, one)
    with pytest.raises(UnsupportedField, match="in a history"):
        sent(GPT, asked(USER, SAID, Message("user", (Text("see"), PICTURE))))
    with pytest.raises(UnsupportedField, match="public address"):
        sent(GPT, asked(Message("user", (Image(file_id="f"),))))


def test_sampling() -> None:
    """What a model takes goes by its own name; what it does not is refused, but for what asks for nothing."""
    sampling = Sampling(0.5, 0.9, 40, 100, ("END", "STOP"), presence_penalty=0.5, frequency_penalty=0.1)
    assert sent(LLAMA, asked(sampling=sampling))[0] == {
        "prompt": "hello", "temperature": 0.5, "top_p": 0.9, "top_k": 40, "max_tokens": 100, "presence_penalty": 0.5,
        "frequency_penalty": 0.1, "stop_sequences": "END,STOP",
    }  # fmt: skip
    limits = {"max_completion_tokens": GPT, "max_output_tokens": GEMINI, "max_tokens": CLAUDE}
    for name, model in limits.items():
        assert sent(model, asked(sampling=Sampling(max_tokens=50)))[0][name] == 50
    nothing = Sampling(n=1, presence_penalty=0.0, frequency_penalty=0.0, logprobs=False)
    assert sent(BARE, asked(sampling=nothing)) == ({"prompt": "hello"}, [])
    listed = described(prompt={"type": "string"}, stop={"type": "array"})
    assert sent(listed, asked(sampling=Sampling(stop=("a,b",))))[0]["stop"] == ["a,b"]


@pytest.mark.parametrize(
    ("sampling", "field"),
    [
        (Sampling(temperature=0.0), "temperature"),
        (Sampling(seed=7), "seed"),
        (Sampling(max_tokens=5), "max_tokens"),
        (Sampling(stop=("a",)), "stop"),
        (Sampling(n=2), "n"),
        (Sampling(logit_bias={"1": 2.0}), "logit_bias"),
        (Sampling(logprobs=True), "logprobs"),
        (Sampling(top_logprobs=2), "top_logprobs"),
        (Sampling(presence_penalty=1.0), "presence_penalty"),
    ],
)
def test_sampling_that_is_not_there(sampling: Sampling, field: str) -> None:
    """It is refused by its name, or left out and told."""
    request = asked(sampling=sampling)
    with pytest.raises(UnsupportedField) as caught:
        sent(BARE, request)
    assert caught.value.param == field
    assert sent(BARE, request, "drop") == ({"prompt": "hello"}, [field])


def test_a_comma_in_a_stop_sequence() -> None:
    """Where sequences stand in one text with commas between them, one with a comma would become two."""
    with pytest.raises(UnsupportedField, match="comma"):
        sent(LLAMA, asked(sampling=Sampling(stop=("a,b",))))
    body, dropped = sent(LLAMA, asked(sampling=Sampling(stop=("a", "b,c", "d"))), "drop")
    assert (body["stop_sequences"], dropped) == ("a,d", ["stop"])


@pytest.mark.parametrize(
    ("model", "thinking", "told", "dropped"),
    [
        (GPT, Thinking("low"), {"reasoning_effort": "low"}, []),
        (GPT, Thinking("max"), {"reasoning_effort": "high"}, ["reasoning_effort"]),
        (GPT, Thinking("none"), {}, ["reasoning_effort"]),
        (GPT, Thinking(mode="adaptive"), {}, ["reasoning_effort"]),
        (GPT, Thinking(budget_tokens=2000), {"reasoning_effort": "low"}, []),
        (GPT, Thinking(budget_tokens=9000, mode="enabled"), {"reasoning_effort": "high"}, []),
        (GPT, Thinking("low", summary="auto"), {"reasoning_effort": "low"}, ["reasoning.summary"]),
        (CLAUDE, Thinking(budget_tokens=2000, mode="enabled"),
         {"extended_thinking": True, "thinking_budget_tokens": 2000}, []),
        (CLAUDE, Thinking(mode="disabled"), {"extended_thinking": False}, []),
        (CLAUDE, Thinking("high"), {"extended_thinking": True, "thinking_budget_tokens": 16384}, []),
        (CLAUDE, Thinking(mode="adaptive"), {"extended_thinking": True}, []),
        (GEMINI, Thinking(budget_tokens=2000), {"thinking_budget": 2000}, []),
        (GEMINI, Thinking("low"), {"thinking_budget": 2048}, []),
        (GEMINI, Thinking("none"), {"thinking_budget": 0}, []),
        (LLAMA, Thinking("high"), {}, ["reasoning_effort"]),
        (LLAMA, Thinking(), {}, []),
    ],
)  # fmt: skip
def test_thinking(model: Json, thinking: Thinking, told: Json, dropped: list[str]) -> None:
    """An effort by the model's own words, a budget where it takes that; what it has no word for is left out and told."""
    assert sent(model, asked(thinking=thinking)) == ({"prompt": "hello", **told}, dropped)


@pytest.mark.parametrize(
    ("part", "role", "place"),
    [
        (ToolCall("c", "f", "{}"), "assistant", "messages[1].tool_calls"),
        (ToolResult("c", (Text("x"),)), "tool", "messages[1].content"),
        (Audio("AAAA", "wav"), "user", "messages[1].content[0]"),
        (File(data="AAAA", media_type="application/pdf"), "user", "messages[1].content[0]"),
        (Item("openai.responses", {"type": "compaction"}), "assistant", "messages[1].content[0]"),
        (PICTURE, "assistant", "messages[1].content[0]"),
    ],
)
def test_parts_that_are_not_taken(part: Part, role: Any, place: str) -> None:
    """Each is refused where it stands, also by models that take a history."""
    request = asked(USER, Message(role, (part,)), USER)
    with pytest.raises(UnsupportedField) as caught:
        sent(GPT, request)
    assert caught.value.param == place
    assert place in sent(GPT, request, "drop")[1]


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"tools": (Tool("f"),)}, "tools"),
        ({"tool_choice": ToolChoice("required")}, "tool_choice"),
        ({"response_format": ResponseFormat("json_object")}, "response_format"),
        ({"service_tier": "priority"}, "service_tier"),
        ({"extra": {"audio": {"voice": "x"}}}, "audio"),
    ],
)
def test_what_no_model_has(fields: Json, named: str) -> None:
    """It is refused by name."""
    with pytest.raises(UnsupportedField) as caught:
        sent(GPT, asked(**fields))
    assert caught.value.param == named


def test_hints_are_left_out_and_told() -> None:
    """Cache marks, names, users and the like change nothing of what is asked."""
    turn = Message("user", (Text("hello", cache={"type": "ephemeral"}), replace(PICTURE, detail="high")), name="ann")
    hints: Json = {"user": "u", "metadata": {"a": 1}, "cache_key": "k", "safety_identifier": "s", "store": True}
    request = asked(
        turn, **hints, parallel_tool_calls=True, tool_choice=ToolChoice("auto"), service_tier="auto", verbosity="x"
    )
    told, dropped = sent(GPT, request)
    assert told == {"prompt": "hello", "image_input": ["data:image/jpeg;base64,AAAA"]}
    assert sorted(dropped) == [
        "messages[0].content[0].cache_control", "messages[0].content[1].image_url.detail", "messages[0].name", "metadata",
        "parallel_tool_calls", "prompt_cache_key", "safety_identifier", "service_tier", "store", "tool_choice", "user",
        "verbosity",
    ]  # fmt: skip
    assert sent(GPT, asked(verbosity="low"))[0]["verbosity"] == "low"
    thought = Message("assistant", (Reasoning("hm"), Text("hi")))
    assert sent(GPT, asked(USER, thought, USER))[1] == ["messages[1].reasoning"]


def test_versions_and_streams_stand_beside_the_input() -> None:
    """A version is named in the body, since its address does not."""
    gaps = Gaps("replicate")
    request = replace(asked(), model="o/n:0123abcd", stream=True)
    body = msgspec.json.decode(ReplicateChat(inputs(LLAMA)).encode_request(request, gaps))
    assert body == {"version": "0123abcd", "input": {"prompt": "hello"}, "stream": True}


@pytest.mark.parametrize("model", [LLAMA, GPT, CLAUDE, GEMINI])
def test_a_request_of_its_own_is_written_again(model: Json) -> None:
    """Read back and written again, a request says the same."""
    dialect = ReplicateChat(inputs(model))
    for request in (asked(SYSTEM, USER), asked(USER, SAID, USER) if model is GPT else asked()):
        body = dialect.encode_request(replace(request, stream=True), Gaps("replicate"))
        assert dialect.encode_request(dialect.decode_request(body), Gaps("replicate")) == body


@pytest.mark.parametrize(
    "model", [{}, {"latest_version": None}, described(image={"type": "string"}), {"latest_version": []}]
)
def test_what_is_no_language_model(model: Json) -> None:
    """A model without a prompt, or without a schema, is refused, and the message says how it is reached."""
    with pytest.raises(InvalidRequest, match="passthrough"):
        inputs(model).first(PROMPTS)
