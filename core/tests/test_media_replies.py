"""What pictures, voices and transcripts come back as: passed on, counted, cut where they must be, and judged where they can."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import httpx2
import pytest
from core.tests.media import FORM, VOICE, Noting, field, file, form, serving
from typing_extensions import override

from headgate import Exchange, Hooks, hookimpl
from headgate.testing import Client, Recorded, eventually

PICTURE = "iVBORw0KGgo" * 200_000
USED = {
    "input_tokens": 50,
    "input_tokens_details": {"image_tokens": 40, "text_tokens": 10},
    "output_tokens": 30,
    "total_tokens": 80,
}
PICTURES = Recorded.from_json({"created": 1, "data": [{"b64_json": PICTURE}], "size": "1024x1024", "usage": USED})


def events(*data: Mapping[str, Any], done: bool = False) -> Recorded:
    body = b"".join(b"data: " + json.dumps(item).encode() + b"\n\n" for item in data)
    kind = (("content-type", "text/event-stream"),)
    return Recorded(headers=kind, body=body + (b"data: [DONE]\n\n" if done else b""), framing="chunked")


def tokens(ex: Exchange) -> tuple[int, int] | None:
    usage = ex.reply.usage if ex.reply is not None else None
    return None if usage is None else (usage.prompt, usage.completion)


async def take(client: Client, path: str, got: bytearray) -> None:
    """Ask for something and take in what comes."""
    async with client.stream("POST", path, json={"model": "m", "input": "a", "prompt": "a"}) as reply:
        async for piece in reply.aiter_bytes():
            got += piece


async def test_pictures_are_passed_on_and_counted() -> None:
    """Pictures come as the provider sent them, and what they used is known at the end."""
    noting = Noting()
    async with serving(PICTURES, noting) as (client, _):
        reply = await client.post("/v1/images/generations", json={"model": "m", "prompt": "a cat"})
    assert reply.content == PICTURES.body
    assert reply.headers["content-type"] == "application/json"
    assert tokens(noting.last) == (50, 30)
    assert noting.last.outcome == "complete"
    assert noting.last.reply is not None
    assert (noting.last.reply.form, noting.last.reply.body) == ("large", b"")


async def test_streamed_pictures_are_passed_on_and_counted() -> None:
    """A stream of pictures passes as it comes, larger than any event of text may be, and its usage is known."""
    noting = Noting()
    stream = events(
        {"type": "image_generation.partial_image", "b64_json": PICTURE * 10},
        {"type": "image_generation.completed", "b64_json": PICTURE, "usage": USED},
    )
    async with serving(stream, noting) as (client, _):
        reply = await client.post("/v1/images/generations", json={"model": "m", "prompt": "a", "stream": True})
    assert reply.content == stream.body
    assert tokens(noting.last) == (50, 30)


async def test_a_voice_is_passed_on() -> None:
    """Sound comes byte for byte as it is made."""
    noting = Noting()
    async with serving(VOICE, noting) as (client, _):
        reply = await client.post("/v1/audio/speech", json={"model": "m", "input": "a"})
    assert (reply.content, reply.headers["content-type"]) == (VOICE.body, "audio/mpeg")
    assert (noting.last.outcome, noting.last.reply_bytes) == ("complete", len(VOICE.body))
    assert tokens(noting.last) is None


async def test_a_streamed_voice_is_counted() -> None:
    """Sound in events passes unread, and the last event says what it used."""
    noting = Noting()
    stream = events(
        {"type": "speech.audio.delta", "audio": PICTURE},
        {"type": "speech.audio.done", "usage": {"input_tokens": 14, "output_tokens": 101, "total_tokens": 115}},
    )
    async with serving(stream, noting) as (client, _):
        reply = await client.post("/v1/audio/speech", json={"model": "m", "input": "a", "stream_format": "sse"})
    assert reply.content == stream.body
    assert tokens(noting.last) == (14, 101)


@pytest.mark.parametrize("answer", [PICTURES, VOICE], ids=["pictures", "voice"])
async def test_a_cut_reply_is_cut(answer: Recorded) -> None:
    """Bytes have no room for an error: a reply that breaks off breaks off, and nothing is written into it."""
    noting = Noting()
    path = "/v1/images/generations" if answer is PICTURES else "/v1/audio/speech"
    async with serving(answer.varied(cut_at=1000), noting) as (client, _):
        got: list[bytes] = []

        async def read() -> None:
            async with client.stream("POST", path, json={"model": "m", "input": "a", "prompt": "a"}) as reply:
                got.extend([piece async for piece in reply.aiter_bytes()])

        with pytest.raises(httpx2.RemoteProtocolError):
            await read()
        await eventually(lambda: client.gateway.in_flight == 0, "the exchange is over")
    assert answer.body.startswith(b"".join(got))
    assert noting.last.outcome == "cut"


@pytest.mark.parametrize(
    ("answer", "used"),
    [
        (
            Recorded.from_json(
                {
                    "text": "heard",
                    "usage": {
                        "type": "tokens",
                        "input_tokens": 14,
                        "input_token_details": {"text_tokens": 4, "audio_tokens": 10},
                        "output_tokens": 45,
                        "total_tokens": 59,
                    },
                }
            ),
            (14, 45),
        ),
        (Recorded.from_json({"text": "heard", "usage": {"type": "duration", "seconds": 7}}), (0, 0)),
        (Recorded.from_json({"text": "heard"}), None),
        (Recorded(headers=(("content-type", "text/plain"),), body=b"heard\n"), None),
        (Recorded(headers=(("content-type", "text/vtt"),), body=b"WEBVTT\n\n00:00.000 --> 00:01.000\nheard\n"), None),
    ],
    ids=["tokens", "seconds", "nothing", "text", "vtt"],
)
async def test_a_transcript_is_passed_on_and_counted(answer: Recorded, used: tuple[int, int] | None) -> None:
    """A transcript comes in the form that was asked for; what it says of usage is known, in seconds too."""
    noting = Noting()
    async with serving(answer, noting) as (client, _):
        body = form(field("model", "m"), field("response_format", "any"), file(b"sound"))
        reply = await client.post("/v1/audio/transcriptions", content=body, headers=FORM)
    assert reply.content == answer.body
    assert tokens(noting.last) == used
    usage = noting.last.reply.usage if noting.last.reply is not None else None
    if usage is not None:
        assert usage.audio_in == (10 if used == (14, 45) else 0)
        assert usage.raw == json.loads(answer.body)["usage"]


HEARD = (
    {"type": "transcript.text.delta", "delta": "I heard "},
    {"type": "transcript.text.delta", "delta": "a secret"},
    {
        "type": "transcript.text.done",
        "text": "I heard a secret",
        "usage": {"type": "tokens", "input_tokens": 9, "output_tokens": 4, "total_tokens": 13},
    },
)


@pytest.mark.parametrize("done", [False, True])
async def test_a_streamed_transcript(done: bool) -> None:
    """A form says itself whether it wants a stream: that one came is seen by its type. It is complete with its last event."""
    noting = Noting()
    async with serving(events(*HEARD, done=done), noting) as (client, _):
        body = form(field("model", "m"), file(b"sound"), field("stream", "true"))
        reply = await client.post("/v1/audio/transcriptions", content=body, headers=FORM)
    assert reply.content == events(*HEARD, done=done).body
    assert (noting.last.outcome, noting.last.stream, tokens(noting.last)) == ("complete", True, (9, 4))


async def test_a_cut_transcript_says_so() -> None:
    """A stream of text that ends before its last event ends with an error event."""
    noting = Noting()
    async with serving(events(*HEARD[:2]), noting) as (client, _):
        body = form(field("model", "m"), file(b"sound"))
        reply = await client.post("/v1/audio/transcriptions", content=body, headers=FORM)
    assert reply.content.startswith(events(*HEARD[:2]).body)
    assert b'"code":"upstream_cut"' in reply.content
    assert noting.last.outcome == "cut"


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("/v1/images/generations", {"prompt": "a"}),
        ("/v1/audio/speech", {"input": "a"}),
        ("/v1/audio/transcriptions", None),
        ("/v1/moderations", {"input": "a"}),
    ],
)
async def test_errors_keep_their_words(path: str, content: dict[str, Any] | None) -> None:
    """A provider's error comes back with its status and words, in OpenAI's envelope."""
    answer = Recorded(status=429, body=b'{"detail": "slow down"}')
    async with serving(answer) as (client, _):
        if content is None:
            reply = await client.post(path, content=form(field("model", "m"), file(b"x")), headers=FORM)
        else:
            reply = await client.post(path, json={"model": "m", **content})
    assert (reply.status_code, reply.json()["error"]["message"]) == (429, "slow down")


# guardrails


class Judge(Hooks):
    """Notes every text it sees, and writes them in capitals where it may."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answered: list[str] = []

    @override
    @hookimpl
    async def guard_request(self, ex: Exchange) -> None:
        places = ex.texts()
        self.asked += [place.text for place in places] or ["(unreadable)"] * ex.is_unreadable
        ex.replace_texts([(place, place.text.upper()) for place in places])

    @override
    @hookimpl
    async def guard_reply(self, ex: Exchange) -> None:
        places = ex.reply_texts()
        self.answered += [place.text for place in places]
        ex.replace_reply_texts([(place, place.text.upper()) for place in places])


