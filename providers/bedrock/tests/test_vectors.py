"""Embeddings and reranking through InvokeModel, for each maker."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest

from headgate.chat import Usage
from headgate.dialects import Gaps
from headgate.errors import InvalidRequest, ProviderFailed, UnsupportedField
from headgate.vectors import EmbedRequest, InputType, Ranked, RerankRequest
from headgate_bedrock.vectors import BedrockEmbeddings, BedrockRerank

Json = dict[str, Any]
TITAN_1, TITAN_2 = "amazon.titan-embed-text-v1", "amazon.titan-embed-text-v2:0"
TITAN_IMAGE = "amazon.titan-embed-image-v1"
COHERE_3, COHERE_4 = "cohere.embed-english-v3", "us.cohere.embed-v4:0"
NOVA = "amazon.nova-2-multimodal-embeddings-v1:0"


def embedded(model: str, *texts: str, gaps: Gaps | None = None, **fields: Any) -> Json:
    request = EmbedRequest(model, texts or ("a",), **fields)
    return msgspec.json.decode(BedrockEmbeddings().encode_request(request, gaps or Gaps("bedrock")))


@pytest.mark.parametrize(
    ("model", "fields", "body"),
    [
        (TITAN_1, {}, {"inputText": "a"}),
        (TITAN_2, {"dimensions": 256}, {"inputText": "a", "dimensions": 256}),
        (TITAN_IMAGE, {"dimensions": 384}, {"inputText": "a", "embeddingConfig": {"outputEmbeddingLength": 384}}),
        (COHERE_3, {"input_type": "query"}, {"texts": ["a"], "input_type": "search_query"}),
        (COHERE_4, {"dimensions": 512}, {"texts": ["a"], "input_type": "search_document", "output_dimension": 512}),
        (
            NOVA,
            {"input_type": "classification"},
            {
                "taskType": "SINGLE_EMBEDDING",
                "singleEmbeddingParams": {
                    "embeddingPurpose": "CLASSIFICATION",
                    "embeddingDimension": 3072,
                    "text": {"truncationMode": "NONE", "value": "a"},
                },
            },
        ),
    ],
)
def test_requests_for_vectors(model: str, fields: dict[str, Any], body: Json) -> None:
    """Each maker has a body of its own."""
    assert embedded(model, **fields) == body


@pytest.mark.parametrize("model", [TITAN_2, NOVA])
def test_one_text_a_call(model: str) -> None:
    """Where a model takes one text a call, more are a body each, in order; Cohere takes 96."""
    bodies: Any = embedded(model, "a", "b")
    assert bodies == [embedded(model, "a"), embedded(model, "b")]
    assert embedded(COHERE_3, "a", "b")["texts"] == ["a", "b"]
    batches: Any = embedded(COHERE_3, *map(str, range(200)))
    assert [batch["texts"][0] for batch in batches] == ["0", "96", "192"]
    with pytest.raises(InvalidRequest, match="2048"):
        embedded(model, *["a"] * 2049)


def test_base_models() -> None:
    """An id that hides its model is the model that the deployment says, when it asks and when it answers."""
    arn = "arn:aws:bedrock:eu-west-1:1:application-inference-profile/x"
    dialect, request = BedrockEmbeddings({arn: COHERE_3}), EmbedRequest(arn, ("a", "b"))
    assert msgspec.json.decode(dialect.encode_request(request, Gaps("bedrock")))["texts"] == ["a", "b"]
    assert len(dialect.decode_reply(b'{"embeddings":[[1],[2]]}', request).vectors) == 2
    with pytest.raises(UnsupportedField, match="InvokeModel"):
        BedrockRerank({arn: "amazon.rerank-v1:0"}).encode_request(RerankRequest(arn, "q", ("a",)), Gaps("bedrock"))


@pytest.mark.parametrize(
    "body",
    [
        b'[{"embedding":[1]}]',
        b'[{"embedding":[1]},{"embeddings":[[2],[3]]}]',
        b'[{"embedding":[1]},{}]',
        b'[{"embedding":[1]},7]',
        b'[{"embedding":[1]},',
    ],
)
def test_replies_that_do_not_add_up(body: bytes) -> None:
    """Every call has its own reply with its own vectors; anything else is the vendor's failure."""
    with pytest.raises(ProviderFailed):
        BedrockEmbeddings().decode_reply(body, EmbedRequest(TITAN_2, ("a", "b")))


def test_tokens_are_summed() -> None:
    """The tokens of several calls are one number, and none when a call does not say."""
    request = EmbedRequest(TITAN_2, ("a", "b"))
    one, two = b'{"embedding":[1],"inputTextTokenCount":3}', b'{"embedding":[2],"inputTextTokenCount":4}'
    reply = BedrockEmbeddings().decode_reply(b"[%s,%s]" % (one, two), request)
    assert (reply.vectors, reply.usage) == (((1.0,), (2.0,)), Usage(7, raw={"inputTextTokenCount": 7}))
    assert BedrockEmbeddings().decode_reply(b'[%s,{"embedding":[2]}]' % one, request).usage is None


def test_gaps_of_vectors() -> None:
    """Tokens and a length that a model does not have are refused, what only hints is said."""
    with pytest.raises(UnsupportedField, match="not tokens"):
        BedrockEmbeddings().encode_request(EmbedRequest(TITAN_2, ((1, 2),)), Gaps("bedrock"))
    for model in (TITAN_1, COHERE_3):
        with pytest.raises(UnsupportedField, match="`dimensions`"):
            embedded(model, dimensions=256)
    gaps = Gaps("bedrock")
    kind: InputType = "query"
    embedded(TITAN_2, gaps=gaps, user="u", input_type=kind)
    assert gaps.dropped == ["user", "input_type"]


