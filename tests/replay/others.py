"""Recorded exchanges of operations that are no chat: embeddings, rankings and completions, replayed through a gateway.

A client asks in OpenAI's words, or Cohere's for a ranking; what the vendor is sent must mean what was recorded, and the client
must get the recorded vectors, scores and texts number for number. Counts stand in others.json, and each test compares its own
with the file once it has found nothing wrong; `python -m tests.replay.others` writes it anew.
"""

from __future__ import annotations

import asyncio
import gzip
import inspect
import json
import struct
import sys
from base64 import b64decode
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import cohere.v2.client
import mistralai.client.models
import openai.types
from openai.types import completion_create_params
from pydantic import ValidationError
from tests.replay.closed import closed_adapter
from tests.replay.corpus import FOLDER
from tests.replay.matrix_answers import SCORES
from tests.replay.reading import Json, objects
from tests.replay.vendors import DEPLOYMENT, KEY, deployment_of

from headgate.testing import Client, Recorded, ReplayUpstream, gateway

FILE = Path(__file__).parent / "others.json"
PATHS = {"embeddings": "/v1/embeddings", "rerank": "/v1/rerank", "completions": "/v1/completions"}
_OPERATIONS = {
    "cohere-embed": "embeddings",
    "embedContent": "embeddings",
    "vertex-predict-embed": "embeddings",
    "embeddings": "embeddings",
    "rerank": "rerank",
    "completions": "completions",
}
_TASKS = {"RETRIEVAL_DOCUMENT": "document", "search_document": "document", "document": "document"}
WITHOUT = {
    "ca2a6191fe69770d": "an event stream, recorded as the answer to a request for none",
    "34cac64e6bb0a3f9": "an answer of Bedrock's agent runtime, which is another API than InvokeModel",
}
"""Recordings that no provider could have got, and why. Ollama's is of an endpoint that its newer one has replaced, and
Writer's completions are not OpenAI's: their operations are not among those above."""
_SAME = frozenset({"openai", "azure", "mistral", "together"})
"""Vendors whose answers reach the client byte for byte."""


@dataclass(frozen=True)
class Exchanged:
    """One exchange. `sent` is the request that was recorded, None where only the answer was kept."""

    id: str
    vendor: str
    operation: str
    model: str
    asked: Json
    sent: Json | None
    status: int
    headers: Mapping[str, str]
    body: bytes
    stream: bool

    @property
    def group(self) -> str:
        """Vendor and operation, as the file names them."""
        return f"{self.vendor}/{self.operation}"


@cache
def exchanges() -> tuple[Exchanged, ...]:
    """Every recorded exchange of these operations; none without the folder."""
    return tuple(
        _exchanged(row, operation)
        for file in sorted(FOLDER.glob("*.jsonl.gz"))
        for row in _rows(file)
        if (operation := _operation_of(row)) and row["id"] not in WITHOUT
    )


def groups() -> list[str]:
    """Vendors and operations that are recorded."""
    return sorted({each.group for each in exchanges()})


def held(group: str) -> Json:
    """What the file says of a group."""
    data: Any = json.loads(FILE.read_text("utf-8"))
    return data.get(group, {})


async def proven(group: str) -> tuple[Json, list[str]]:
    """How many exchanges of a group arrive, by kind, and what is wrong with the others."""
    upstream = ReplayUpstream()
    counted = Counter[str]()
    faults: list[str] = []
    vendor = group.partition("/")[0]
    async with gateway(providers={DEPLOYMENT: deployment_of(vendor)}, upstream=upstream) as client:
        for each in (one for one in exchanges() if one.group == group):
            wrong = [fault async for fault in _faults(client, upstream, each)]
            faults += [f"{each.id} {group}: {fault}" for fault in wrong]
            kind = "errors" if each.status >= 400 else "stream" if each.stream else "whole"
            counted[kind] += not wrong
    return dict(sorted(counted.items())), faults


async def _faults(client: Client, upstream: ReplayUpstream, each: Exchanged) -> AsyncIterator[str]:
    kind = "text/event-stream" if each.stream else "application/json"
    headers = {
        "content-type": kind,
        **{name: value for name, value in each.headers.items() if name != "content-length"},
    }
    sizes = (7, 1, 64) if each.stream else ()
    upstream.answer("*", Recorded(status=each.status, headers=tuple(headers.items()), body=each.body, sizes=sizes))
    for encoding in ("float", "base64") if each.operation == "embeddings" and each.vendor not in _SAME else ("",):
        upstream.requests.clear()
        asked = {**each.asked, **({"encoding_format": encoding} if encoding else {})}
        reply = await client.post(PATHS[each.operation], json={**asked, "model": f"{DEPLOYMENT}/{each.model}"})
        if KEY.encode() in reply.content:
            yield "the key stands in the answer"
        for fault in _unsent(each, json.loads(upstream.requests[-1].body)) if upstream.requests else ["nothing sent"]:
            yield fault
        for fault in _unread(each, encoding, reply.status_code, reply.content):
            yield fault


