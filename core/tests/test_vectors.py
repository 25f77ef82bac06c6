"""Embeddings and rankings: replies that do not fit their request are the provider's failure, and what was read is counted."""

from __future__ import annotations

from base64 import b64encode
from struct import pack
from typing import Any

import msgspec
import pytest

from headgate.chat import Usage
from headgate.dialects import Gaps, OpenAIEmbeddings
from headgate.dialects.cohere_rerank import CohereRerank
from headgate.errors import ProviderFailed
from headgate.vectors import EmbedRequest, Ranked, RerankReply, RerankRequest, best_of, vectors_for

Json = dict[str, Any]
EMBEDDINGS, RERANK = OpenAIEmbeddings(), CohereRerank()
TEXTS = EmbedRequest("m", ("a", "b", "c"), dialect="openai.embeddings")
DOCUMENTS = RerankRequest("m", "q", ("a", {"text": "b"}), return_documents=True, dialect="cohere.rerank")


def embedded(*items: Json, **members: Any) -> bytes:
    return msgspec.json.encode({"object": "list", "model": "m", "data": list(items), **members})


def ranked(*results: Json, **members: Any) -> bytes:
    return msgspec.json.encode({"id": "r", "results": list(results), **members})


# embeddings


@pytest.mark.parametrize(
    ("indices", "expected"),
    [
        ((0, 1, 2), (0, 1, 2)),
        ((2, 0, 1), (1, 2, 0)),
        ((None, None, None), (0, 1, 2)),
        ((None, 1, 2), (0, 1, 2)),
        ((2, None, 1), (1, 2, 0)),
    ],
    ids=["in order", "out of order", "not said", "zero left out", "out of order, zero left out"],
)
def test_vectors_stand_in_the_order_of_their_texts(indices: tuple[int | None, ...], expected: tuple[int, ...]) -> None:
    """The index says which text a vector is of; where none is said its place does. Google's OpenAI API leaves out 0."""
    items = [
        {"embedding": [float(at)], **({} if index is None else {"index": index})} for at, index in enumerate(indices)
    ]
    reply = EMBEDDINGS.decode_reply(embedded(*items), TEXTS)
    assert reply.vectors == tuple((float(at),) for at in expected)


@pytest.mark.parametrize(
    "indices", [(0, 1), (0, 1, 2, 3), (), (0, 0, 1), (1, 2, 3), (-1, 0, 1), (None, 0, 1), (0, 1, None)], ids=str
)
def test_vectors_that_are_not_one_for_each_text(indices: tuple[int | None, ...]) -> None:
    """Too few, too many, two of one text or one of none: nothing is guessed."""
    vectors = [(1.0,)] * len(indices)
    with pytest.raises(ProviderFailed, match="does not fit the request") as caught:
        vectors_for(TEXTS, vectors, indices)
    assert caught.value.error_code == "upstream_bad_reply"
    items = [{"embedding": [1], **({} if index is None else {"index": index})} for index in indices]
    with pytest.raises(ProviderFailed):
        EMBEDDINGS.decode_reply(embedded(*items), TEXTS)


def test_vectors_in_base64_have_an_order_too() -> None:
    """However vectors are written, and `index` is no member of the vendor's that is passed on."""
    items = [{"embedding": b64encode(pack("<f", at)).decode(), "index": 2 - at} for at in range(3)]
    reply = EMBEDDINGS.decode_reply(embedded(*items), TEXTS)
    assert (reply.vectors, reply.extra) == (((2.0,), (1.0,), (0.0,)), {})


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"prompt_tokens": 3, "total_tokens": 3}, 3),
        ({"total_tokens": 7}, 7),
        ({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 7}, 7),
        ({"prompt_tokens": 3, "completion_tokens": 0, "total_tokens": 7}, 3),
    ],
)
def test_a_total_is_what_was_embedded(usage: Json, expected: int) -> None:
    """Vectors are no tokens: all that is stated was read, in translated replies and in relayed ones."""
    body = embedded(*({"embedding": [1]} for _ in range(3)), usage=usage)
    assert EMBEDDINGS.decode_reply(body, TEXTS).usage == EMBEDDINGS.reply_usage(body) == Usage(expected, raw=usage)


