"""Writer's bare texts and bare files, as clients of OpenAI's completions and files ask for them and read them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import openai.types
import pytest
from providers.compatible.tests.asking import Json, Vendor, at, sent
from providers.compatible.tests.calls import body_of, deploy_row, exchange

from headgate.errors import ProviderError, UnsupportedField
from headgate.exchange import Exchange, Reply
from headgate.testing import Recorded, ReplayUpstream

ASKED: Json = {"prompt": "Hi", "max_tokens": 9, "stop": ["."], "temperature": 0.2, "top_p": 0.9, "best_of": 2}
ANSWER: Json = {"choices": [{"text": "Hello", "log_probs": None}], "model": "palmyra-x5"}
IDLE: Json = {"n": 1, "echo": False, "logprobs": None, "presence_penalty": 0, "frequency_penalty": 0.0, "suffix": None}
FILE: Json = {
    "id": "1862f090",
    "created_at": "2024-06-24T12:34:56Z",
    "name": "test.txt",
    "graph_ids": [],
    "status": "in_progress",
}


async def test_a_completion() -> None:
    """What Writer has is sent under its names; its answer gets what OpenAI's clients need, and no usage."""
    async with at("writer") as vendor:
        vendor.answer(ANSWER)
        asked = {"model": "mine/palmyra-x5", **ASKED, **IDLE, "seed": 5, "user": "u", "prompt": ["Hi"]}
        status, told = await vendor.ask("POST", "/v1/completions", asked)
        assert sent(vendor.calls[0]) == (
            "POST",
            "https://api.writer.com/v1/completions",
            {"model": "palmyra-x5", **ASKED, "random_seed": 5},
        )
        assert (status, vendor.dropped) == (200, "user")
    said = openai.types.Completion.model_validate(told)
    assert (said.object, said.model, said.usage) == ("text_completion", "palmyra-x5", None)
    assert said.id.startswith("cmpl-req_")
    assert said.created > 1_700_000_000
    assert [(each.index, each.text, each.finish_reason) for each in said.choices] == [(0, "Hello", "stop")]


@pytest.mark.parametrize(
    ("members", "field"),
    [
        ({"n": 2}, "n"),
        ({"echo": True}, "echo"),
        ({"logprobs": 3}, "logprobs"),
        ({"suffix": "b"}, "suffix"),
        ({"logit_bias": {"5": 1}}, "logit_bias"),
        ({"presence_penalty": 1}, "presence_penalty"),
    ],
)
async def test_what_it_has_no_words_for(members: Json, field: str) -> None:
    """It is refused by name; let drop, the rest is sent and the reply names it."""
    asked = {"model": "mine/palmyra-x5", **ASKED, **members}
    async with at("writer") as vendor:
        vendor.answer(ANSWER)
        status, told = await vendor.ask("POST", "/v1/completions", asked)
        assert (status, told["error"]["param"], vendor.calls) == (400, field, [])
        status, _ = await vendor.ask("POST", "/v1/completions", asked, **{"x-headgate-unsupported": "drop"})
        assert (status, vendor.dropped, sent(vendor.calls[0])[2]) == (200, field, {"model": "palmyra-x5", **ASKED})


@pytest.mark.parametrize("prompt", [["a", "b"], [1, 2], [[1, 2]]])
def test_one_text(prompt: Sequence[object]) -> None:
    """Several texts and tokens cannot be sent."""
    provider = deploy_row("writer")
    with pytest.raises(UnsupportedField, match="`prompt` must be one text"):
        provider.prepare(exchange(provider, {"model": "m", "prompt": prompt}, "completions"))


@pytest.mark.parametrize("said", [{"choices": []}, {"choices": [{"text": None}]}, {"model": "m"}])
async def test_an_answer_without_texts(said: Json) -> None:
    """It is the vendor's mistake, and told as one."""
    async with at("writer") as vendor:
        vendor.answer(said)
        status, told = await vendor.ask("POST", "/v1/completions", {"model": "mine/palmyra-x5", **ASKED})
    assert (status, told["error"]["code"]) == (502, "upstream_bad_reply")


async def test_an_error() -> None:
    """Writer's error passes with its status and words."""
    async with at("writer") as vendor:
        vendor.answer(
            {"tpe": "fail.badRequest", "errors": [{"description": "no such model"}], "extras": {}}, status=400
        )
        status, told = await vendor.ask("POST", "/v1/completions", {"model": "mine/none", **ASKED})
        streamed, _ = await vendor.ask("POST", "/v1/completions", {"model": "mine/none", **ASKED, "stream": True})
    assert (status, streamed) == (400, 400)
    assert told["error"]["message"] == "no such model"