@pytest.mark.parametrize(
    ("path", "body", "texts"),
    [
        ("/v1/images/generations", {"prompt": "a cat", "size": "1024x1024"}, ["a cat"]),
        ("/v1/audio/speech", {"input": "hello", "instructions": "softly", "voice": "alloy"}, ["hello", "softly"]),
        ("/v1/moderations", {"input": "one"}, ["one"]),
        ("/v1/moderations", {"input": ["one", "two"]}, ["one", "two"]),
        (
            "/v1/moderations",
            {
                "input": [
                    {"type": "text", "text": "one"},
                    {"type": "image_url", "image_url": {"url": "https://a.example"}},
                ]
            },
            ["one"],
        ),
        ("/v1/images/edits", {"prompt": "a dog", "images": []}, ["a dog"]),
    ],
)
async def test_guardrails_see_requests(path: str, body: dict[str, Any], texts: list[str]) -> None:
    """What a caller says is judged, and what a guardrail changes is what the provider gets."""
    judge = Judge()
    async with serving(Recorded.from_json({}), judge) as (client, upstream):
        await client.post(path, json={"model": "m", **body})
        sent = upstream.requests[0].body.decode()
    assert judge.asked == texts
    assert all(text.upper() in sent for text in texts)


async def test_guardrails_know_what_they_cannot_see() -> None:
    """A form is sent on unread: there are no texts, and the exchange says that it is not readable."""
    judge = Judge()
    async with serving(Recorded.from_json({"text": "heard"}), judge) as (client, _):
        body = form(field("model", "m"), field("prompt", "a secret"), file(b"x"))
        reply = await client.post("/v1/audio/transcriptions", content=body, headers=FORM)
    assert judge.asked == ["(unreadable)"]
    assert reply.json() == {"text": "HEARD"}


