"""Bodies as bytes: what is refused, and edits that leave every other byte alone."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from typing import Any, cast

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from headgate.body import MAX_DEPTH, MAX_KEYS, Probe, decode_object, encode_with_model, probe_body, replace_paths
from headgate.errors import InvalidRequest

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=12)
TRICKY = st.sampled_from(
    ["model", 'model"', '"model":', '"model":"x"', "mod\\u0065l", "Model", "\\", '\\"', "\\\\", "{", "}", "[", ":", '"']
)
KEYS = (st.text(max_size=5) | TRICKY).filter(lambda key: key != "model")
MEMBERS = st.lists(st.tuples(KEYS, VALUES | TRICKY | st.dictionaries(TRICKY, TRICKY)), max_size=6)


@st.composite
def spelled(draw: st.DrawFn, text: str) -> str:
    """A JSON string that reads `text`, with any of its characters escaped in any way JSON allows."""
    out: list[str] = []
    for character in text:
        plain = json.dumps(character, ensure_ascii=False)[1:-1]
        escaped = "".join(f"\\u{unit:04x}" for unit in _units(character))
        out.append(draw(st.sampled_from([plain, plain, plain, escaped, escaped.upper().replace("\\U", "\\u")])))
    return '"' + "".join(out) + '"'


def _units(character: str) -> list[int]:
    data = character.encode("utf-16-be", "surrogatepass")
    return [int.from_bytes(data[at : at + 2]) for at in range(0, len(data), 2)]


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """A JSON object with at least one `model` key, spelled any way, anywhere, with any white space."""
    space = st.sampled_from(["", "", " ", "\n\t "])
    written: list[str] = []
    for key, value in draw(MEMBERS):
        text = json.dumps(value, ensure_ascii=draw(st.booleans()))
        written.append(f"{draw(space)}{draw(spelled(key))}{draw(space)}:{draw(space)}{text}{draw(space)}")
    for _ in range(draw(st.integers(1, 3))):
        model = draw(spelled(draw(st.text(max_size=6) | TRICKY)))
        member = f"{draw(spelled('model'))}{draw(space)}:{draw(space)}{model}"
        written.insert(draw(st.integers(0, len(written))), member)
    return ("{" + ",".join(written) + "}").encode("utf-8", "replace")


brief = settings(max_examples=60, deadline=None)


def nested(depth: int, kinds: str) -> bytes:
    """JSON of exactly this depth whose levels are objects `o` or arrays `a`, in turn; the outermost is an object."""
    head = tail = b""
    for level in range(depth):
        if level == 0 or kinds[level % len(kinds)] == "o":
            head, tail = head + b'{"a":', b"}" + tail
        else:
            head, tail = head + b"[", b"]" + tail
    return head + b"1" + tail


# probing


@settings(deadline=None)
@given(st.binary())
@example(b"")
@example(b"[]")
@example(b"null")
@example(b"\xef\xbb\xbf{}")
@example(b'{"model":"\xff"}')
@example(b'{"model":"\\ud800"}')
@example(b'{"x":"\\ud800"}')
@example(b'{"\\udc00":1}')
@example(b'{"a":' + b"[" * 100_000)
@example(b"[" * 100_000)
@example(b"[" * 50_000 + b"]" * 50_000)
@example(b'{"a":' * 50_000)
@example(b'{"max_tokens":' + b"9" * 10_000 + b"}")
@example(b'{"user":-' + b"9" * 4301 + b"}")
@example(b'{"user":1e999}')
@example(b'{"metadata":{"a":1e-999}}')
@example(b'{"model":5}')
@example(b'{"stream":"yes"}')
@example(b'{"a":1}{"b":2}')
@example(b'{"a":\\"}')
def test_any_bytes_are_a_probe_or_refused(body: bytes) -> None:
    """Whatever the bytes are, the answer is a Probe or InvalidRequest with status 400, and nothing else."""
    found = probed(body)
    if isinstance(found, InvalidRequest):
        assert found.status == 400
        assert "\n" not in found.message
        assert len(found.message) < 300
    else:
        assert isinstance(found.model, str | None)
        assert isinstance(decode_object(body), dict)


def probed(body: bytes) -> Probe | InvalidRequest:
    try:
        return probe_body(body)
    except InvalidRequest as error:
        return error


@brief
@given(st.recursive(st.sampled_from(list('{}[]:,"\\ua0 \n')), lambda inner: st.lists(inner).map("".join)))
def test_any_near_json_is_a_probe_or_refused(text: str) -> None:
    """Text made of JSON's own signs is understood or refused as any other."""
    with contextlib.suppress(InvalidRequest):
        probe_body(text.encode())


@settings(deadline=None)
@given(st.binary())
@example(b'{"a":' + b"1" * 10_000 + b"}")
@example(b'{"a":"\\ud800"}')
@example(b"[" * 100_000)
def test_decoding_gives_an_object_or_refuses(body: bytes) -> None:
    """The whole body as a dictionary, or InvalidRequest."""
    with contextlib.suppress(InvalidRequest):
        assert isinstance(decode_object(body), dict)