VALUES = b'data: {"value":""}\n\ndata: {"value":"Gr\xc3\xbc\xc3\x9fe"}\n\n: alive\n\ndata: {"value":" [1]"}\n\n'


async def streamed(raw: bytes, cuts: int = 4096, **changes: Any) -> tuple[Exchange, Reply]:
    """The reply to a stream that comes in pieces of `cuts` bytes."""
    kind = (("content-type", "text/event-stream"),)
    answer = Recorded(headers=kind, body=raw, framing="chunked", sizes=(cuts,)).varied(**changes)
    provider = deploy_row("writer", ReplayUpstream({"*": answer}))
    ex = exchange(provider, {"model": "palmyra-x5", **ASKED, "stream": True}, "completions")
    return ex, await provider.call(ex)


@pytest.mark.parametrize("end", [b"", b"data: [DONE]\n\n", b"data: [DONE]"])
@pytest.mark.parametrize("cuts", [1, 7, 4096])
async def test_a_stream(end: bytes, cuts: int) -> None:
    """Each value is a chunk with the exchange's id, and the end, however the vendor says it, a reason and `[DONE]`."""
    ex, reply = await streamed(VALUES + end, cuts)
    said = await body_of(reply)
    chunks = [json.loads(line[6:]) for line in said.splitlines() if line.startswith(b"data: {")]
    assert [(each["choices"][0]["text"], each["choices"][0]["finish_reason"]) for each in chunks] == [
        ("", None),
        ("Grüße", None),
        (" [1]", None),
        ("", "stop"),
    ]
    assert {(each["id"], each["object"], each["model"]) for each in chunks} == {
        (f"cmpl-{ex.id}", "text_completion", "palmyra-x5")
    }
    openai.types.Completion.model_validate(chunks[-1])
    assert b": alive\n\n" in said
    assert said.count(b"[DONE]") == 1
    assert said.strip().endswith(b"data: [DONE]")
    assert reply.usage is None


async def test_a_stream_that_breaks_off() -> None:
    """No end is made up for one that its transport cuts, nor for one that is torn within an event."""
    _, reply = await streamed(VALUES, cut_at=len(VALUES) - 30)
    with pytest.raises(ProviderError, match="broken off"):
        await body_of(reply)
    _, reply = await streamed(VALUES[:-5])
    with pytest.raises(ProviderError, match="within an event"):
        await body_of(reply)


@pytest.mark.parametrize(
    ("event", "message"),
    [
        (b'data: {"error":{"message":"late"}}\n\n', "late"),
        (b"event: error\ndata: late\n\n", "late"),
        (b'event: error\ndata: {"tpe":"fail","errors":[{"description":"late","key":"k"}]}\n\n', "late"),
        (b"event: error\ndata: {}\n\n", "the provider ended the stream with an error"),
    ],
)
async def test_an_error_in_a_stream(event: bytes, message: str) -> None:
    """It has the member that OpenAI's client raises on, and no end is made up behind it."""
    _, reply = await streamed(VALUES + event)
    said = await body_of(reply)
    assert json.loads(said.splitlines()[-2].removeprefix(b"data: "))["error"]["message"] == message
    assert reply.has_error_event
    assert b'"stop"' not in said


async def test_an_error_before_a_stream() -> None:
    """It is an error reply, as of a request for a whole answer."""
    _, reply = await streamed(b'{"errors":[{"description":"no such model"}]}', status=400)
    assert (reply.status, reply.chunks) == (400, None)


# files


async def upload(vendor: Vendor, *parts: Any, **headers: str) -> tuple[int, Json]:
    """What the gateway answers to a form of these parts."""
    named = {"x-headgate-provider": "mine", **headers}
    reply = await vendor.client.post("/v1/files", files=list(parts), headers=named)
    vendor.dropped = reply.headers.get("x-headgate-dropped")
    return reply.status_code, reply.json()


PURPOSE = ("purpose", (None, "user_data"))


