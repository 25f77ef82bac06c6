"""What quirks do to a body: a client's own, and one that was translated."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from providers.compatible.tests.calls import OK, deploy, deploy_row, exchange, held, messages_request, send

from headgate.dialects import Gaps
from headgate.errors import InvalidRequest, UnsupportedField
from headgate.provider import Provider
from headgate.testing import ReplayUpstream
from headgate_compatible import Compatible, Quirks

DROP = {b"x-headgate-unsupported": b"drop"}
USER = {"role": "user", "content": "hi"}


def own(row: Mapping[str, Any], **config: Any) -> Provider:
    quirks = msgspec.convert(row, Quirks)
    return deploy(Compatible, base_url="http://127.0.0.1:9000/v1", row=quirks, **config)


def body_of(provider: Provider, body: bytes, overrides: Mapping[str, Any] | None = None) -> bytes:
    return held(provider.prepare(exchange(provider, body, overrides=overrides)))


# refused fields


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("logit_bias", None), ("logit_bias", {}), ("n", 1), ("logprobs", False), ("frequency_penalty", 0),
        ("frequency_penalty", 0.0), ("presence_penalty", 0), ("tool_choice", "auto"), ("tools", []), ("seed", None),
    ],
)  # fmt: skip
def test_a_field_that_asks_nothing_is_not_refused(field: str, value: object) -> None:
    """Null and OpenAI's own default are forwarded as they are: they ask for nothing."""
    body = msgspec.json.encode({"model": "m", field: value})
    assert body_of(own({"refuse": [field]}), body) == body


@pytest.mark.parametrize(
    ("field", "value"), [("n", 2), ("logprobs", True), ("seed", 0), ("stop", []), ("tool_choice", "none"), ("x", False)]
)
def test_a_field_that_asks_is_refused(field: str, value: object) -> None:
    """Any other value is refused, zero and false included where they are not the documented default."""
    with pytest.raises(UnsupportedField, match=field):
        body_of(own({"refuse": [field]}), msgspec.json.encode({"model": "m", field: value}))


def test_an_escaped_name_is_still_refused() -> None:
    """Spelling a field with JSON escapes does not slip it past the row."""
    with pytest.raises(UnsupportedField, match="seed"):
        body_of(own({"refuse": ["seed"]}), b'{"model":"m","\\u0073eed":4}')


@pytest.mark.parametrize("by", ["header", "deployment"])
async def test_refused_fields_may_be_dropped(by: str) -> None:
    """Under the policy `drop`, the caller's or the deployment's, the rest goes out and the field is named."""
    provider = own({"refuse": ["n", "seed"]}, **({"unsupported": "drop"} if by == "deployment" else {}))
    ex = exchange(provider, b'{"n":2, "model":"m","seed":1,"messages":[]}', headers=DROP if by == "header" else {})
    assert provider.prepare(ex).body == b'{"model":"m","messages":[]}'
    assert ex.dropped == ["n", "seed"]
    provider.prepare(ex)
    assert ex.dropped == ["n", "seed"]


async def test_callers_may_refuse_what_a_deployment_drops() -> None:
    """The caller's word goes before the deployment's."""
    provider = own({"refuse": ["n"]}, unsupported="drop")
    with pytest.raises(UnsupportedField):
        provider.prepare(exchange(provider, b'{"model":"m","n":2}', headers={b"x-headgate-unsupported": b"refuse"}))


# hints, defaults, names


def test_hints_are_left_out_and_named() -> None:
    """A hint that the vendor answers with an error is left out under either policy; null asks for nothing and is not named."""
    provider = own({"drop": ["user", "store"]})
    ex = exchange(provider, b'{"model":"m", "user":"u","store":null}')
    assert provider.prepare(ex).body == b'{"model":"m"}'
    assert ex.dropped == ["user"]


def test_values_that_go_without_saying_are_left_out() -> None:
    """A default that the vendor has no word for is left out unnamed; any other value is sent."""
    provider = own({"omit": {"encoding_format": "float"}})
    ex = exchange(provider, b'{"model":"m","encoding_format":"float"}')
    assert (provider.prepare(ex).body, ex.dropped) == (b'{"model":"m"}', [])
    body = b'{"model":"m","encoding_format":"base64"}'
    assert body_of(provider, body) == body


def test_nested_fields_are_left_alone() -> None:
    """Only top-level members are renamed or refused."""
    body = b'{"model":"m", "messages":[{"role":"user","content":"x","seed":1}], "tools":[{"n":2}]}'
    assert body_of(own({"refuse": ["n"], "rename": {"seed": "random_seed"}}), body) == body