@brief
@given(bodies())
def test_the_last_key_counts(body: bytes) -> None:
    """Of repeated keys, however they are spelled, the probe reads the last, as Python's own JSON does."""
    assert probe_body(body).model == json.loads(body)["model"]


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        (b'{"model":5}', "invalid_request", "model"),
        (b'{"stream":"yes"}', "invalid_request", "stream"),
        (b"[1]", "invalid_request", None),
        (b'{"model":"a"', "invalid_json", None),
        (b'{"model":"\xff"}', "invalid_utf8", None),
        (b'{"x":"\xed\xa0\x80"}', "invalid_utf8", None),
        (b'{"x":"\xc0\xaf"}', "invalid_utf8", None),
    ],
)
def test_a_refusal_says_what_is_wrong(body: bytes, code: str, param: str | None) -> None:
    """The code tells syntax from encoding from type, and the parameter names the member."""
    with pytest.raises(InvalidRequest) as caught:
        probe_body(body)
    assert (caught.value.error_code, caught.value.param) == (code, param)


def test_members_that_are_absent_are_none() -> None:
    """An empty object is a valid body without any member."""
    assert probe_body(b" {} \n") == Probe()


# limits


@pytest.mark.parametrize("kinds", ["o", "a", "oa", "ao", "oaa", "aoo"])
def test_the_depth_limit_is_exact(kinds: str) -> None:
    """64 levels pass and 65 do not, whatever they are made of."""
    probe_body(nested(MAX_DEPTH, kinds))
    with pytest.raises(InvalidRequest) as caught:
        probe_body(nested(MAX_DEPTH + 1, kinds))
    assert caught.value.error_code == "too_deep"


@pytest.mark.parametrize("kinds", ["o", "a", "oa"])
def test_depth_is_not_length(kinds: str) -> None:
    """Many siblings at the deepest level, and brackets inside strings, do not count as depth."""
    flat = nested(MAX_DEPTH - 1, kinds)
    text = b"[{" * 1000
    body = b'{"a":[%b,"%b","\\"[[","\\\\",%b]}' % (b"[]," * 5000 + b"{}", text, flat[5:-1] if kinds == "o" else b"1")
    probe_body(body)


def test_the_key_limit_is_exact() -> None:
    """65,536 keys pass and one more does not; colons in strings are no keys."""

    def body(keys: int) -> bytes:
        return b'{"%b":1,%b}' % (b":" * 1000, b",".join(b'"k%d":0' % at for at in range(keys - 1)))

    probe_body(body(MAX_KEYS))
    with pytest.raises(InvalidRequest) as caught:
        probe_body(body(MAX_KEYS + 1))
    assert caught.value.error_code == "too_many_keys"


