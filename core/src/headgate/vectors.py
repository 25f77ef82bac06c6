"""The canonical model of embeddings and of reranking: what is asked and answered, in no vendor's wire format."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal

import msgspec
from msgspec import Struct

from headgate.chat import Usage
from headgate.errors import ProviderFailed

Input = str | tuple[int, ...]
"""A text, or the tokens of one."""
InputType = Literal["query", "document", "classification", "clustering", "similarity"]


class EmbedRequest(Struct, frozen=True):
    """Texts to embed. `dimensions` asks for shorter vectors; `encoding` is float or base64 (little-endian float32).

    `input_type` is what the vectors are for, where a vendor wants to know. `extra` holds members of the `dialect` it was
    decoded from that have no place here.
    """

    model: str
    inputs: tuple[Input, ...]
    dimensions: int | None = None
    encoding: Literal["float", "base64"] = "float"
    input_type: InputType | None = None
    user: str | None = None
    dialect: str = ""
    extra: dict[str, Any] = {}


class EmbedReply(Struct, frozen=True):
    """One vector for each input, in their order. `extra` keeps vendor members."""

    model: str
    vectors: tuple[tuple[float, ...], ...]
    usage: Usage | None = None
    id: str = ""
    dialect: str = ""
    extra: dict[str, Any] = {}


class RerankRequest(Struct, frozen=True):
    """Documents to order by how well they answer `query`. `top_n` None: all of them. Documents are texts or objects."""

    model: str
    query: str
    documents: tuple[str | dict[str, Any], ...]
    top_n: int | None = None
    return_documents: bool | None = None
    max_tokens_per_document: int | None = None
    dialect: str = ""
    extra: dict[str, Any] = {}

    def texts(self) -> tuple[str, ...]:
        """The documents as texts: of an object its `text`, else its JSON."""
        return tuple(_text_of(document) for document in self.documents)


class Ranked(Struct, frozen=True):
    """One document: its place in the request, and how relevant it is, more being better."""

    index: int
    score: float


class RerankReply(Struct, frozen=True):
    """The best documents first. `search_units` is what Cohere bills."""

    results: tuple[Ranked, ...]
    id: str = ""
    model: str = ""
    usage: Usage | None = None
    search_units: int | None = None
    dialect: str = ""
    extra: dict[str, Any] = {}


def vectors_for(
    request: EmbedRequest, vectors: Sequence[tuple[float, ...]], indices: Sequence[int | None] = ()
) -> tuple[tuple[float, ...], ...]:
    """The vectors in the order of the texts: by their `indices`, or by their place where none is said.

    Where others say one, no index is 0, which Google's OpenAI API leaves out (https://ai.google.dev/gemini-api/docs/openai).
    Raises ProviderFailed (code `upstream_bad_reply`) when there is not one vector for each text.
    """
    if len(vectors) != len(request.inputs):
        raise _bad_reply(f"{len(vectors)} vectors came for {len(request.inputs)} texts")
    if all(index is None for index in indices):
        return tuple(vectors)
    found = {index or 0: vector for index, vector in zip(indices, vectors, strict=True)}
    if found.keys() != set(range(len(vectors))):
        raise _bad_reply("the indices of the vectors are not those of the texts")
    return tuple(found[at] for at in range(len(vectors)))


def best_of(results: Iterable[Ranked], request: RerankRequest) -> tuple[Ranked, ...]:
    """The results that were asked for, best first. Raises ProviderFailed (code `upstream_bad_reply`) for one of no document."""
    ranked = sorted(results, key=lambda one: -one.score)
    for one in ranked:
        document_of(request, one)
    return tuple(ranked[: request.top_n])


def document_of(request: RerankRequest, result: Ranked) -> str | dict[str, Any]:
    """The document of a result. Raises ProviderFailed (code `upstream_bad_reply`) when the request has none at its index."""
    if not 0 <= result.index < len(request.documents):
        raise _bad_reply(f"a result has the index {result.index}, but there are {len(request.documents)} documents")
    return request.documents[result.index]


def _bad_reply(words: str) -> ProviderFailed:
    return ProviderFailed(f"the provider's reply does not fit the request: {words}", code="upstream_bad_reply")


def _text_of(document: str | dict[str, Any]) -> str:
    if isinstance(document, str):
        return document
    text: Any = document.get("text")
    return text if isinstance(text, str) else msgspec.json.encode(document).decode()
