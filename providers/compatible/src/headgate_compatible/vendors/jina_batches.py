"""Batches of Jina, of embeddings alone: texts stand in the request, or in Cloud Storage, and results come as OpenAI's lines.

Source: https://docs.jina.ai, as machines get it. For OpenAI's clients the batch itself is its `output_file_id`, with `-errors`
behind it its `error_file_id`, and `files.content` of these is relayed. Jina names the lines by itself, `request-` and a number.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar
from urllib.parse import quote

from typing_extensions import override

from headgate.dialects import Gaps
from headgate.dialects.jobs import (
    Action,
    Asked,
    JobDialect,
    VendorCall,
    as_object,
    batch,
    endpoint_of,
    needed,
    own_members,
    seconds_of,
    usage_of,
)
from headgate.dialects.openai.members import Json, Members
from headgate.errors import InvalidRequest, UnsupportedField
from headgate.exchange import Exchange
from headgate.operations import EMBEDDINGS, FILES

_STORED = "gs://"
_ERRORS = "-errors"
_RESULTS = re.compile(rf"/v1/files/(batch_[^/]+?)({_ERRORS})?/content")
"""The content of a file whose id is that of a batch."""


class JinaBatches(JobDialect):
    """Batches of Jina: one model and `input`, a list of texts, or a place `gs://…` as the file. There is no list of them.

    Its own members `input`, `task`, `dimensions` and `normalized` pass.
    """

    name = "jina.batches"
    operation = "batches"
    path = "/batch"
    actions: ClassVar[Mapping[Action, tuple[str, str]]] = {
        "create": ("POST", "/embeddings"),
        "retrieve": ("GET", "/{id}"),
        "cancel": ("DELETE", "/{id}"),
    }
    _STATUS: ClassVar[Mapping[str, str]] = {
        "submitted": "validating",
        "processing": "in_progress",
        "completed": "completed",
        "failed": "failed",
        "cancelled": "cancelled",
    }

    @override
    def encode_job(self, asked: Members, gaps: Gaps) -> Json:
        place = asked.find("input_file_id", str) or ""
        if place and not place.startswith(_STORED):
            raise UnsupportedField(
                f"`input_file_id` names nothing that `{gaps.target}` reads: write the texts into `input`, or a place in Cloud "
                "Storage, `gs://bucket/file.jsonl`, whose lines are `input` each",
                param="input_file_id",
            )
        if asked.find("completion_window", str) is not None:
            gaps.skip("completion_window")
        endpoint_of(asked, (EMBEDDINGS.path,), gaps.target)
        texts = asked.find("input", list[str])
        if bool(place) == bool(texts):
            raise InvalidRequest("a batch has either `input` or `input_file_id` there", param="input")
        return {
            "model": needed(asked, "model", "a batch has one model there; write it beside `input`"),
            **({"input_file": place} if place else {"input": texts}),
            **own_members(asked, ("task", "dimensions", "normalized")),
        }

    @override
    def following(self, asked: Asked, said: Sequence[Any]) -> VendorCall | None:
        """What the answer to a cancellation holds is not documented, so the batch is asked for behind it."""
        return self._retrieval(asked.id) if asked.action == "cancel" and len(said) == 1 else None

    @override
    def decode_job(self, said: Json, asked: Asked) -> Json:
        native = str(said.get("status") or "")
        status = self._STATUS.get(native, "in_progress")
        stats: Json = as_object(said.get("stats") or {})
        known = said.get("batch_id")
        failed = int(stats.get("failed") or 0)
        told: Json = {
            "id": known,
            "endpoint": EMBEDDINGS.path,
            "model": asked.body.get("model"),
            "input_file_id": asked.body.get("input_file_id") or "",
            "completion_window": asked.body.get("completion_window") or "",
            "output_file_id": known if status == "completed" else None,
            "error_file_id": f"{known}{_ERRORS}" if failed or status == "failed" else None,
            "created_at": seconds_of(said.get("created_at")) or 0,
            "request_counts": {
                "total": int(stats.get("total") or 0),
                "completed": int(stats.get("completed") or 0),
                "failed": failed,
            },
            "usage": usage_of(stats.get("total_tokens"), 0),
        }
        return batch(told, status, native, seconds_of(said.get("completed_at")))

    @override
    def jobs_in(self, said: Any) -> Sequence[Json]:
        return ()


def results_asked(ex: Exchange) -> str:
    """Where the results stand that a client asks for as the content of a file, below the base URL; empty for any other call."""
    found = _RESULTS.fullmatch(ex.path) if ex.operation is FILES and ex.scope_method == "GET" else None
    if found is None:
        return ""
    return f"{JinaBatches.path}/{quote(found[1], safe='')}/{'errors' if found[2] else 'output'}"