def test_overrides_meet_the_quirks_too() -> None:
    """Parameters a target adds are renamed and refused like the caller's."""
    provider = own({"refuse": ["n"], "rename": {"seed": "random_seed"}})
    assert json.loads(body_of(provider, b'{"model":"m"}', {"seed": 3})) == {"model": "m", "random_seed": 3}
    with pytest.raises(UnsupportedField):
        body_of(provider, b'{"model":"m"}', {"n": 3})


def test_both_names_at_once() -> None:
    """A field beside the vendor's own name for it is an error unless one of them says nothing new."""
    provider = own({"rename": {"max_completion_tokens": "max_tokens"}})
    with pytest.raises(InvalidRequest, match="`max_completion_tokens` is sent as `max_tokens`"):
        body_of(provider, b'{"model":"m","max_tokens":1,"max_completion_tokens":2}')
    for body in (
        b'{"model":"m","max_tokens":2,"max_completion_tokens":2}',
        b'{"model":"m","max_tokens":2,"max_completion_tokens":null}',
        b'{"model":"m","max_completion_tokens":2,"max_tokens":null}',
    ):
        assert body_of(provider, body) == b'{"model":"m","max_tokens":2}'


@pytest.mark.parametrize("operation", ["passthrough", "responses", "messages", "rerank"])
def test_other_bodies_are_left_alone(operation: str) -> None:
    """Quirks concern OpenAI's chat, completions and embeddings; what another dialect calls `n` is its own."""
    row = {"refuse": ["n"], "drop": ["user"], "rename": {"seed": "random_seed"}}
    provider = own(row, operations=["chat", "passthrough", "responses", "messages", "rerank"])
    body = b'{"model":"m","n":2,"seed":1,"user":"u","messages":[{"role":"developer"}]}'
    assert provider.prepare(exchange(provider, body, operation, path="/v1/x")).body == body


# turns of the assistant


def test_turns_hold_only_what_the_vendor_knows() -> None:
    """What another vendor said beside its words is left out where it is an error, and named where it says something."""
    told = {
        "role": "assistant",
        "content": "a",
        "refusal": None,
        "annotations": [],
        "reasoning_details": [{"text": "t"}],
    }
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    called = {"role": "assistant", "content": None, "tool_calls": [{**call, "extra_content": {"x": 1}}]}
    unnamed = {"role": "assistant", "content": "b", "tool_calls": None, "reasoning_content": "hm"}
    body = {"model": "m", "messages": [{**USER, "annotations": [1]}, told, called, unnamed]}
    provider = own({"turn": ["tool_calls", "reasoning"]})
    ex = exchange(provider, body)
    assert json.loads(held(provider.prepare(ex)))["messages"] == [
        {**USER, "annotations": [1]},
        {"role": "assistant", "content": "a"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "assistant", "content": "b", "reasoning": "hm"},
    ]
    assert ex.dropped == ["messages[1].reasoning_details", "messages[2].tool_calls[0].extra_content"]


def test_fireworks_is_sent_what_it_knows() -> None:
    """Signed thinking of others is an error there, its own thinking goes back, and a call without a type has the usual one."""
    call = {"id": "c", "type": None, "function": {"name": "f", "arguments": "{}"}}
    turn = {"role": "assistant", "content": "a", "reasoning_content": "hm", "reasoning": "hm", "tool_calls": [call]}
    provider = deploy_row("fireworks")
    ex = exchange(provider, {"model": "m", "messages": [USER, turn]})
    assert json.loads(held(provider.prepare(ex)))["messages"][1] == {
        "role": "assistant",
        "content": "a",
        "reasoning_content": "hm",
        "tool_calls": [{**call, "type": "function"}],
    }
    assert ex.dropped == ["messages[1].reasoning"]


def test_a_refusal_stays_what_was_said() -> None:
    """A turn that was nothing but a refusal says it as its content; one that has thinking of its own keeps that."""
    provider = own({"turn": ["reasoning"]})
    turns = [
        {"role": "assistant", "content": None, "refusal": "no"},
        {"role": "assistant", "content": "a", "reasoning": "hm", "reasoning_content": "hm"},
    ]
    ex = exchange(provider, {"model": "m", "messages": turns})
    assert json.loads(held(provider.prepare(ex)))["messages"] == [
        {"role": "assistant", "content": "no"},
        {"role": "assistant", "content": "a", "reasoning": "hm"},
    ]
    assert ex.dropped == ["messages[1].reasoning_content"]