def _unsent(each: Exchanged, sent: Json) -> Iterator[str]:
    """Where the vendor was sent something else than was recorded, or than its SDK's types take."""
    if each.sent is not None and (left := _meaning(sent)) != (right := _meaning(each.sent)):
        yield f"sent {str(left)[:200]} instead of {str(right)[:200]}"
    yield from _refused(each, sent)


def _meaning(body: Json) -> Json:
    """A request without what goes without saying: nulls, the model where the path has it, and how vectors are written."""
    held = {
        name: value
        for name, value in body.items()
        if value is not None and name not in {"encoding_format", "embedding_types", "model"}
    }
    if "requests" in held:  # the parts of one text are one text
        held["requests"] = [
            {**each, "content": "".join(part["text"] for part in each["content"]["parts"])} for each in held["requests"]
        ]
    return held


def _refused(each: Exchanged, sent: Json) -> Iterator[str]:
    """Why the types of the vendor's SDK do not take a body; nothing where it has none for this."""
    match each.vendor, each.operation:
        case (("openai" | "azure"), "embeddings"):
            kind: Any = openai.types.EmbeddingCreateParams
        case (("openai" | "azure"), "completions"):
            side = "Streaming" if sent.get("stream") else "NonStreaming"
            kind = getattr(completion_create_params, f"CompletionCreateParams{side}")
        case "mistral", "embeddings":
            kind = mistralai.client.models.EmbeddingRequest
        case "cohere", ("embeddings" | "rerank"):
            method = (
                cohere.v2.client.V2Client.embed if each.operation == "embeddings" else cohere.v2.client.V2Client.rerank
            )
            unknown = set(sent) - set(inspect.signature(method).parameters) - _OLDER
            if unknown:
                yield f"the SDK knows no {sorted(unknown)}"
            return
        case _:
            return
    given = {name: value for name, value in sent.items() if value is not None}
    try:
        closed_adapter(kind).validate_python(given)
    except ValidationError as error:
        yield f"the SDK's types refuse it: {error.errors()[0]}"


_OLDER = frozenset({"max_chunks_per_doc"})
"""A member of Cohere's older rankings that a recorded client sent as null."""


def _unread(each: Exchanged, encoding: str, status: int, body: bytes) -> Iterator[str]:
    """Where the client got something else than the vendor said."""
    if each.status >= 400:
        said: Any = json.loads(each.body)["error"]
        if status != each.status or said["message"] not in json.loads(body)["error"]["message"]:
            yield f"{status} {body[:200]!r} instead of {each.status} {said}"
        return
    if status != 200:
        yield f"{status} {body[:300]!r}"
    elif each.vendor in _SAME:
        if body != each.body:
            yield "other bytes than the vendor's"
    elif each.operation == "rerank":
        yield from _other_ranking(each, json.loads(body))
    else:
        yield from other_vectors(each, encoding, json.loads(body))


def _other_ranking(each: Exchanged, got: Json) -> Iterator[str]:
    said: Json = json.loads(each.body)
    wanted = [(one["index"], one["relevance_score"]) for one in objects(said.get("results") or said.get("data"))]
    seen = [(one["index"], one["relevance_score"]) for one in objects(got["results"])]
    if seen != wanted:
        yield f"ranking {seen} instead of {wanted}"
    tokens = said.get("usage", {}).get("total_tokens")
    if tokens is not None and got["meta"]["tokens"]["input_tokens"] != tokens:
        yield f"usage {got['meta']} instead of {tokens}"


def other_vectors(each: Exchanged, encoding: str, got: Json) -> Iterator[str]:
    """Where the vectors of a client's answer, their order or the usage are not the vendor's."""
    vectors, tokens = truth_of(each)
    data = objects(got["data"])
    if [one["index"] for one in data] != list(range(len(vectors))):
        yield f"order {[one['index'] for one in data]}"
    single = [list(struct.unpack(f"<{len(one)}f", struct.pack(f"<{len(one)}f", *one))) for one in vectors]
    if encoding == "base64":
        seen = [list(struct.unpack(f"<{len(single[0])}f", b64decode(one["embedding"]))) for one in data]
    else:
        seen = [one["embedding"] for one in data]
    if seen != (single if encoding == "base64" else vectors):
        yield f"other vectors ({encoding})"
    if got["usage"] != {"prompt_tokens": tokens, "total_tokens": tokens}:
        yield f"usage {got['usage']} instead of {tokens}"


