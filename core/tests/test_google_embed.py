"""Google's embeddings as clients send them: one content or many, what is kept of them, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from headgate.chat import Usage
from headgate.dialects import Gaps, GoogleEmbed, GoogleEmbedOne, OpenAIEmbeddings
from headgate.dialects.google.embed import with_model
from headgate.errors import InvalidRequest, ProviderFailed, UnsupportedField
from headgate.vectors import EmbedReply, EmbedRequest

MANY, ONE = GoogleEmbed(), GoogleEmbedOne()


def content(*texts: str, **members: Any) -> dict[str, Any]:
    return {"model": "models/m", "content": {"role": "user", "parts": [{"text": text} for text in texts]}, **members}


def batch(*requests: dict[str, Any], **members: Any) -> bytes:
    return json.dumps({"requests": requests, **members}).encode()


def test_settings_of_their_own() -> None:
    """Newer clients put the settings into `embedContentConfig`; what is not known there is told at its place."""
    config = {"taskType": "CLUSTERING", "outputDimensionality": 4, "autoTruncate": False}
    for asked in (
        ONE.decode_request(json.dumps(content("a", embedContentConfig=config)).encode()),
        MANY.decode_request(batch(content("a", embedContentConfig=config), content("b", embedContentConfig=config))),
    ):
        assert (asked.input_type, asked.dimensions) == ("clustering", 4)
        assert asked.extra == {"embedContentConfig": {"autoTruncate": False}}


def test_many() -> None:
    """Parts of a content are one text; settings that all share are those of the request."""
    shared = {"taskType": "CLUSTERING", "outputDimensionality": 8}
    request = MANY.decode_request(batch(content("a", "b", **shared), content("c", **shared)))
    expected = EmbedRequest("m", ("ab", "c"), 8, input_type="clustering", dialect="google.embed")
    assert request == expected


def test_one() -> None:
    """A content alone is a request of one text, and goes out so again."""
    body = json.dumps(content("a", outputDimensionality=8)).encode()
    request = ONE.decode_request(body)
    assert request == EmbedRequest("m", ("a",), 8, dialect="google.embed_one")
    assert msgspec.json.decode(ONE.encode_request(request, Gaps("x"))) == {
        "model": "models/m",
        "outputDimensionality": 8,
        "content": {"parts": [{"text": "a"}]},
    }
    with pytest.raises(UnsupportedField, match="single text"):
        ONE.encode_request(EmbedRequest("m", ("a", "b")), Gaps("x"))


def test_a_model_beside_the_requests_goes_before_theirs() -> None:
    """Which is how the gateway names the one that is meant."""
    assert MANY.decode_request(batch(content("a"), model="other")).model == "other"


@pytest.mark.parametrize("setting", [{"taskType": "CLUSTERING"}, {"outputDimensionality": 8}, {"title": "T"}])
def test_settings_that_differ_are_refused(setting: dict[str, Any]) -> None:
    """One request to another vendor has one setting for all: none is passed over."""
    with pytest.raises(InvalidRequest, match=r"`requests\[1\]` has other settings") as caught:
        MANY.decode_request(batch(content("a"), content("b", **setting)))
    assert caught.value.param == "requests[1]"


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b'{"requests": []}',
        batch({"content": 1}),
        batch({"content": {"parts": [{"inlineData": {"data": "", "mimeType": "image/png"}}]}}),
    ],
)
def test_what_holds_no_text_is_refused(body: bytes) -> None:
    """Nothing to embed, and pictures, are no request of texts."""
    with pytest.raises(InvalidRequest):
        MANY.decode_request(body)


@pytest.mark.parametrize("members", [{"title": "T"}, {"taskType": "FACT_VERIFICATION"}])
def test_what_another_vendor_cannot_be_told(members: dict[str, Any]) -> None:
    """A title and a task without a common word are refused by name, or dropped by name."""
    request = MANY.decode_request(batch(content("a", **members)))
    with pytest.raises(UnsupportedField, match=next(iter(members))):
        OpenAIEmbeddings().encode_request(request, Gaps("x", "refuse"))
    gaps = Gaps("x", "drop")
    assert msgspec.json.decode(OpenAIEmbeddings().encode_request(request, gaps)) == {"model": "m", "input": ["a"]}
    assert gaps.dropped == list(members)


def test_replies() -> None:
    """A list of vectors for many, a single one for one, and back."""
    reply = EmbedReply("m", ((0.5, 1.0),), Usage(3))
    used = {"usageMetadata": {"promptTokenCount": 3}}
    for dialect, held in (
        (MANY, {"embeddings": [{"values": [0.5, 1.0]}]}),
        (ONE, {"embedding": {"values": [0.5, 1.0]}}),
    ):
        request = EmbedRequest("m", ("a",))
        body = dialect.encode_reply(reply, request)
        assert msgspec.json.decode(body) == {**held, **used}
        decoded = dialect.decode_reply(body, request)
        assert (decoded.vectors, decoded.usage and decoded.usage.prompt) == (reply.vectors, 3)
        with pytest.raises(ProviderFailed, match=r"vectors came for 1 texts|holds no embeddings"):
            dialect.decode_reply(b'{"embedding": 1}', request)


def test_texts_for_guardrails() -> None:
    """Every text is found where it stands."""
    many = {"requests": [content("a", "b"), content("c")]}
    assert [(place.path, place.text) for place in MANY.request_texts(many)] == [
        (("requests", 0, "content", "parts", 0, "text"), "a"),
        (("requests", 0, "content", "parts", 1, "text"), "b"),
        (("requests", 1, "content", "parts", 0, "text"), "c"),
    ]
    assert [place.path for place in ONE.request_texts(content("a"))] == [("content", "parts", 0, "text")]


@pytest.mark.parametrize(("model", "named"), [("x", "models/x"), ("tunedModels/y", "tunedModels/y")])
def test_the_model_is_put_wherever_one_is_named(model: str, named: str) -> None:
    """Google wants it in every request of a batch; all else stays."""
    changed = msgspec.json.decode(with_model(batch(content("a", title="T"), content("b")), model))
    assert changed == {"requests": [{**content("a", title="T"), "model": named}, {**content("b"), "model": named}]}
    assert msgspec.json.decode(with_model(b'{"content":{}}', model)) == {"content": {}, "model": named}