@pytest.mark.parametrize(
    "messages",
    [
        '[{"role": "assistant", "content": "a"}]',
        '[{"role":"assistant",  "tool_calls":[{"id":"c","type":"function","function":{}}]}]',
        '[{"role":"user","content":"\\"assistant\\"", "x":1}, {"role":"user","name":"assistant", "x":1}]',
        '{"role":"assistant", "x":1}',
        '["assistant", "x"]',
        '[{"role":"assistant",  "tool_calls":["x"]}]',
    ],
)
def test_turns_of_known_members_keep_their_bytes(messages: str) -> None:
    """Nothing is rewritten where nothing is unknown, nor what is no turn at all."""
    body = f'{{"model":"m", "messages":{messages}}}'.encode()
    assert body_of(own({"turn": ["tool_calls"]}), body) == body


# the role of developers


def test_developers_become_system() -> None:
    """A vendor that has no role `developer` gets `system`; every other message keeps its bytes."""
    body = b'{"model":"m","messages":[ {"role" : "user","content":"developer 1.0"},{"content":"be","role":"developer"}], "n":1 }'
    sent = body_of(own({}), body)
    assert sent == (
        b'{"model":"m","messages":[{"role" : "user","content":"developer 1.0"},{"content":"be","role":"system"}],"n":1}'
    )
    assert body_of(own({"developer": True}), body) == body


@pytest.mark.parametrize(
    "messages", [b'"developer"', b'{"role":"developer"}', b'["developer"]', b'[{"x":"developer"}]']
)
def test_odd_messages_are_the_vendors_to_refuse(messages: bytes) -> None:
    """What is no list of messages goes on as it came."""
    body = b'{"model":"m", "messages":' + messages + b"}"
    assert body_of(own({}), body) == body


# translated bodies


async def test_quirks_meet_translated_bodies() -> None:
    """A translated request is renamed, refused and dropped like a client's own."""
    provider = own({"rename": {"max_completion_tokens": "max_tokens"}, "refuse": ["stop"]})
    sent, dropped = await send(provider, messages_request(USER))
    assert sent == {"model": "m", "messages": [USER], "max_tokens": 64}
    assert dropped == []
    with pytest.raises(UnsupportedField, match="`stop`"):
        await send(provider, messages_request(USER, stop_sequences=["x"]))
    sent, dropped = await send(provider, messages_request(USER, stop_sequences=["x"]), headers=DROP)
    assert ("stop" in sent, dropped) == (False, ["stop"])


async def test_quirks_meet_translated_embeddings() -> None:
    """So are embeddings, which only one dialect asks for today."""
    upstream = ReplayUpstream({"*": OK})
    provider = deploy_row("voyage", upstream)
    ex = exchange(
        provider, {"model": "m", "input": "hi", "dimensions": 3, "user": "u", "encoding_format": "float"}, "embeddings"
    )
    assert json.loads(held(provider.prepare(ex))) == {"model": "m", "input": "hi", "output_dimension": 3}
    assert ex.dropped == ["user"]


STRINGS = st.text(alphabet='a"\\\u00e9\u2028 :{', max_size=6)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | STRINGS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(STRINGS, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(["a", "b", "c", "d"]), JSON), st.booleans())
def test_values_keep_their_bytes(members: dict[str, Any], is_spaced: bool) -> None:
    """Whatever a body holds, a rename moves values byte for byte and keeps their order."""
    body = json.dumps(members, separators=None if is_spaced else (",", ":")).encode()
    sent = Quirks(rename={"a": "A", "b": "B"}).apply(body, Gaps("x"))
    assert list(json.loads(sent).items()) == [({"a": "A", "b": "B"}.get(k, k), v) for k, v in members.items()]
    for value in msgspec.json.decode(body, type=dict[str, msgspec.Raw]).values():
        assert bytes(value) in sent
    if members.keys().isdisjoint({"a", "b"}):
        assert sent == body


@given(st.dictionaries(st.sampled_from(["a", "b", "c", "messages"]), JSON))
def test_what_is_taken_out_is_all_that_goes(members: dict[str, Any]) -> None:
    """Dropping fields changes nothing else, whatever the body holds."""
    gaps = Gaps("x", "drop")
    sent = json.loads(Quirks(refuse=["a"], drop=["b"]).apply(msgspec.json.encode(members), gaps))
    assert {name: value for name, value in members.items() if name not in {"a", "b"}} | sent == (
        {name: value for name, value in members.items() if name != "b" and (name != "a" or value is None)}
    )
    assert set(gaps.dropped) == {name for name in ("a", "b") if members.get(name) is not None}
