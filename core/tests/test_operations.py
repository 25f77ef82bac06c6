"""The table of operations: whose path it is, whose client asks, and what an error says there is."""

from __future__ import annotations

import pytest

from headgate.operations import GENERATE_MODELS, MODELS, client_dialect, find_listing, find_named, model_of, named_below


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/v1/models/a", MODELS.name),
        ("/v1/models/a/b:c", MODELS.name),
        ("/v1/models/", MODELS.name),
        ("/v1beta/models/a", GENERATE_MODELS.name),
        ("/v1beta/models/a:nothing", GENERATE_MODELS.name),
        ("/v1/models", None),
        ("/v1/modelsx/a", None),
        ("/v1beta/other", None),
    ],
)
def test_what_stands_below_a_listing(path: str, name: str | None) -> None:
    """One model, whatever its name holds."""
    found = find_listing(path)
    assert (found.name if found is not None else None) == name


@pytest.mark.parametrize(
    ("path", "operation", "model"),
    [
        ("/v1beta/models/a/b:embedContent", "generate.embed_one", "a/b"),
        ("/v1/models/a:8b:batchEmbedContents", "generate.embed", "a:8b"),
        ("/v1beta/models/a:countTokens", "generate.count_tokens", "a"),
        ("/v1beta/a/b:8b:countTokens", "generate.count_tokens", "a/b:8b"),
        ("/v1beta1/projects/p/locations/global/publishers/google/models/a:generateContent", "generate", "a"),
        (
            "/v1/projects/p/locations/global/publishers/anthropic/models/a/b:generateContent",
            "generate",
            "anthropic/a/b",
        ),
        ("/v1beta1/publishers/google/models/a:embedContent", "generate.embed_one", "a"),
        ("/v1/projects/p/locations/l/endpoints/12:generateContent", "generate", "endpoints/12"),
    ],
)
def test_methods_of_google(path: str, operation: str, model: str) -> None:
    """The last colon parts the model from the method."""
    named = find_named(path)
    assert named is not None
    assert (named.operation.name, named.model, named.stream) == (operation, model, False)


@pytest.mark.parametrize(
    "path",
    [
        "/v1beta1/publishers/google/models/a:predict",
        "/v1/files/a:countTokens",
        "/v1beta1/models",
        "/v1beta1/a:countTokens",
    ],
)
def test_what_names_no_model(path: str) -> None:
    """Other methods and other paths are passed through."""
    assert find_named(path) is None


@pytest.mark.parametrize(
    ("resource", "model"),
    [
        ("a", "a"),
        ("models/a", "a"),
        ("tunedModels/a", "tunedModels/a"),
        ("publishers/google/models/a", "a"),
        ("projects/p/locations/l/publishers/meta/models/a", "meta/a"),
        ("vertex/a", "vertex/a"),
        ("", ""),
    ],
)
def test_models_in_resources(resource: str, model: str) -> None:
    """A name that is no resource stays as it is."""
    assert model_of(resource) == model


@pytest.mark.parametrize(
    ("path", "headers", "dialect"),
    [
        ("/v1/models", {}, ""),
        ("/v1/models", {b"x-api-key": b"k"}, ""),
        ("/v1/models", {b"anthropic-version": b"2023-06-01"}, "anthropic.messages"),
        ("/v1/messages/batches", {}, "anthropic.messages"),
        ("/v1/messagesx", {}, ""),
        ("/v1/models", {b"x-goog-api-key": b"k"}, "google.generate"),
        ("/v1/models", {b"x-goog-api-client": b"google-genai-sdk/3.4"}, "google.generate"),
        ("/v1beta/models", {b"anthropic-version": b"2023-06-01"}, "google.generate"),
    ],
)
def test_whose_client_asks(path: str, headers: dict[bytes, bytes], dialect: str) -> None:
    """A path of one vendor alone says it before the headers do."""
    assert client_dialect(path, headers) == dialect


def test_what_there_is() -> None:
    """A prefix names all that stands at it and below, each with its methods."""
    batches = "`GET, POST, DELETE /v1/messages/batches`"
    assert named_below("/v1/messages") == f"`POST /v1/messages`, `POST /v1/messages/count_tokens`, {batches}"
    methods = ("generateContent", "streamGenerateContent", "countTokens", "embedContent", "batchEmbedContents")
    methods = (*methods, "batchGenerateContent", "asyncBatchEmbedContent")
    assert named_below("/v1beta").split(", `") == [
        "`GET, POST, DELETE /v1beta/files`",
        "GET, POST, PATCH, DELETE /v1beta/batches`",
        "GET, POST, PATCH, DELETE /v1beta/cachedContents`",
        "GET, HEAD /v1beta/models`",
        "GET, HEAD /v1beta/models/{model}`",
        *(f"POST /v1beta/models/{{model}}:{method}`" for method in methods),
    ]
