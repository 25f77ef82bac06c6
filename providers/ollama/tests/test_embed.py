"""Embeddings: texts in, vectors out."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from ollama import EmbedResponse

from headgate.dialects import Gaps
from headgate.errors import ProviderFailed, UnsupportedField
from headgate.vectors import EmbedReply, EmbedRequest
from headgate_ollama import OllamaEmbed

DIALECT = OllamaEmbed()
REPLY: dict[str, Any] = {
    "model": "all-minilm:latest",
    "embeddings": [[0.1, -0.25], [1, 2]],
    "total_duration": 14143917,
    "load_duration": 1019500,
    "prompt_eval_count": 8,
}


def asked(*inputs: Any, **fields: Any) -> EmbedRequest:
    return EmbedRequest("all-minilm", inputs or ("a", "b"), **fields)


def test_request() -> None:
    """Base64 is the gateway's own business; what vectors are for is not asked."""
    gaps = Gaps("ollama")
    request = asked(dimensions=256, encoding="base64", user="u", input_type="query", dialect="openai.embeddings")
    body = msgspec.json.decode(DIALECT.encode_request(request, gaps))
    assert body == {"model": "all-minilm", "input": ["a", "b"], "dimensions": 256}
    assert gaps.dropped == ["input_type", "user"]


def test_what_cannot_be_said() -> None:
    """Tokens are refused always, members of other dialects unless they may be dropped."""
    for request in (asked((1, 2)), asked(extra={"truncation": True}, dialect="x")):
        with pytest.raises(UnsupportedField):
            DIALECT.encode_request(request, Gaps("ollama"))


def test_reply() -> None:
    """Vectors in order, and the tokens that were read."""
    reply = DIALECT.decode_reply(msgspec.json.encode(REPLY), asked())
    assert (reply.vectors, reply.model) == (((0.1, -0.25), (1.0, 2.0)), "all-minilm:latest")
    assert reply.usage is not None
    assert (reply.usage.prompt, reply.usage.completion) == (8, 0)
    assert reply.extra == {"total_duration": 14143917, "load_duration": 1019500}


@pytest.mark.parametrize("body", [b"{}", b"nonsense", b'{"embedding": [1, 2]}', b'{"embeddings": [[1]]}'])
def test_replies_that_are_none(body: bytes) -> None:
    """Too few vectors, or those of the older API, are the provider's failure."""
    with pytest.raises(ProviderFailed):
        DIALECT.decode_reply(body, asked())


def test_round() -> None:
    """What the own dialect writes it reads again, and the SDK reads its answers."""
    request = asked(dimensions=8, dialect="ollama.embed", extra={"truncate": False})
    assert DIALECT.decode_request(DIALECT.encode_request(request, Gaps("ollama"))) == request
    assert DIALECT.decode_request(b'{"model": "m", "input": "a"}').inputs == ("a",)
    held = EmbedReply("m", ((0.5,), (0.25,)), DIALECT.reply_usage(msgspec.json.encode(REPLY)))
    said = DIALECT.encode_reply(held, asked())
    assert EmbedResponse.model_validate_json(said).prompt_eval_count == 8
    assert DIALECT.decode_reply(said, asked()).vectors == held.vectors
    assert [place.text for place in DIALECT.request_texts({"input": ["a", "b"]})] == ["a", "b"]
    with pytest.raises(ProviderFailed):
        DIALECT.reply_usage(b"nonsense")