ADVERSARIAL: dict[str, Callable[[int], bytes]] = {
    "open": lambda size: b"[" * size,
    "open objects": lambda size: b'{"a":' * (size // 5),
    "quotes": lambda size: b'{"a":[' + b"[" * 65 + b'"",' * (size // 3),
    "escapes": lambda size: b'{"a":"' + b"[" * 65 + b"\\\\" * (size // 2) + b'"}',
    "escaped quotes": lambda size: b'{"a":"' + b"[" * 65 + b'\\"' * (size // 2) + b'"}',
    "siblings": lambda size: b'{"a":[' + b"[]," * (size // 3) + b"1]}",
    "models": lambda size: b'{"model":"a","x":[' + b'"model":' * (size // 8) + b"1]}",
    "model strings": lambda size: b'{"model":"a","x":[' + b'"\\"model\\":\\"",' * (size // 15) + b"1]}",
    "model spaces": lambda size: b'{"model"' + b" " * size + b':"a"}',
    "unicode": lambda size: b'{"model":"' + b"\\u006d" * (size // 6) + b'"}',
}


@pytest.mark.parametrize("name", ADVERSARIAL)
def test_hostile_bodies_of_five_megabytes_are_answered(name: str) -> None:
    """Five megabytes of what is worst for a scanner end in a Probe or a refusal; the pytest limit would catch a square."""
    body = ADVERSARIAL[name](5 * 1024 * 1024)
    with contextlib.suppress(InvalidRequest):
        probe_body(body)
        encode_with_model(body, "other", {})


# another model


@brief
@given(bodies(), st.text(max_size=8) | TRICKY)
def test_the_provider_sees_the_model_and_nothing_else_changed(body: bytes, model: str) -> None:
    """With the last key winning, the new body reads as the old one but for `model`, in the same order of keys."""
    changed = encode_with_model(body, model, {})
    before, after = json.loads(body), json.loads(changed)
    assert after.pop("model") == model
    before.pop("model")
    assert after == before
    assert list(json.loads(changed)) == list(json.loads(body))
    assert probe_body(changed).model == model


@brief
@given(bodies(), st.text(max_size=8) | TRICKY)
def test_no_reader_finds_another_model(body: bytes, model: str) -> None:
    """A body that names a model more than once, or hides the name in escapes, leaves with exactly one `model`."""
    if json.loads(body)["model"] == model:
        return
    pairs = json.loads(encode_with_model(body, model, {}), object_pairs_hook=list)
    assert [value for key, value in pairs if key == "model"] == [model]


@brief
@given(bodies(), st.text(max_size=4))
def test_every_value_keeps_its_bytes(body: bytes, model: str) -> None:
    """Numbers keep their digits and strings their escapes, whichever way the body was put together."""
    raw = msgspec.json.Decoder(dict[str, msgspec.Raw])
    before = {key: bytes(value) for key, value in raw.decode(body).items() if key != "model"}
    after = {
        key: bytes(value) for key, value in raw.decode(encode_with_model(body, model, {})).items() if key != "model"
    }
    assert after == before


PLAIN = b'{ "messages" : [{"role":"user","content":"say \\"model\\": \\"x\\""}],\n "model" : "a/b" , "temperature":1.00,"n":1e0}'


def test_a_plain_body_keeps_every_other_byte() -> None:
    """Where the model stands once, only its value is replaced: white space, number forms and order stay."""
    assert encode_with_model(PLAIN, "gpt", {}) == PLAIN.replace(b'"a/b"', b'"gpt"')


def test_the_same_model_is_the_same_bytes() -> None:
    """Nothing to change: the client's bytes, however they are written."""
    assert encode_with_model(PLAIN, "a/b", {}) == PLAIN


@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"a","model":"b"}',
        b'{"mod\\u0065l":"a","model":"b"}',
        b'{"model":"b","\\u006D\\u006f\\u0064\\u0065\\u006C":"a"}',
        b'{"x":{"model":"c"},"model":"b"}',
        b'{"x":[{"model":"c"}],"mode\\u006c":"b"}',
        b'{"x":"\\"model\\":\\"c\\"","model":"b"}',
        b'{"say \\"model":"c","model":"b"}',
        b'{"say \\"model":"c","mod\\u0065l":"b"}',
        b'{"x\\\\":"\\"model\\"","model":"b"}',
        b'{"model":"\\u0062"}',
        b'{"model":null,"model":"b"}',
    ],
)
def test_smuggled_models_do_not_get_through(body: bytes) -> None:
    """Repeated, escaped, nested and quoted model names: the provider's reader finds the gateway's model alone."""
    assert probe_body(body).model in {"a", "b"}
    changed = encode_with_model(body, "good", {})
    pairs = cast("list[tuple[str, Any]]", json.loads(changed, object_pairs_hook=lambda held: held))
    assert [value for key, value in pairs if key == "model"] == ["good"]
    assert [key for key, _ in pairs if key != "model"] == [
        key for key in dict(json.loads(body, object_pairs_hook=lambda held: held)) if key != "model"
    ]


@brief
@given(bodies(), st.dictionaries(st.text(max_size=4), VALUES, max_size=3))
def test_overrides_replace_whole_members(body: bytes, overrides: dict[str, Any]) -> None:
    """`override_params` win over the caller's members; members of new names come last."""
    overrides.pop("model", None)
    changed = json.loads(encode_with_model(body, "m", overrides))
    assert changed == {**json.loads(body), **json.loads(json.dumps(overrides)), "model": "m"}


# replacing text


@settings(deadline=None)
@given(VALUES, st.text())
def test_replacing_copies_only_the_way(value: Any, text: str) -> None:
    """The original is never changed, and what is beside the way is shared, not copied."""
    body: dict[str, Any] = {"messages": [{"content": "old", "other": value}], "rest": {"v": value}}
    kept = msgspec.json.encode(body)
    changed = replace_paths(body, [(("messages", 0, "content"), text)])
    assert msgspec.json.encode(body) == kept
    assert changed["messages"][0]["content"] == text
    assert changed["messages"][0]["other"] is value
    assert changed["rest"] is body["rest"]
    assert list(changed) == list(body)


def test_several_places_are_replaced_at_once() -> None:
    """Changes below the same parent do not undo each other."""
    body = {"a": [{"t": "1"}, {"t": "2", "u": ["3", "4"]}], "p": "5"}
    changes = [(("a", 0, "t"), "one"), (("a", 1, "u", 1), "four"), (("a", 1, "t"), "two"), (("p",), "five")]
    assert replace_paths(body, changes) == {"a": [{"t": "one"}, {"t": "two", "u": ["3", "four"]}], "p": "five"}
    assert body == {"a": [{"t": "1"}, {"t": "2", "u": ["3", "4"]}], "p": "5"}
    assert replace_paths(body, []) == body