async def test_guardrails_see_pictures_described() -> None:
    """A reply of pictures is read whole when somebody judges replies: what the vendor made of the prompt is text."""
    judge = Judge()
    answer = Recorded.from_json({"data": [{"b64_json": PICTURE, "revised_prompt": "a grey cat"}], "usage": USED})
    async with serving(answer, judge, noting := Noting()) as (client, _):
        reply = await client.post("/v1/images/generations", json={"model": "m", "prompt": "a cat"})
    assert judge.answered == ["a grey cat"]
    assert reply.json()["data"] == [{"b64_json": PICTURE, "revised_prompt": "A GREY CAT"}]
    assert tokens(noting.last) == (50, 30)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (
            {
                "text": "one two",
                "segments": [{"id": 0, "text": "one"}, {"id": 1, "text": "two"}],
                "words": [{"word": "one"}],
                "logprobs": [{"token": "one"}],
                "duration": 2.5,
            },
            {"text": "ONE TWO", "duration": 2.5},
        ),
        ({"segments": [{"speaker": "A", "text": "one"}]}, {"segments": [{"speaker": "A", "text": "ONE"}]}),
    ],
    ids=["verbose", "segments alone"],
)
async def test_a_changed_transcript_is_told_once(answer: dict[str, Any], expected: dict[str, Any]) -> None:
    """When its text is changed, what tells the old one in other pieces goes."""
    judge = Judge()
    async with serving(Recorded.from_json(answer), judge) as (client, _):
        body = form(field("model", "m"), file(b"x"))
        reply = await client.post("/v1/audio/transcriptions", content=body, headers=FORM)
    assert reply.json() == expected


@pytest.mark.parametrize("text", ["1\n00:00:00,000 --> 00:00:01,000\nheard \u00e9\n", "heard", '{"no": "transcript"'])
async def test_guardrails_see_plain_transcripts(text: str) -> None:
    """A transcript that is no JSON is one text, and can be replaced."""
    judge = Judge()
    answer = Recorded(headers=(("content-type", "text/plain"),), body=text.encode())
    async with serving(answer, judge) as (client, _):
        body = form(field("model", "m"), file(b"x"))
        reply = await client.post("/v1/audio/transcriptions", content=body, headers=FORM)
    assert judge.answered == [text]
    assert reply.text == text.upper()


async def test_a_json_text_without_a_transcript_is_judged_whole() -> None:
    """A reply that is JSON of some other shape holds texts that nobody named: none of it escapes."""
    judge = Judge()
    async with serving(Recorded.from_json({"texts": ["heard"]}), judge) as (client, _):
        body = form(field("model", "m"), file(b"x"))
        await client.post("/v1/audio/transcriptions", content=body, headers=FORM)
    assert "heard" in "".join(judge.answered)


async def test_guardrails_see_streamed_transcripts() -> None:
    """A stream is judged as a whole by who judges whole replies: both its pieces and the whole that it repeats."""
    judge = Judge()
    async with serving(events(*HEARD), judge) as (client, _):
        body = form(field("model", "m"), file(b"x"))
        reply = await client.post("/v1/audio/transcriptions", content=body, headers=FORM)
    assert any("I heard a secret" in text for text in judge.answered)
    assert reply.status_code == 200


async def test_a_client_that_leaves_ends_the_voice() -> None:
    """A client that leaves while a voice is being sent ends the provider's call."""
    noting, got = Noting(), bytearray()
    async with serving(VOICE.varied(stall_at=1000), noting) as (client, upstream):
        task = asyncio.create_task(take(client, "/v1/audio/speech", got))
        await eventually(lambda: len(got) == 1000, "the voice has begun")
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await (await upstream.request(0)).closed()
        await eventually(lambda: client.gateway.in_flight == 0, "the exchange is over")
    assert noting.last.outcome == "client_gone"