@pytest.mark.parametrize(
    ("texts", "body", "vectors", "tokens"),
    [
        (("a",), {"embedding": [1, 0.5], "inputTextTokenCount": 3, "embeddingsByType": {}}, ((1.0, 0.5),), 3),
        (("a", "b"), {"embeddings": [[1], [2]], "id": "x", "texts": ["a", "b"]}, ((1.0,), (2.0,)), None),
        (("a",), {"embeddings": {"float": [[1]]}}, ((1.0,),), None),
        (("a",), {"embeddings": [{"embeddingType": "TEXT", "embedding": [1]}]}, ((1.0,),), None),
    ],
)
def test_replies_with_vectors(texts: tuple[str, ...], body: Json, vectors: Any, tokens: int | None) -> None:
    """Vectors come in the order of the texts, with the tokens where the maker counts them."""
    model = COHERE_3 if len(texts) > 1 else NOVA
    reply = BedrockEmbeddings().decode_reply(msgspec.json.encode(body), EmbedRequest(model, texts))
    assert (reply.vectors, reply.model) == (vectors, model)
    assert reply.usage == (Usage(tokens, raw={"inputTextTokenCount": tokens}) if tokens is not None else None)
    assert set(reply.extra) <= {"response_type"}


@pytest.mark.parametrize("body", [b"", b"{}", b'{"embeddings":7}', b'{"embeddings":[[1],[2]]}', b'{"embedding":["x"]}'])
def test_what_holds_no_vectors(body: bytes) -> None:
    """Too many vectors, or none, is the vendor's failure."""
    with pytest.raises(ProviderFailed):
        BedrockEmbeddings().decode_reply(body, EmbedRequest("m", ("a",)))


def test_reranking() -> None:
    """Cohere's body says its version and how many; results come as they were ranked."""
    dialect, request = BedrockRerank(), RerankRequest("cohere.rerank-v3-5:0", "q", ("a", {"text": "b"}), top_n=1)
    body = msgspec.json.decode(dialect.encode_request(request, Gaps("bedrock")))
    assert body == {"query": "q", "documents": ["a", "b"], "api_version": 2, "top_n": 1}
    reply = dialect.decode_reply(b'{"results":[{"index":1,"relevance_score":0.9}]}', request)
    assert (reply.results, reply.model) == ((Ranked(1, 0.9),), "cohere.rerank-v3-5:0")
    with pytest.raises(UnsupportedField, match="Cohere"):
        dialect.encode_request(RerankRequest("amazon.rerank-v1:0", "q", ("a",)), Gaps("bedrock"))
    for index in (b'"x"', b"2", b"-1"):
        with pytest.raises(ProviderFailed):
            dialect.decode_reply(b'{"results":[{"index":%s,"relevance_score":1}]}' % index, request)


def test_they_go_round() -> None:
    """What is encoded is decoded to the same, both ways."""
    embeds, ranks = BedrockEmbeddings(), BedrockRerank()
    for model, texts in ((TITAN_2, ("a",)), (COHERE_4, ("a", "b"))):
        request = EmbedRequest(model, texts, 256, input_type="query" if model == COHERE_4 else None)
        back = embeds.decode_request(embeds.encode_request(request, Gaps("bedrock")))
        assert (back.inputs, back.dimensions, back.input_type) == (texts, 256, request.input_type)
        reply = embeds.decode_reply(msgspec.json.encode({"embeddings": [[1, 2]] * len(texts)}), request)
        assert embeds.decode_reply(embeds.encode_reply(reply, request), request).vectors == reply.vectors
    asked = RerankRequest("cohere.rerank-v3-5:0", "q", ("a", "b"), 2)
    again = ranks.decode_request(ranks.encode_request(asked, Gaps("bedrock")))
    assert (again.query, again.documents, again.top_n) == ("q", ("a", "b"), 2)
    ranked = ranks.decode_reply(b'{"results":[{"index":0,"relevance_score":0.5}]}', asked)
    assert ranks.decode_reply(ranks.encode_reply(ranked, asked), asked).results == ranked.results


def test_texts_for_guards() -> None:
    """Guards see the texts to embed, the query and the documents."""
    assert [place.text for place in BedrockEmbeddings().request_texts({"inputText": "a", "texts": ["b"]})] == ["a", "b"]
    assert [place.text for place in BedrockRerank().request_texts({"query": "q", "documents": ["d"]})] == ["q", "d"]


def test_recorded_vectors(recorded: Callable[[str, str], Iterator[Json]]) -> None:
    """Recorded requests are those that are made here, and recorded answers are read."""
    seen: set[str] = set()
    for record in (*recorded("bedrock", "invoke"), *recorded("bedrock", "rerank")):
        body, model = (
            (record["resp_text"] or "").encode(),
            record["path"].removeprefix("/model/").removesuffix("/invoke"),
        )
        asked = msgspec.json.encode(record["req_json"] or {})
        if "embed" in model:
            seen.add(model)
            embeds = BedrockEmbeddings()
            request = msgspec.structs.replace(embeds.decode_request(asked), model=model)
            assert msgspec.json.decode(embeds.encode_request(request, Gaps("bedrock"))) == record["req_json"]
            assert len(embeds.decode_reply(body, request).vectors) == len(request.inputs)
        elif "rerank" in model or record["operation"] == "rerank":
            seen.add(record["operation"])
            ranks = BedrockRerank()
            if record["req_json"]:
                again = ranks.encode_request(ranks.decode_request(asked), Gaps("bedrock"))
                assert msgspec.json.decode(again) == record["req_json"]
            assert ranks.decode_reply(body, RerankRequest(model, "", ("",) * 10)).results
    assert seen == {TITAN_1, COHERE_3, "invoke", "rerank"}
