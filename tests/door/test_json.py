"""JSON from outside: everything that is not a valid request object is a 400, and reaches no provider."""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Iterable

import pytest
from tests.door.upstream import Upstream
from tests.harness import Answer, Gateway, Wire, ask, chat, post

MESSAGES = b'"messages":[{"role":"user","content":"hi"}]'

NOT_OBJECTS = (
    *(b"null", b"true", b"false", b"1", b"-0", b"1.5e3", b'"x"', b'""', b"[]", b"[{}]", b"[1]", b'["model","m"]'),
    *(b'[{"model":"m",' + MESSAGES + b"}]", b'"{\\"model\\":\\"m\\"}"', b"{}", b"{ }", b'{"messages":[]}'),
)
NOT_JSON = (
    *(b"", b" ", b"\n", b"\x00", b"nul", b"True", b"undefined", b"{", b"}", b"[", b"]", b'"', b"{]", b"[}", b":", b","),
    *(b"model=m&stream=true", b"<html></html>", b"PRI * HTTP/2.0", b"{'model':'m'}", b'{model:"m"}', b"\xff" * 40),
    gzip.compress(b'{"model":"m"}'),
)
BAD_VALUES = (
    # words and numbers
    *(b"nul", b"NULL", b"True", b"FALSE", b"tru", b"truee", b"undefined", b"NaN", b"-NaN", b"nan", b"Infinity"),
    *(b"-Infinity", b"inf", b"+1", b"-", b"--1", b"-+1", b"01", b"-01", b"00", b"1.", b"-1.", b".5", b"-.5", b"1.e5"),
    *(b"1e", b"1e+", b"1e-", b"1E", b"1e1.5", b"1.2.3", b"1eE2", b"0x1F", b"0b1", b"0o7", b"1_000", b"1,", b"1 2"),
    *(b"1a", b"1/2", b"\xef\xbc\x91", b"\xd9\xa1", b"-Inf", b"1e1e1", b"0e", b"0e+", b"- 1", b"1 000.0", b"$1", b"1f"),
    # strings
    *(
        b'"',
        b'"a',
        b'a"',
        b"'a'",
        b"`a`",
        b'"\\"',
        b'"\\x41"',
        b'"\\a"',
        b'"\\u"',
        b'"\\u00"',
        b'"\\u00G0"',
        b'"\\U0041"',
    ),
    *(b'"\\u 041"', b'"\\', b'"\\\\\\"', b'"\t"', b'"\n"', b'"\r"', b'"\x00"', b'"\x1f"', b'"a\x0bb"', b'"a" "b"'),
    *(b'"\\ud800\\"', b'"a\\\nb"', b'"\\0"', b"\\u0041", b'"\\u{41}"', b'u"a"', b'"a"b', b"\xe2\x80\x9ca\xe2\x80\x9d"),
    # arrays and objects
    *(b"[", b"]", b"[1", b"1]", b"[1,]", b"[,1]", b"[1,,2]", b"[1 2]", b"[1;2]", b"[1}", b"[:]", b"[1:2]", b"[,]"),
    *(b"(1)", b"{", b"{1}", b"{1:2}", b"{a:1}", b"{'a':1}", b'{"a"}', b'{"a":}', b'{"a" 1}', b'{"a"=1}', b'{"a":1,}'),
    *(b'{,"a":1}', b'{"a":1,,"b":2}', b'{"a":1 "b":2}', b'{"a"::1}', b'{"a":1:2}', b'{"a":1]', b"{null:1}", b"{[]:1}"),
    *(b'{"a":1}}', b"[1]]", b'{"a":[}', b'[{"a":1]}', b"[[[[", b"{}}", b"[]]", b'{"a":"b"', b"{{}}", b"[{]}"),
    # between values
    *(b"", b" ", b",", b":", b"1 //c", b"1 /*c*/", b"/**/1", b"#1", b"\x0c1", b"\x0b1", b"\xc2\xa01", b"\xe2\x80\xa81"),
    *(
        b"\xe2\x81\xa01",
        b"1\x00",
        b"\x001",
        b"*",
        b"@",
        b"&",
        b"<1>",
        b"!1",
        b"...",
        b"\\1",
        b"1;",
        b"[1]#",
        b"\xef\xbb\xbf1",
    ),
)
BAD_UTF8 = (
    *(
        b"\xff",
        b"\xfe",
        b"\x80",
        b"\xbf",
        b"\xc0\xaf",
        b"\xc1\xbf",
        b"\xe0\x80\xaf",
        b"\xe0\x9f\xbf",
        b"\xf0\x80\x80\xaf",
    ),
    *(
        b"\xf0\x8f\xbf\xbf",
        b"\xf4\x90\x80\x80",
        b"\xf5\x80\x80\x80",
        b"\xf8\x88\x80\x80\x80",
        b"\xfc\x84\x80\x80\x80\x80",
    ),
    *(
        b"\xed\xa0\x80",
        b"\xed\xbf\xbf",
        b"\xed\xa0\xbd\xed\xb8\x80",
        b"\xc3",
        b"\xe2\x82",
        b"\xf0\x9f\x98",
        b"\xe9",
        b"a\xe4b",
    ),
)
GOOD_VALUES = (
    *(b"null", b"true", b"false", b"0", b"-0", b"1", b"-1", b"0.5", b"-0.0", b"1e5", b"1E5", b"1e+5", b"1E-5", b"0e0"),
    *(b"123456789012345678901234567890", b"0.1234567890123456789", b"1e308", b"1e-999", b"[]", b"{}", b"[[]]", b"[{}]"),
    *(b'""', b'"a"', b'"\\""', b'"\\\\"', b'"\\/"', b'"\\b\\f\\n\\r\\t"', b'"\\u0041"', b'"\\u00e9"', b'"\\uD83D\\uDE00"'),
    *(b'"\xc3\xa9"', b'"\xf0\x9f\x98\x80"', b'"\xe2\x80\xa8"', b'"\x7f"', b'"/"', b'"\\u0000"', b'"[{]}"', b'"\\\\\\""'),
    *(b" 1 ", b"\t[\n1\r,\r\n2 ] ", b'{"a":1,"b":[1,{"c":null}]}', b'{"":0}', b'{"a":1,"a":2}'),
    *(b'"\xef\xbb\xbf"', b'"\xf4\x8f\xbf\xbf"'),
)  # fmt: skip