def truth_of(each: Exchanged) -> tuple[list[list[float]], int]:
    """The vectors in order, and the tokens read, as the vendor's bytes say; 0 where it says nothing."""
    said: Json = json.loads(each.body)
    match each.vendor:
        case "cohere":
            return said["embeddings"]["float"], said["meta"]["billed_units"]["input_tokens"]
        case "google":
            return [one["values"] for one in said["embeddings"]], 0
        case "vertex":
            held = [one["embeddings"] for one in said["predictions"]]
            return [one["values"] for one in held], sum(one["statistics"]["token_count"] for one in held)
        case "bedrock":
            told = said.get("inputTextTokenCount") or each.headers.get("x-amzn-bedrock-input-token-count")
            return said.get("embeddings") or [said["embedding"]], int(told or 0)
        case _:
            data = sorted(objects(said["data"]), key=lambda one: one["index"])
            return [_numbers(one["embedding"]) for one in data], said["usage"]["total_tokens"]


def _numbers(value: Any) -> list[float]:
    if isinstance(value, str):
        data = b64decode(value)
        return list(struct.unpack(f"<{len(data) // 4}f", data))
    return list(value)


# what was recorded


def _rows(file: Path) -> list[Json]:
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def _operation_of(row: Json) -> str:
    if row["provider"] == "writer":
        return ""
    if row["operation"] == "invoke":
        return next((to for word, to in (("embed", "embeddings"), ("rerank", "rerank")) if word in row["path"]), "")
    return _OPERATIONS.get(row["operation"], "")


def _exchanged(row: Json, operation: str) -> Exchanged:
    sent: Json | None = row["req_json"]
    vendor = "google" if row["provider"] == "gemini" else row["provider"]
    body = str(row["resp_text"] or "").encode()
    asked, model = _asked(row, operation, sent if sent is not None else _made_up(operation, json.loads(body)))
    return Exchanged(
        row["id"],
        vendor,
        operation,
        model,
        asked,
        sent,
        row["status"],
        row["resp_headers"] or {},
        body,
        bool(row["stream"]),
    )


def _made_up(operation: str, said: Json) -> Json:
    """A request that an answer fits of which nothing else was kept."""
    if operation == "rerank":
        return {"model": "rerank-v3.5", "query": "?", "documents": ["a"] * len(SCORES)}
    return {"model": "embed-v4.0", "texts": said["texts"], "input_type": "search_document"}


def _asked(row: Json, operation: str, sent: Json) -> tuple[Json, str]:
    """What a client of the gateway asks for the same, and of which model."""
    path: str = row["path"]
    model = str(sent.get("model") or path.partition("/models/")[2].partition(":")[0])
    match row["operation"]:
        case "invoke":
            model = path.removeprefix("/model/").removesuffix("/invoke")
            if operation == "rerank":
                return {name: value for name, value in sent.items() if name != "api_version"}, model
            return _texts(sent.get("texts") or [sent["inputText"]], sent.get("input_type")), model
        case "cohere-embed":
            return _texts(sent["texts"], sent["input_type"]), model
        case "vertex-predict-embed":
            (one,) = sent["instances"]
            return _texts([one["content"]], one["task_type"]), model
        case "embedContent":
            texts = ["".join(part["text"] for part in one["content"]["parts"]) for one in sent["requests"]]
            return _texts(texts, sent["requests"][0]["taskType"]), model
        case "rerank" if "top_k" in sent:
            return {("top_n" if name == "top_k" else name): value for name, value in sent.items()}, model
        case _ if row["provider"] == "voyage":
            return {name: value for name, value in sent.items() if value is not None}, model
        case _:
            return dict(sent), model


def _texts(texts: list[str], kind: str | None) -> Json:
    return {"input": texts, **({"input_type": _TASKS[kind]} if kind else {})}


def main() -> int:
    """Write the file; what is wrong is told, and then nothing is written."""
    rows: Json = {}
    wrong: list[str] = []
    for group in groups():
        rows[group], faults = asyncio.run(proven(group))
        wrong += faults
    sys.stdout.writelines(f"{fault}\n" for fault in wrong)
    if not wrong:
        FILE.write_text(json.dumps(rows, indent=1, sort_keys=True) + "\n", "utf-8")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
