"""Embeddings: texts in, vectors out, and the purpose that Cohere wants to know."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from cohere.types import EmbedByTypeResponse

from headgate.dialects import Gaps, OpenAIEmbeddings, Policy
from headgate.errors import ProviderFailed, UnsupportedField
from headgate.vectors import EmbedReply, EmbedRequest
from headgate_cohere import CohereEmbed

DIALECT = CohereEmbed()
REPLY: dict[str, Any] = {
    "id": "e-1",
    "texts": ["a", "b"],
    "embeddings": {"float": [[0.1, -0.25], [1, 2]]},
    "meta": {"api_version": {"version": "2"}, "billed_units": {"input_tokens": 10}, "warnings": ["old"]},
    "response_type": "embeddings_by_type",
}


def asked(*inputs: Any, **fields: Any) -> EmbedRequest:
    return EmbedRequest("embed-v4.0", inputs or ("a", "b"), **fields)


def sent(request: EmbedRequest, policy: Policy = "refuse") -> tuple[dict[str, Any], list[str]]:
    gaps = Gaps("cohere", policy)
    return msgspec.json.decode(DIALECT.encode_request(request, gaps)), gaps.dropped


def test_request() -> None:
    """Texts are for documents unless the caller says otherwise; base64 is the gateway's own business."""
    body, dropped = sent(asked(dimensions=256, encoding="base64", user="u", dialect="openai.embeddings"))
    assert body == {
        "model": "embed-v4.0",
        "texts": ["a", "b"],
        "input_type": "search_document",
        "embedding_types": ["float"],
        "output_dimension": 256,
    }
    assert dropped == ["user"]


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        ("query", "search_query"),
        ("search_document", "search_document"),
        ("passage", "search_document"),
        ("classification", "classification"),
        ("clustering", "clustering"),
    ],
)
def test_input_type(said: str, wanted: str) -> None:
    """The words that callers have for it become Cohere's."""
    body = msgspec.json.encode({"model": "m", "input": "a", "input_type": said})
    assert sent(OpenAIEmbeddings().decode_request(body))[0]["input_type"] == wanted


def test_what_cannot_be_said() -> None:
    """Tokens are refused always, unknown purposes and members unless they may be dropped."""
    for request in (asked((1, 2)), asked(input_type="similarity"), asked(extra={"truncate": "END"}, dialect="x")):
        with pytest.raises(UnsupportedField):
            sent(request)
    body, dropped = sent(asked(input_type="similarity"), "drop")
    assert (body["input_type"], dropped) == ("search_document", ["input_type"])


def test_reply() -> None:
    """Vectors in order, tokens as billed where no others are stated; the echo of the texts is left out."""
    reply = DIALECT.decode_reply(msgspec.json.encode(REPLY), asked())
    assert (reply.vectors, reply.id, reply.model) == (((0.1, -0.25), (1.0, 2.0)), "e-1", "embed-v4.0")
    assert reply.usage is not None
    assert reply.usage.prompt == 10
    assert reply.extra == {"meta": REPLY["meta"]}
    told = msgspec.json.decode(OpenAIEmbeddings().encode_reply(reply, asked(encoding="float")), type=dict[str, Any])
    assert [item["embedding"] for item in told["data"]] == [[0.1, -0.25], [1.0, 2.0]]
    assert told["usage"] == {"prompt_tokens": 10, "total_tokens": 10}


@pytest.mark.parametrize(
    "body", [b"{}", b"nonsense", b'{"embeddings": {"int8": [[1]]}}', b'{"embeddings": {"float": [[1]]}}']
)
def test_replies_that_are_none(body: bytes) -> None:
    """Vectors of another kind, or too few, are the provider's failure."""
    with pytest.raises(ProviderFailed):
        DIALECT.decode_reply(body, asked())


def test_round() -> None:
    """What the own dialect writes it reads again, and the SDK reads its answers."""
    request = asked(dimensions=8, input_type="query", dialect="cohere.embed", extra={"truncate": "END"})
    assert DIALECT.decode_request(DIALECT.encode_request(request, Gaps("cohere"))) == request
    odd = msgspec.json.encode({"model": "m", "texts": ["a"], "input_type": "image", "embedding_types": ["int8"]})
    assert DIALECT.decode_request(odd).extra == {"input_type": "image", "embedding_types": ["int8"]}
    held = EmbedReply("embed-v4.0", ((0.5,), (0.25,)), id="e")
    said = DIALECT.encode_reply(held, asked())
    assert EmbedByTypeResponse.model_validate_json(said).id == "e"
    assert DIALECT.decode_reply(said, asked()).vectors == held.vectors


def test_other_views() -> None:
    """Guards see the texts, the relay the usage, and errors are those of every operation."""
    assert [place.text for place in DIALECT.request_texts({"texts": ["a", "b"]})] == ["a", "b"]
    usage = DIALECT.reply_usage(msgspec.json.encode(REPLY))
    assert usage is not None
    assert usage.prompt == 10
    with pytest.raises(ProviderFailed):
        DIALECT.reply_usage(b"nonsense")
    assert DIALECT.decode_error(498, b'{"message":"invalid token"}').status == 401
