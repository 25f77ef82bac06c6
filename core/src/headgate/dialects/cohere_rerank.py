"""Cohere rerank, both ways: the shape that most vendors of rerankers have taken over.

Sources: https://docs.cohere.com/reference/rerank and the types of `cohere` 7.3 (`ApiMeta`).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import Any, cast

import msgspec
from typing_extensions import override

from headgate.body import decode_object, reply_object
from headgate.chat import Usage
from headgate.dialects.gaps import Gaps
from headgate.dialects.interface import TextPlace, WholeDialect
from headgate.dialects.openai.decode import Members, typed
from headgate.dialects.openai.text import strings_in
from headgate.dialects.openai.usage import decode_read
from headgate.errors import InvalidRequest, ProviderFailed
from headgate.vectors import Ranked, RerankReply, RerankRequest, best_of, document_of

Json = dict[str, Any]


class CohereRerank(WholeDialect[RerankRequest, RerankReply]):
    """The `cohere.rerank` dialect, version 2. Documents may be texts or, as in version 1, objects with a `text`."""

    name = "cohere.rerank"
    operation = "rerank"

    @override
    def request_texts(self, body: Json) -> Sequence[TextPlace]:
        places = [*strings_in(body, "query"), *strings_in(body, "documents")]
        documents = body.get("documents")
        for at, document in enumerate(cast("list[object]", documents) if isinstance(documents, list) else []):
            text = cast("Json", document).get("text") if isinstance(document, dict) else None
            if isinstance(text, str):
                places.append(TextPlace(("documents", at, "text"), text, "user"))
        return places

    @override
    def decode_request(self, body: bytes) -> RerankRequest:
        members = Members(decode_object(body))
        documents = typed(members.take("documents"), list[str | Json], "documents")
        if not documents:
            raise InvalidRequest("`documents` must hold at least one document", param="documents")
        return RerankRequest(
            model=members.find("model", str) or "",
            query=members.need("query", str),
            documents=tuple(documents),
            top_n=members.find("top_n", int),
            return_documents=members.find("return_documents", bool),
            max_tokens_per_document=members.find("max_tokens_per_doc", int),
            dialect=self.name,
            extra=members.rest(),
        )

    @override
    def encode_request(self, request: RerankRequest, gaps: Gaps) -> bytes:
        body: Json = {"model": request.model, "query": request.query, "documents": list(request.texts())}
        if request.top_n is not None:
            body["top_n"] = request.top_n
        if request.max_tokens_per_document is not None:
            body["max_tokens_per_doc"] = request.max_tokens_per_document
        if request.dialect == self.name:
            body |= request.extra
        else:
            gaps.extra(request.extra)
        return msgspec.json.encode(body)

    @override
    def decode_reply(self, body: bytes, request: RerankRequest) -> RerankReply:
        try:
            members = Members(decode_object(body))
            results = [
                Ranked(item.need("index", int), item.need("relevance_score", float))
                for item in members.listed("results")
            ]
            usage, meta = members.take("usage"), members.take("meta")
            billed = _object_in(_object_in(meta, "billed_units"), "search_units")
            return RerankReply(
                best_of(results, request),
                id=str(members.take("id") or ""),
                model=request.model,
                usage=usage_of(usage, meta),
                search_units=int(billed) if isinstance(billed, int | float) else None,
                dialect=self.name,
                extra=members.rest(),
            )
        except InvalidRequest as error:
            raise ProviderFailed(f"the reply is no ranking: {error}", code="upstream_bad_reply") from None

    @override
    def encode_reply(self, reply: RerankReply, request: RerankRequest) -> bytes:
        results: list[Json] = [{"index": one.index, "relevance_score": one.score} for one in reply.results]
        if request.return_documents:
            for said, one in zip(results, reply.results, strict=True):
                said["document"] = _as_object(document_of(request, one))
        meta: Json = {"api_version": {"version": "2"}}
        if reply.search_units is not None:
            meta["billed_units"] = {"search_units": reply.search_units}
        if reply.usage is not None and reply.usage.total:
            meta["tokens"] = {"input_tokens": reply.usage.prompt, "output_tokens": reply.usage.completion}
        return msgspec.json.encode({**reply.extra, "id": reply.id, "results": results, "meta": meta})

    @override
    def reply_usage(self, body: bytes) -> Usage | None:
        reply = reply_object(body)
        return usage_of(reply.get("usage"), reply.get("meta"))


def usage_of(usage: object, meta: object) -> Usage | None:
    """What a ranking says it used; None when it says nothing.

    Servers with OpenAI's API say it under `usage`, Cohere under `meta`, where what was counted goes before what is billed.
    """
    if isinstance(usage, dict) and usage:
        try:
            return decode_read(cast("Json", usage))
        except ValueError:
            return None
    counted: object = _object_in(meta, "tokens") or _object_in(meta, "billed_units")
    if not counted:
        return None
    read, written = (_object_in(counted, name) for name in ("input_tokens", "output_tokens"))
    return Usage(_tokens(read), _tokens(written), raw=cast("Json", meta))


def _tokens(value: object) -> int:
    return max(0, int(value)) if isinstance(value, int | float) and isfinite(value) else 0


def _as_object(document: str | Json) -> Json:
    return {"text": document} if isinstance(document, str) else document


def _object_in(value: object, name: str) -> Any:
    return cast("Json", value).get(name) if isinstance(value, dict) else None
