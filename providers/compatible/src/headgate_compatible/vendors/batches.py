"""Batches of vendors with an API of their own for them: Mistral's, Together's, Fireworks' and Voyage's.

Sources: https://docs.mistral.ai/studio-api/batch-processing and the types of `mistralai` 3.7;
https://docs.together.ai/docs/inference/batch/tutorial and the types of `together` 3.1;
https://docs.fireworks.ai/guides/batch-inference, https://docs.fireworks.ai/api-reference/create-batch-inference-job and the
types of https://github.com/fw-ai-external/python-sdk; https://docs.voyageai.com/docs/batch-inference and
https://docs.voyageai.com/reference/list-batches. Each line of a file holds `custom_id` and `body`, as OpenAI's do: files
are the vendor's, and their lines pass unread.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar
from urllib.parse import quote

import msgspec
from typing_extensions import override

from headgate.dialects import Gaps
from headgate.dialects.jobs import (
    DAY,
    USUAL_ACTIONS,
    Action,
    Asked,
    JobDialect,
    KeptDialect,
    VendorCall,
    as_object,
    batch,
    endpoint_of,
    needed,
    objects_in,
    own_members,
    seconds_of,
    usage_of,
    within_a_day,
)
from headgate.dialects.openai.members import Json, Members, given
from headgate.errors import InvalidRequest

ACCOUNT_ENV = "FIREWORKS_ACCOUNT_ID"
"""Where Fireworks' SDKs look for the account, by the code of those who use them."""
_CHAT = "/v1/chat/completions"
_HOURS = re.compile(r"([1-9]\d{0,2})h")


class MistralBatches(JobDialect):
    """Batches of Mistral: lists of files, one model at the job unless the lines name theirs, and up to seven days.

    Its own members `agent_id` and `timeout_hours` pass. Lists come in numbered pages.
    """

    name = "mistral.batches"
    operation = "batches"
    path = "/batch/jobs"
    actions: ClassVar[Mapping[Action, tuple[str, str]]] = USUAL_ACTIONS
    _ENDPOINTS = (
        *("/v1/chat/completions", "/v1/embeddings", "/v1/fim/completions", "/v1/moderations", "/v1/chat/moderations"),
        *(
            "/v1/ocr",
            "/v1/classifications",
            "/v1/chat/classifications",
            "/v1/conversations",
            "/v1/audio/transcriptions",
        ),
    )
    _STATUS: ClassVar[Mapping[str, str]] = {
        "QUEUED": "validating",
        "RUNNING": "in_progress",
        "SUCCESS": "completed",
        "FAILED": "failed",
        "TIMEOUT_EXCEEDED": "expired",
        "CANCELLATION_REQUESTED": "cancelling",
        "CANCELLED": "cancelled",
    }
    _SIZE = 100

    @override
    def encode_job(self, asked: Members, gaps: Gaps) -> Json:
        window = asked.find("completion_window", str)
        hours = _HOURS.fullmatch(window or DAY)
        if hours is None:
            raise InvalidRequest(
                "`completion_window` must be a number of hours, such as `24h`", param="completion_window"
            )
        return {
            "input_files": [asked.need("input_file_id", str)],
            "endpoint": endpoint_of(asked, self._ENDPOINTS, gaps.target),
            **given(model=asked.find("model", str), metadata=asked.find("metadata", dict[str, str])),
            "timeout_hours": int(hours[1]),
            **own_members(asked, ("agent_id", "timeout_hours")),
        }

    @override
    def decode_job(self, said: Json, asked: Asked) -> Json:
        status = self._STATUS.get(str(said.get("status")), "in_progress")
        files: list[str] = said.get("input_files") or []
        metadata: Json | None = said.get("metadata")
        told: Json = {
            "id": said.get("id"),
            "endpoint": said.get("endpoint") or "",
            "model": said.get("model"),
            "input_file_id": files[0] if files else "",
            "completion_window": asked.body.get("completion_window") or DAY,
            "output_file_id": said.get("output_file"),
            "error_file_id": said.get("error_file"),
            "created_at": seconds_of(said.get("created_at")) or 0,
            "in_progress_at": seconds_of(said.get("started_at")),
            "metadata": None if metadata is None else {name: _text(value) for name, value in metadata.items()},
            "request_counts": {
                "total": said.get("total_requests") or 0,
                "completed": said.get("succeeded_requests") or 0,
                "failed": said.get("failed_requests") or 0,
            },
            **({"input_files": files} if len(files) > 1 else {}),
        }
        errors = [{"message": each.get("message"), "count": each.get("count")} for each in objects_in(said, "errors")]
        return batch(told, status, said.get("status"), seconds_of(said.get("completed_at")), errors)

    @override
    def jobs_in(self, said: Any) -> Sequence[Json]:
        return objects_in(said, "data")

    @override
    def first_page(self) -> Mapping[str, str]:
        return {"page": "0", "page_size": str(self._SIZE), "order_by": "-created"}

    @override
    def next_page(self, said: Sequence[Any]) -> Mapping[str, str] | None:
        here = sum(len(self.jobs_in(page)) for page in said)
        is_last = not self.jobs_in(said[-1]) or here >= int(as_object(said[-1]).get("total") or 0)
        return None if is_last else {**self.first_page(), "page": str(len(said))}