def with_value(value: bytes) -> bytes:
    """A chat request that holds `value` in a member of no meaning."""
    return b'{"model":"m","x":' + value + b"," + MESSAGES + b"}"


def with_last_value(value: bytes) -> bytes:
    """As `with_value`, at the end."""
    return b'{"model":"m",' + MESSAGES + b',"x":' + value + b"}"


def is_refused(answer: Answer) -> bool:
    return answer.status == 400 and answer.error["type"] == "invalid_request_error"


async def misjudged(gateway: Gateway, bodies: Iterable[bytes]) -> dict[bytes, object]:
    """Bodies that were not answered with a 400 and its envelope, with what came instead."""
    wrong: dict[bytes, object] = {}
    for body in bodies:
        answer = await ask(gateway, post(body))
        if not is_refused(answer):
            wrong[body[:80]] = answer.status, answer.body[:200]
    return wrong


@pytest.mark.parametrize(
    "bodies",
    [
        pytest.param(NOT_OBJECTS, id="not an object"),
        pytest.param(NOT_JSON, id="not json"),
        pytest.param([with_value(value) for value in BAD_VALUES], id="bad value"),
        pytest.param([with_last_value(value) for value in BAD_VALUES], id="bad last value"),
        pytest.param([with_value(b'"' + text + b'"') for text in BAD_UTF8], id="bad utf-8 in a string"),
        pytest.param([with_value(b'{"' + text + b'":1}') for text in BAD_UTF8], id="bad utf-8 in a key"),
        pytest.param([with_value(b"1").replace(b"hi", text) for text in BAD_UTF8], id="bad utf-8 in a message"),
    ],
)
async def test_invalid_json_is_refused(gateway: Gateway, upstream: Upstream, bodies: list[bytes]) -> None:
    """What RFC 8259 does not allow, or is no object, is a 400 with the error envelope; no provider sees it."""
    assert await misjudged(gateway, bodies) == {}
    assert upstream.calls == []


