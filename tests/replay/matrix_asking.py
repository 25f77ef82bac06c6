"""What clients ask of each operation: a plain request, and for chat one for each feature, in the words of every client."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.replay.clients import body_of
from tests.replay.matrix_answers import TEXTS, Said
from tests.replay.neutral import TEXT, Function, Question
from tests.replay.reading import Json, objects
from tests.replay.targets import PNG

FEATURES = ("whole", "stream", "tools", "parallel", "images", "structured", "reasoning")
PIXEL = base64.b64encode(PNG).decode()
SCHEMA: Json = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
TOOL = Function("look_up", "Looks something up.", SCHEMA)
SAID: Mapping[str, Said] = {
    "whole": Said("Hello"),
    "tools": Said(calls=(("look_up", {"city": "Bern"}),)),
    "parallel": Said(calls=(("look_up", {"city": "Bern"}), ("look_up", {"city": "Grüße"}))),
    "images": Said("A pixel."),
    "structured": Said('{"city":"Bern"}'),
    "reasoning": Said("Bern.", thought="It is a city of Switzerland."),
}
"""What the vendor answers to each feature."""
_BESIDE: Mapping[str, Json] = {
    "predibase.fine_tuning": {"suffix": "r"},
    "replicate.fine_tuning": {"destination": "matrix/mine"},
}
"""What vendors must be told of a new tuning job."""


def asked_for(dialect: str, feature: str, model: str) -> Json:
    """A request for one feature as a client of this dialect writes it; `model` is as the client names it."""
    tools = (TOOL,) if feature in {"tools", "parallel"} else ()
    body = body_of(dialect, Question("m", feature == "stream", tools))
    match feature:
        case "images":
            body |= _PICTURES[dialect]
        case "structured":
            body |= _STRUCTURED[dialect]
        case "reasoning":
            body |= _REASONING[dialect]
        case _:
            pass
    return body if dialect == "google.generate" else {**body, "model": model}


_PICTURES: Mapping[str, Json] = {
    "openai.chat": {
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": TEXT},
                    {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}},
                ],
            }
        ]
    },
    "openai.responses": {
        "input": [
            {
                "role": "user",
                "content": [
                    {"type": "input_text", "text": TEXT},
                    {"type": "input_image", "detail": "auto", "image_url": f"data:image/png;base64,{PIXEL}"},
                ],
            }
        ]
    },
    "anthropic.messages": {
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": TEXT},
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}},
                ],
            }
        ]
    },
    "google.generate": {
        "contents": [
            {"role": "user", "parts": [{"text": TEXT}, {"inlineData": {"mimeType": "image/png", "data": PIXEL}}]}
        ]
    },
}
_STRUCTURED: Mapping[str, Json] = {
    "openai.chat": {"response_format": {"type": "json_schema", "json_schema": {"name": "city", "schema": SCHEMA}}},
    "openai.responses": {"text": {"format": {"type": "json_schema", "name": "city", "schema": SCHEMA}}},
    "anthropic.messages": {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}},
    "google.generate": {
        "generationConfig": {"responseMimeType": "application/json", "responseJsonSchema": SCHEMA},
    },
}
_REASONING: Mapping[str, Json] = {
    "openai.chat": {"reasoning_effort": "high"},
    "openai.responses": {"reasoning": {"effort": "high"}},
    "anthropic.messages": {"max_tokens": 16000, "thinking": {"type": "enabled", "budget_tokens": 9000}},
    "google.generate": {"generationConfig": {"thinkingConfig": {"thinkingBudget": 9000, "includeThoughts": True}}},
}


# other operations


@dataclass(frozen=True)
class Request:
    """One request of a client. `form` are the fields of a multipart form, which has a file beside them."""

    path: str
    json: Json | None = None
    form: Json | None = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


FILE = (
    "talk.wav",
    b"RIFF\x18\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00\x80>\x00\x00\xff\r\n--b",
    "audio/wav",
)
PASSED = "things/1?a=b"
"""What is asked to be passed through, below the API's root."""
_HEADER = "x-headgate-provider"
_RESULTS: Json = {"predictionsFormat": "jsonl", "gcsDestination": {"outputUriPrefix": "gs://matrix/results"}}


def file_of(dialect: str) -> str:
    """The file that a job is asked to read: some vendors have none of their own, and read from buckets."""
    if dialect.startswith("byteplus."):
        return "tos://matrix/file-1"
    return "gs://matrix/file-1" if dialect.startswith(("vertex.", "jina.")) else "file-1"