# rankings


@pytest.mark.parametrize("index", [2, -1, -3, 10**9])
def test_a_result_of_no_document(index: int) -> None:
    """It is the provider's failure, when it is read and when documents are asked back, and never another document."""
    with pytest.raises(ProviderFailed, match=f"the index {index}, but there are 2 documents") as caught:
        RERANK.decode_reply(ranked({"index": index, "relevance_score": 0.5}), DOCUMENTS)
    assert caught.value.error_code == "upstream_bad_reply"
    with pytest.raises(ProviderFailed, match=f"the index {index}"):
        RERANK.encode_reply(RerankReply((Ranked(index, 0.5),)), DOCUMENTS)
    with pytest.raises(ProviderFailed, match=f"the index {index}"):
        best_of([Ranked(0, 1.0), Ranked(index, 0.5)], DOCUMENTS)


def test_documents_come_back() -> None:
    """Each result has its own document, as an object."""
    body = RERANK.encode_reply(RerankReply((Ranked(1, 0.9), Ranked(0, 0.1))), DOCUMENTS)
    assert [one["document"] for one in msgspec.json.decode(body)["results"]] == [{"text": "b"}, {"text": "a"}]


META: Json = {"api_version": {"version": "2"}}
UNITS: Json = {**META, "billed_units": {"search_units": 1}}
BILLED: Json = {**META, "billed_units": {"input_tokens": 5.0, "search_units": 1}}
COUNTED: Json = {**BILLED, "tokens": {"input_tokens": 9, "output_tokens": 0}}


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({}, None),
        ({"meta": META}, None),
        ({"meta": UNITS}, Usage(raw=UNITS)),
        ({"meta": BILLED}, Usage(5, raw=BILLED)),
        ({"meta": COUNTED}, Usage(9, raw=COUNTED)),
        ({"usage": {"total_tokens": 4}}, Usage(4, raw={"total_tokens": 4})),
        ({"usage": {"prompt_tokens": 3, "total_tokens": 4}, "meta": META}, Usage(3, raw={"prompt_tokens": 3, "total_tokens": 4})),
        ({"usage": {"total_tokens": "many"}}, None),
        ({"usage": None, "meta": {"billed_units": None, "tokens": 3}}, Usage(raw={"billed_units": None, "tokens": 3})),
    ],
)  # fmt: skip
def test_what_a_ranking_used(members: Json, expected: Usage | None) -> None:
    """Under `usage`, else under `meta`: what was counted, else what is billed, of which the vendor's object keeps the rest."""
    body = ranked({"index": 0, "relevance_score": 0.5}, **members)
    assert RERANK.reply_usage(body) == expected
    reply = RERANK.decode_reply(body, DOCUMENTS)
    assert reply.usage == expected
    assert reply.extra == {}


def test_searches_are_told_as_searches() -> None:
    """Where nothing but searches is billed, the client is told of no tokens."""
    reply = RERANK.decode_reply(ranked({"index": 0, "relevance_score": 0.5}, meta=UNITS), DOCUMENTS)
    assert msgspec.json.decode(RERANK.encode_reply(reply, DOCUMENTS))["meta"] == UNITS
    reply = RERANK.decode_reply(ranked({"index": 0, "relevance_score": 0.5}, meta=COUNTED), DOCUMENTS)
    told = msgspec.json.decode(RERANK.encode_reply(reply, DOCUMENTS))["meta"]
    assert told == {**UNITS, "tokens": {"input_tokens": 9, "output_tokens": 0}}


def test_purposes_are_left_out_by_name() -> None:
    """In OpenAI's own words there is no `input_type`; it only hints."""
    gaps = Gaps("openai")
    asked = EMBEDDINGS.decode_request(b'{"model":"m","input":"a","input_type":"query"}')
    assert msgspec.json.decode(EMBEDDINGS.encode_request(asked, gaps)) == {"model": "m", "input": ["a"]}
    assert gaps.dropped == ["input_type"]