async def test_valid_json_is_relayed_unchanged(gateway: Gateway, upstream: Upstream) -> None:
    """What RFC 8259 allows is taken, and the provider receives every byte but the model's name."""
    wrong: list[bytes] = []
    async with Wire.open(gateway) as wire:
        for value in GOOD_VALUES:
            body = with_value(value)
            await wire.send(post(body))
            answer = await wire.answer()
            if answer.status != 200 or upstream.calls[-1].body != body.replace(b'"m"', b'"some-model"', 1):
                wrong.append(value)
    assert wrong == []
    assert len(upstream.calls) == len(GOOD_VALUES)


async def test_byte_order_marks_and_other_encodings_are_refused(gateway: Gateway, upstream: Upstream) -> None:
    """JSON travels as UTF-8 without a byte order mark (RFC 8259 section 8.1)."""
    text = chat().decode()
    encodings = ("utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-7")
    bodies = [b"\xef\xbb\xbf" + chat(), b"\xef\xbb\xbf", b"\xff\xfe", *(text.encode(name) for name in encodings[:-1])]
    assert await misjudged(gateway, bodies) == {}
    assert upstream.calls == []


async def test_truncated_json_is_refused_at_every_byte(gateway: Gateway, upstream: Upstream) -> None:
    """A body that ends early is invalid wherever it ends."""
    body = chat(stream=True, temperature=0.5, stop=["\u00e9", "\\"])
    assert await misjudged(gateway, (body[:size] for size in range(len(body)))) == {}
    assert upstream.calls == []


async def test_text_behind_the_object_is_refused(gateway: Gateway, upstream: Upstream) -> None:
    """One request is one object: anything but white space behind it is invalid."""
    tails = (b"x", b"{}", b",", b"}", b"\x00", chat(), b"//", b"\x0c", b"]", b"1")
    assert await misjudged(gateway, (chat() + tail for tail in tails)) == {}
    assert upstream.calls == []
    assert (await ask(gateway, post(b" \r\n\t" + chat() + b" \r\n\t"))).status == 200