_ARE_READ = frozenset(
    {"ai21.files", "anthropic.files", "minimax.files", "openrouter.files", "replicate.files", "writer.files"}
)
"""Files that are there for models to read."""
_HELD: Json = {"input_file_id": "", "requests": [{"custom_id": "1", "body": {}}]}
"""Of batches that hold their requests themselves."""
_HELD_CHAT: Json = {
    "input_file_id": "",
    "requests": [{"custom_id": "1", "body": {"messages": [{"role": "user", "content": TEXT}]}}],
}
"""Of those whose requests are translated."""
_OF_BATCHES: Mapping[str, Json] = {
    "ai21.batches": _HELD,
    "voyage.batches": {"endpoint": "/v1/embeddings"},
    "anthropic.batches": _HELD_CHAT,
    "vercel.batches": _HELD_CHAT,
    "openrouter.batches": _HELD,
    "cloudflare.batches": _HELD,
    "jina.batches": {"endpoint": "/v1/embeddings"},
}
"""What is asked otherwise of batches, by dialect."""
HOLDING = frozenset(name for name, asked in _OF_BATCHES.items() if asked in (_HELD, _HELD_CHAT))
_NAMED_IN_LINES = frozenset({"ai21.batches", "xai.batches"})
"""Batches whose lines say the model."""
_SPOKEN: Mapping[str, Json] = {"krutrim": {"voice": "female", "input_language": "eng"}}
"""What is asked otherwise of speech, by vendor."""


def other_request(operation: str, deployment: str, model: str, dialect: str = "", vendor: str = "") -> Request:
    """A request for an operation that is no chat; `model` is the vendor's, which clients name behind the deployment.

    An edit by Recraft says its strength, speech by Krutrim its language. Where batches are in a `dialect` of the vendor's own
    they have a model, which stands beside OpenAI's members; xAI's and AI21's have not, Vertex AI's say where their results go.
    """
    named = f"{deployment}/{model}"
    said: Json = {"messages": [{"role": "user", "content": TEXT}]}
    contents: Json = {"contents": [{"role": "user", "parts": [{"text": TEXT}]}]}
    goes = {_HEADER: deployment}
    return {
        "completions": Request("/v1/completions", {"model": named, "prompt": "Hello", "max_tokens": 5}),
        "embeddings": Request("/v1/embeddings", {"model": named, "input": TEXTS}),
        "rerank": Request("/v1/rerank", {"model": named, "query": "who?", "documents": TEXTS, "top_n": 2}),
        "images.generate": Request("/v1/images/generations", {"model": named, "prompt": "a cat"}),
        "images.edit": Request(
            "/v1/images/edits",
            form={"model": named, "prompt": "a cat", **({"strength": "0.5"} if vendor == "recraft" else {})},
        ),
        "images.variations": Request("/v1/images/variations", form={"model": named}),
        "audio.speech": Request(
            "/v1/audio/speech", {"model": named, "input": "Hello", "voice": "alloy", **_SPOKEN.get(vendor, {})}
        ),
        "audio.transcriptions": Request("/v1/audio/transcriptions", form={"model": named, "language": "en"}),
        "audio.translations": Request("/v1/audio/translations", form={"model": named}),
        "moderations": Request("/v1/moderations", {"model": named, "input": "Hello"}),
        "files": Request("/v1/files", form={"purpose": "user_data" if dialect in _ARE_READ else "batch"}, headers=goes),
        "uploads": Request(
            "/v1/uploads", {"purpose": "batch", "filename": "a", "bytes": 2, "mime_type": "text/plain"}, headers=goes
        ),
        "batches": Request(
            "/v1/batches",
            {
                "input_file_id": file_of(dialect),
                "endpoint": "/v1/chat/completions",
                "completion_window": "24h",
                **({"model": named} if dialect and dialect not in _NAMED_IN_LINES else {}),
                **({"outputConfig": _RESULTS} if dialect == "vertex.batches" else {}),
                **_OF_BATCHES.get(dialect, {}),
            },
            headers=goes,
        ),
        "fine_tuning.jobs": Request(
            "/v1/fine_tuning/jobs",
            {
                "model": named,
                "training_file": file_of(dialect),
                **_BESIDE.get(dialect, {}),
            },
        ),
        "count_tokens": Request("/v1/messages/count_tokens", {"model": named, **said}),
        "generate.count_tokens": Request(f"/v1beta/models/{named}:countTokens", contents),
        "responses.input_tokens": Request("/v1/responses/input_tokens", {"model": named, "input": TEXT}),
        "messages.batches": Request(
            "/v1/messages/batches", {"requests": [{"custom_id": "1", "params": {"model": model, **said}}]}, headers=goes
        ),
        "generate.files": Request("/v1beta/files", {"file": {"displayName": "a"}}, headers=goes),
        "generate.uploads": Request("/upload/v1beta/files", {"file": {"displayName": "a"}}, headers=goes),
        "generate.batch": Request(
            f"/v1beta/models/{named}:batchGenerateContent", {"batch": {"inputConfig": {"fileName": "files/a"}}}
        ),
        "generate.batches": Request("/v1beta/batches/b:cancel", {}, headers=goes),
        "generate.caches": Request("/v1beta/cachedContents", {"model": f"models/{named}", **contents}),
        "generate.embed": Request(
            f"/v1beta/models/{named}:batchEmbedContents", {"requests": [_embedded(text) for text in TEXTS]}
        ),
        "generate.embed_one": Request(f"/v1beta/models/{named}:embedContent", _embedded(TEXT)),
        "passthrough": Request(f"/v1/{PASSED}", {"model": "as it is"}, headers=goes),
    }[operation]


def _embedded(text: str) -> Json:
    return {"content": {"parts": [{"text": text}]}}


def texts_of(results: Any) -> list[tuple[int, float]]:
    """The pairs of a ranking."""
    return [(each["index"], each["relevance_score"]) for each in objects(results)]
