"""The dialect `cohere.batches`: batches over datasets.

Source: https://docs.cohere.com/reference/create-batch. What the lines of a dataset are for is said by its type when it is made
(https://docs.cohere.com/reference/create-dataset: `batch-openai-chat-input`, `batch-chat-v2-input`, `batch-embed-v2-input`),
so the endpoint is checked and not sent. The vendor tells neither that nor a window, so answers about older batches have none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from typing_extensions import override

from headgate.dialects import Gaps
from headgate.dialects.jobs import (
    USUAL_ACTIONS,
    Action,
    Asked,
    JobDialect,
    as_object,
    batch,
    endpoint_of,
    needed,
    objects_in,
    seconds_of,
    usage_of,
)
from headgate.dialects.openai.members import Json, Members
from headgate.dialects.words import Headers
from headgate.errors import ErrorWords
from headgate_cohere.chat import error_words

_ENDPOINTS = ("/v1/chat/completions", "/v1/embeddings")
_STATUS = {
    "BATCH_STATUS_UNSPECIFIED": "validating",
    "BATCH_STATUS_QUEUED": "validating",
    "BATCH_STATUS_IN_PROGRESS": "in_progress",
    "BATCH_STATUS_CANCELING": "cancelling",
    "BATCH_STATUS_COMPLETED": "completed",
    "BATCH_STATUS_FAILED": "failed",
    "BATCH_STATUS_CANCELED": "cancelled",
}


class CohereBatches(JobDialect):
    """Batches of Cohere. A batch has one model and a `name`, which a client may write; else it is called as its dataset."""

    name = "cohere.batches"
    operation = "batches"
    path = "/v2/batches"
    actions: ClassVar[Mapping[Action, tuple[str, str]]] = {
        **USUAL_ACTIONS,
        "cancel": ("POST", "/{id}:cancel"),
    }

    @override
    def encode_job(self, asked: Members, gaps: Gaps) -> Json:
        endpoint_of(asked, _ENDPOINTS, gaps.target)
        dataset = asked.need("input_file_id", str)
        if asked.find("completion_window", str) is not None:
            gaps.skip("completion_window")
        return {
            "name": asked.find("name", str) or dataset,
            "input_dataset_id": dataset,
            "model": needed(asked, "model", "a batch has one model there; write it beside `input_file_id`"),
        }

    @override
    def decode_job(self, said: Json, asked: Asked) -> Json:
        job: Json = as_object(said["batch"]) if "batch" in said else said
        status = _STATUS.get(str(job.get("status")), "in_progress")
        told: Json = {
            "id": job.get("id"),
            "endpoint": asked.body.get("endpoint") or "",
            "model": job.get("model"),
            "input_file_id": job.get("input_dataset_id") or "",
            "completion_window": asked.body.get("completion_window") or "",
            "output_file_id": job.get("output_dataset_id") or None,
            "created_at": seconds_of(job.get("created_at")) or 0,
            "name": job.get("name"),
            "request_counts": {
                "total": job.get("num_records") or 0,
                "completed": job.get("num_successful_records") or 0,
                "failed": job.get("num_failed_records") or 0,
            },
            "usage": usage_of(job.get("input_tokens"), job.get("output_tokens")),
        }
        errors = [{"message": job["status_reason"]}] if status == "failed" and job.get("status_reason") else []
        return batch(told, status, job.get("status"), seconds_of(job.get("updated_at")), errors)

    @override
    def jobs_in(self, said: Any) -> Sequence[Json]:
        return objects_in(said, "batches")

    @override
    def first_page(self) -> Mapping[str, str]:
        return {"page_size": "1000"}

    @override
    def next_page(self, said: Sequence[Any]) -> Mapping[str, str] | None:
        token = as_object(said[-1]).get("next_page_token")
        return {**self.first_page(), "page_token": str(token)} if token else None

    @override
    def decode_error(self, status: int, body: bytes, headers: Headers = ()) -> ErrorWords:
        return error_words(super().decode_error(status, body, headers), body)