class TogetherBatches(JobDialect):
    """Batches of Together: OpenAI's path, an envelope around a new job, and lists that are bare arrays.

    Progress is a percentage, which stands in `progress`; its own members `model_id` and `priority` pass.
    """

    name = "together.batches"
    operation = "batches"
    path = "/batches"
    actions: ClassVar[Mapping[Action, tuple[str, str]]] = USUAL_ACTIONS
    _ENDPOINTS = (_CHAT, "/v1/audio/transcriptions", "/v1/audio/translations")
    _STATUSES = frozenset({"validating", "in_progress", "completed", "failed", "expired", "cancelled"})

    @override
    def encode_job(self, asked: Members, gaps: Gaps) -> Json:
        return {
            "input_file_id": asked.need("input_file_id", str),
            "endpoint": endpoint_of(asked, self._ENDPOINTS, gaps.target),
            **given(completion_window=asked.find("completion_window", str), model_id=asked.find("model", str)),
            **own_members(asked, ("model_id", "priority")),
        }

    @override
    def decode_job(self, said: Json, asked: Asked) -> Json:
        job: Json = as_object(said["job"]) if "job" in said else said
        native = str(job.get("status") or "")
        status = native.lower() if native.lower() in self._STATUSES else "in_progress"
        told: Json = {
            "id": job.get("id"),
            "endpoint": job.get("endpoint") or "",
            "model": job.get("model_id"),
            "input_file_id": job.get("input_file_id") or "",
            "completion_window": asked.body.get("completion_window") or DAY,
            "output_file_id": job.get("output_file_id"),
            "error_file_id": job.get("error_file_id"),
            "created_at": seconds_of(job.get("created_at")) or 0,
            "expires_at": seconds_of(job.get("job_deadline")),
            **given(progress=job.get("progress"), warning=said.get("warning")),
        }
        errors = [{"message": job["error"]}] if job.get("error") else []
        return batch(told, status, native, seconds_of(job.get("completed_at")), errors)

    @override
    def jobs_in(self, said: Any) -> Sequence[Json]:
        return sorted(objects_in(said), key=lambda job: seconds_of(job.get("created_at")) or 0, reverse=True)


class VoyageBatches(JobDialect):
    """Batches of Voyage: OpenAI's but for the model, which stands among the parameters of all requests, the window of 12 hours
    and times, which are texts. Its own member `request_params` passes.
    """

    name = "voyage.batches"
    operation = "batches"
    path = "/batches"
    actions: ClassVar[Mapping[Action, tuple[str, str]]] = USUAL_ACTIONS
    _ENDPOINTS = ("/v1/embeddings", "/v1/contextualizedembeddings", "/v1/rerank")
    _WINDOW = "12h"

    @override
    def encode_job(self, asked: Members, gaps: Gaps) -> Json:
        params: Json = asked.find("request_params", dict[str, Any]) or {}
        window = asked.find("completion_window", str)
        if not params.get("model"):
            params["model"] = needed(asked, "model", "a batch has one model there; write it beside `input_file_id`")
        return {
            "input_file_id": asked.need("input_file_id", str),
            "endpoint": endpoint_of(asked, self._ENDPOINTS, gaps.target),
            "completion_window": self._WINDOW if window in {None, DAY} else window,
            "request_params": params,
            **given(metadata=asked.find("metadata", dict[str, str])),
        }

    @override
    def decode_job(self, said: Json, asked: Asked) -> Json:
        times = {name: seconds_of(value) for name, value in said.items() if name.endswith("_at")}
        created = times.get("created_at") or 0
        return {**said, **times, "id": said.get("id"), "object": "batch", "created_at": created}

    @override
    def jobs_in(self, said: Any) -> Sequence[Json]:
        return objects_in(said, "data")

    @override
    def first_page(self) -> Mapping[str, str]:
        return {"limit": "100"}

    @override
    def next_page(self, said: Sequence[Any]) -> Mapping[str, str] | None:
        jobs = self.jobs_in(said[-1])
        has_more = jobs and as_object(said[-1]).get("has_more")
        return {**self.first_page(), "after": str(jobs[-1].get("id"))} if has_more else None