@pytest.mark.parametrize("is_first", [True, False], ids=["purpose before", "purpose behind"])
@pytest.mark.parametrize("content", [b"%PDF-1.7\r\n--a", b"0123456789" * 30_000], ids=["small", "large"])
async def test_an_upload(content: bytes, *, is_first: bool) -> None:
    """The body is the file and nothing else, whole, and headers say what it is; the answer says how large it was."""
    file = ("file", ("test.txt", content, "application/pdf"))
    async with at("writer") as vendor:
        vendor.answer(FILE)
        status, told = await upload(vendor, *((PURPOSE, file) if is_first else (file, PURPOSE)))
        [call] = vendor.calls
    assert (call.method, call.url) == ("POST", "https://api.writer.com/v1/files")
    assert (call.body, call.pieces) == (content, None)
    headers = dict(call.headers)
    assert headers[b"content-type"] == b"application/pdf"
    assert headers[b"content-disposition"] == b"attachment; filename=test.txt"
    assert status == 200
    made = openai.types.FileObject.model_validate(told)
    assert (made.id, made.bytes, made.filename, made.purpose) == ("1862f090", len(content), "test.txt", "user_data")
    assert (made.status, made.created_at) == ("uploaded", 1719232496)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("my file.txt", b"attachment; filename*=UTF-8''my%20file.txt"),
        ("Gr\u00fc\u00dfe.txt", b"attachment; filename*=UTF-8''Gr%C3%BC%C3%9Fe.txt"),
        ("a;b.txt", b"attachment; filename*=UTF-8''a%3Bb.txt"),
    ],
)
async def test_names_of_files(name: str, said: bytes) -> None:
    """A name that a header cannot hold plainly is told as RFC 6266 has it; the name also says what a file is."""
    async with at("writer") as vendor:
        vendor.answer(FILE)
        await upload(vendor, PURPOSE, ("file", (name, b"hi", "application/octet-stream")))
        headers = dict(vendor.calls[0].headers)
    assert (headers[b"content-disposition"], headers[b"content-type"]) == (said, b"text/plain")


async def test_a_graph() -> None:
    """The vendor's own field stands in the query."""
    async with at("writer") as vendor:
        vendor.answer(FILE)
        status, _ = await upload(
            vendor, PURPOSE, ("graphId", (None, "6029b226")), ("file", ("a.txt", b"hi", "text/plain"))
        )
        assert (status, vendor.calls[0].url) == (200, "https://api.writer.com/v1/files?graphId=6029b226")


@pytest.mark.parametrize(
    ("fields", "param"),
    [({"purpose": "batch"}, "purpose"), ({}, "purpose"), ({"purpose": "user_data", "name": "b"}, "name")],
)
async def test_uploads_that_cannot_be_asked(fields: Json, param: str) -> None:
    """What the vendor cannot be told is a 400 that names it, wherever it stands, and nothing is sent."""
    file = ("file", ("a.txt", b"hi" * 60_000, "text/plain"))
    rest = [(name, (None, value)) for name, value in fields.items()]
    async with at("writer") as vendor:
        for parts in ((*rest, file), (file, *rest)):
            status, told = await upload(vendor, *parts)
            assert (status, told["error"]["param"], vendor.calls) == (400, param, [])


async def test_a_file_that_is_too_large() -> None:
    """A form that would have to be held whole has a limit, which is said before anything is sent."""
    async with at("writer") as vendor:
        status, told = await upload(vendor, PURPOSE, ("file", ("a.txt", b"0" * (33 * 1024 * 1024), "text/plain")))
        assert (status, vendor.calls) == (413, [])
    assert "33554432" in told["error"]["message"]


async def test_a_file() -> None:
    """One file, its content as it comes, and its end."""
    async with at("writer") as vendor:
        vendor.answer({**FILE, "status": "completed"}, path="/v1/files/a%20b")
        _, told = await vendor.ask("GET", "/v1/files/a%20b")
        assert (told["status"], told["native_status"]) == ("processed", "completed")
        vendor.answer(b"\x00\xff", path="/v1/files/a%20b/download")
        reply = await vendor.client.get("/v1/files/a%20b/content", headers={"x-headgate-provider": "mine"})
        assert (reply.status_code, reply.content) == (200, b"\x00\xff")
        vendor.answer({"id": "a b", "deleted": True}, path="/v1/files/a%20b")
        _, gone = await vendor.ask("DELETE", "/v1/files/a%20b")
        assert gone == {"id": "a b", "object": "file", "deleted": True}
        assert [(call.method, call.url) for call in vendor.calls] == [
            ("GET", "https://api.writer.com/v1/files/a%20b"),
            ("GET", "https://api.writer.com/v1/files/a%20b/download"),
            ("DELETE", "https://api.writer.com/v1/files/a%20b"),
        ]


async def test_lists_of_files() -> None:
    """Lists go on behind the last file until the one that is asked for is there."""
    pages = [
        {"data": [{**FILE, "id": f"f{n}"} for n in range(3)], "has_more": True},
        {"data": [{**FILE, "id": "f3"}], "has_more": False},
    ]
    async with at("writer") as vendor:
        vendor.answer(*pages)
        _, told = await vendor.ask("GET", "/v1/files?limit=3&after=f0")
        assert [call.url for call in vendor.calls] == [
            "https://api.writer.com/v1/files?limit=100&order=desc",
            "https://api.writer.com/v1/files?limit=100&order=desc&after=f2",
        ]
    assert [each["id"] for each in told["data"]] == ["f1", "f2", "f3"]
    assert told["has_more"] is False