@pytest.mark.parametrize(
    ("start", "end"), [(b"[", b"]"), (b'{"a":', b"}"), (b'[{"a":', b"}]"), (b'{"a":[', b"]}")], ids=str
)
async def test_depth_is_limited_to_64(gateway: Gateway, upstream: Upstream, start: bytes, end: bytes) -> None:
    """64 levels, the request object among them, are taken; 65 and any more are a 400, as fast as any other."""
    step = start.count(b"[") + start.count(b"{")
    fits = 63 // step
    allowed = with_value(start * fits + b"1" + end * fits)
    assert (await ask(gateway, post(allowed))).status == 200
    for levels in (64 // step + 1, 100, 1_000, 10_000, 100_000):
        started = time.monotonic()
        answer = await ask(gateway, post(with_value(start * levels + b"1" + end * levels)))
        assert is_refused(answer), levels
        assert time.monotonic() - started < 1.0
        assert is_refused(await ask(gateway, post(with_value(start * levels)))), levels
    assert len(upstream.calls) == 1


async def test_brackets_inside_strings_are_no_depth(gateway: Gateway, upstream: Upstream) -> None:
    """Only structure counts as depth: text may hold any number of brackets and quotes."""
    text = "[{" * 5000 + '"\\' * 500 + "]" * 10
    assert (await ask(gateway, post(chat(x=text)))).status == 200
    assert upstream.calls[0].json["x"] == text


@pytest.mark.parametrize("shape", ["flat", "nested", "many small"])
async def test_hundred_thousand_keys_are_refused(gateway: Gateway, upstream: Upstream, shape: str) -> None:
    """A body of 100,000 keys is a 400, wherever the keys are, and holds nobody up."""
    keys = b",".join(b'"k%d":0' % number for number in range(100_000))
    small = b",".join([b'{"a":0}'] * 100_000)
    value = {"flat": b"0," + keys, "nested": b"{" + keys + b"}", "many small": b"[" + small + b"]"}[shape]
    started = time.monotonic()
    assert is_refused(await ask(gateway, post(with_value(value))))
    assert time.monotonic() - started < 1.0
    assert upstream.calls == []


async def test_long_numbers_and_keys_do_no_harm(gateway: Gateway, upstream: Upstream) -> None:
    """Numbers of 10,000 digits, huge exponents and a model name of a megabyte are taken or refused, and soon."""
    values = [b"1" * 10_000, b"-" + b"9" * 10_000, b"0." + b"1" * 10_000, b"1e" + b"9" * 400, b"-1e999999999", b"1e999"]
    bodies = [with_value(value) for value in values]
    bodies += [chat(max_tokens=10**4000), b'{"model":"' + b"m" * 1_000_000 + b'"}', b'{"' + b"m" * 1_000_000 + b'":1}']
    for body in bodies:
        started = time.monotonic()
        answer = await ask(gateway, post(body))
        assert answer.status in {200, 400, 404}, answer
        assert time.monotonic() - started < 1.0


@pytest.mark.parametrize("value", [None, True, 0, 1, 1.5, [], ["m"], {}, {"m": 1}, ""], ids=repr)
async def test_model_of_the_wrong_type_is_refused(gateway: Gateway, upstream: Upstream, value: object) -> None:
    """`model` is a string that is not empty; the error names it."""
    answer = await ask(gateway, post(chat(model=value)))
    assert is_refused(answer)
    assert answer.error["param"] == "model"
    assert upstream.calls == []


@pytest.mark.parametrize("value", ["true", "", 0, 1, 1.0, [], [True], {}], ids=repr)
async def test_stream_of_the_wrong_type_is_refused(gateway: Gateway, upstream: Upstream, value: object) -> None:
    """`stream` is a boolean or null; the error names it."""
    body = json.dumps({**json.loads(chat()), "stream": value}).encode()
    answer = await ask(gateway, post(body))
    assert is_refused(answer)
    assert answer.error["param"] == "stream"
    assert upstream.calls == []


@pytest.mark.parametrize("target", [b"/v1/completions", b"/v1/embeddings"], ids=str)
async def test_other_operations_refuse_as_well(gateway: Gateway, upstream: Upstream, target: bytes) -> None:
    """Completions and embeddings read their bodies by the same rules."""
    bodies = [*NOT_OBJECTS, *NOT_JSON, b'{"model":1}', b'{"model":"m","x":' + b"[" * 100 + b"]" * 100 + b"}"]
    wrong: list[bytes] = []
    for body in bodies:
        answer = await ask(gateway, post(body, target=target))
        if not is_refused(answer):
            wrong.append(body)
    assert wrong == []
    assert upstream.calls == []


@pytest.mark.parametrize(
    "members",
    [
        b'"model":"m","model":"nobody"',
        b'"model":"nobody","model":"m"',
        b'"model":"m","mod\\u0065l":"nobody"',
        b'"mod\\u0065l":"nobody","model":"m"',
        b'"model":"m","\\u006dodel":"m"',
        b'"x":{"model":"nobody"},"model":"m"',
        b'"x":"\\"model\\":\\"nobody\\"","model":"m"',
        b'"model" : "m"',
    ],
)
async def test_repeated_model_is_read_as_the_provider_reads_it(
    gateway: Gateway, upstream: Upstream, members: bytes
) -> None:
    """Where a key is repeated the last one counts, and what was judged is all that the provider gets to see."""
    answer = await ask(gateway, post(b"{" + members + b"," + MESSAGES + b"}"))
    body = b"{" + members + b"}"
    if json.loads(body)["model"] != "m":
        assert answer.status == 404
        assert upstream.calls == []
        return
    assert answer.status == 200
    sent: list[tuple[str, object]] = json.loads(upstream.calls[0].body, object_pairs_hook=list)
    assert [value for name, value in sent if name == "model"] == ["some-model"]