class FireworksKept(KeptDialect):
    """What Fireworks' jobs and datasets share: they stand below an account, and their lists have a token for the next page.

    Names of resources are told as ids, without the account; full names are taken too.
    """

    kind: ClassVar[str]
    posts_bodies: ClassVar[bool] = True

    def __init__(self, account: str = "") -> None:
        self.account = account
        self.path = f"/accounts/{quote(account, safe='')}/{self.kind}"

    @override
    def encode_call(self, asked: Asked, gaps: Gaps) -> VendorCall:
        if not self.account:
            raise InvalidRequest(
                f"the deployment does not say whose {self.thing}s these are: set its `account_id`, or `{ACCOUNT_ENV}`",
                code="missing_account_id",
            )
        return super().encode_call(asked, gaps)

    @override
    def jobs_in(self, said: Any) -> Sequence[Json]:
        return objects_in(said, self.kind)

    @override
    def first_page(self) -> Mapping[str, str]:
        return {"pageSize": "200", "orderBy": "createTime desc"}

    @override
    def next_page(self, said: Sequence[Any]) -> Mapping[str, str] | None:
        token = as_object(said[-1]).get("nextPageToken")
        return {**self.first_page(), "pageToken": str(token)} if token else None

    def dataset(self, named: str) -> str:
        """The full name of a dataset of this account."""
        return named if "/" in named else f"accounts/{self.account}/datasets/{named}"

    def short(self, name: Any) -> str | None:
        """A resource of this account by its id, another by its full name; None where there is none."""
        own = f"accounts/{self.account}/"
        return str(name).rpartition("/")[2] if str(name).startswith(own) else str(name) if name else None


class FireworksJobs(FireworksKept, JobDialect):
    """Both kinds of Fireworks' jobs, whose states are alike."""

    STATES: ClassVar[Mapping[str, str]]

    def status_of(self, said: Json) -> str:
        """The state of a job in OpenAI's words."""
        return self.STATES.get(str(said.get("state")).removeprefix("JOB_STATE_"), self.STATES["RUNNING"])

    def trouble_of(self, said: Json) -> Json:
        """What the vendor says went wrong."""
        status: Json = said.get("status") or {}
        return {"code": str(status.get("code") or "failed"), "message": str(status.get("message") or "")}


class FireworksBatches(FireworksJobs):
    """Batches of Fireworks: datasets in place of files, one model for all lines, a day at most, and no way to cancel.

    Its own members `outputDatasetId`, `displayName`, `inferenceParameters` and `precision` pass.
    """

    name = "fireworks.batches"
    operation = "batches"
    kind = "batchInferenceJobs"
    actions: ClassVar[Mapping[Action, tuple[str, str]]] = {
        name: way for name, way in USUAL_ACTIONS.items() if name != "cancel"
    }
    STATES: ClassVar[Mapping[str, str]] = {
        "CREATING": "validating",
        "CREATING_INPUT_DATASET": "validating",
        "VALIDATING": "validating",
        "PENDING": "in_progress",
        "RUNNING": "in_progress",
        "WRITING_RESULTS": "finalizing",
        "COMPLETED": "completed",
        "FAILED": "failed",
        "EXPIRED": "expired",
        "CANCELLING": "cancelling",
        "CANCELLED": "cancelled",
        "DELETING": "cancelled",
        "DELETING_CLEANING_UP": "cancelled",
    }
    _OWN = ("outputDatasetId", "displayName", "inferenceParameters", "precision")

    @override
    def encode_job(self, asked: Members, gaps: Gaps) -> Json:
        endpoint_of(asked, (_CHAT,), gaps.target)
        within_a_day(asked)
        return {
            "model": needed(asked, "model", "a batch has one model there; write it beside `input_file_id`"),
            "inputDatasetId": self.dataset(asked.need("input_file_id", str)),
            **own_members(asked, self._OWN),
        }

    @override
    def decode_job(self, said: Json, asked: Asked) -> Json:
        status = self.status_of(said)
        progress: Json = said.get("jobProgress") or {}
        told: Json = {
            "id": self.short(said.get("name")),
            "endpoint": _CHAT,
            "model": said.get("model"),
            "input_file_id": self.short(said.get("inputDatasetId")) or "",
            "completion_window": DAY,
            "output_file_id": self.short(said.get("outputDatasetId")),
            "created_at": seconds_of(said.get("createTime")) or 0,
            "request_counts": {
                "total": max(_count(progress, "totalInputRequests"), _count(progress, "totalProcessedRequests")),
                "completed": progress.get("successfullyProcessedRequests") or 0,
                "failed": progress.get("failedRequests") or 0,
            },
            "usage": usage_of(
                progress.get("inputTokens"), progress.get("outputTokens"), progress.get("cachedInputTokenCount") or 0
            ),
        }
        errors = [self.trouble_of(said)] if status == "failed" else []
        return batch(told, status, said.get("state"), seconds_of(said.get("updateTime")), errors)


def _count(progress: Json, name: str) -> int:
    """A number of requests. What was put in is what its dataset was said to hold, so more may have been done."""
    return int(progress.get(name) or 0)


def _text(value: object) -> str:
    """A value of metadata as OpenAI's are: text."""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
