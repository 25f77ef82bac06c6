"""The dialect `vertex.batches`: batch prediction jobs over files in Cloud Storage or tables in BigQuery.

Sources: https://docs.cloud.google.com/gemini-enterprise-agent-platform/models/capabilities/batch-inference,
https://docs.cloud.google.com/vertex-ai/generative-ai/docs/multimodal/batch-prediction-from-cloud-storage (Gemini),
https://cloud.google.com/vertex-ai/generative-ai/docs/partner-models/claude/batch (Claude),
https://docs.cloud.google.com/vertex-ai/generative-ai/docs/maas/capabilities/batch-prediction (open models) and google-genai 3.4.
What a line holds follows from the model, so the endpoint is checked and not sent; no window is promised.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar

from typing_extensions import override

from headgate.dialects import Gaps
from headgate.dialects.jobs import Asked, batch, endpoint_of, needed, objects_in, seconds_of
from headgate.dialects.openai.members import Json, Members, given
from headgate.errors import InvalidRequest
from headgate_vertex.jobs import GLOBAL, VertexJobs, last_of, trouble_in
from headgate_vertex.models import find_model

_ENDPOINTS = ("/v1/chat/completions", "/v1/embeddings")
_OTHERS = re.compile(r"(?:publishers/)?([^/]+)/(?:models/)?([^/]+)")
_NAME_CHARS = 128
"""How long a `displayName` can be."""


class VertexBatches(VertexJobs):
    """Batches of Vertex AI. A batch has one model, and `outputConfig`, the vendor's own member, says where its results go.

    `displayName` is the vendor's own too; without it a batch is called as its file. `metadata` are the vendor's `labels`.
    """

    name = "vertex.batches"
    operation = "batches"
    kind = "batchPredictionJobs"
    STATES: ClassVar[Mapping[str, str]] = {
        "QUEUED": "validating",
        "PENDING": "validating",
        "RUNNING": "in_progress",
        "SUCCEEDED": "completed",
        "PARTIALLY_SUCCEEDED": "completed",
        "FAILED": "failed",
        "EXPIRED": "expired",
        "CANCELLING": "cancelling",
        "CANCELLED": "cancelled",
    }

    @override
    def encode_job(self, asked: Members, gaps: Gaps) -> Json:
        endpoint_of(asked, _ENDPOINTS, gaps.target)
        file = asked.need("input_file_id", str)
        if asked.find("completion_window", str) is not None:
            gaps.skip("completion_window")
        model = needed(asked, "model", "a batch has one model there; write it beside `input_file_id`")
        return {
            "displayName": asked.find("displayName", str) or last_of(file)[-_NAME_CHARS:],
            "model": self._resource_of(model),
            "inputConfig": _source_of(file),
            "outputConfig": _destination_of(asked),
            **given(labels=asked.find("metadata", dict[str, str])),
        }

    def _resource_of(self, model: str) -> str:
        """The full name of a model. Raises InvalidRequest for one that the vendor has no batches of here.

        `global` has them of Gemini alone: https://docs.cloud.google.com/gemini-enterprise-agent-platform/resources/locations.
        """
        found = find_model(model)
        is_own = model.startswith("projects/")
        if self.location == GLOBAL and (is_own or found.interface != "gemini"):
            raise InvalidRequest(
                f"there are no batches of `{model}` at the location `{GLOBAL}`: use a deployment with a region as its"
                " `location`",
                param="model",
                code="unsupported_model",
            )
        if is_own:
            return model
        if found.interface != "openai" and found.path[0] == "publishers":
            return "/".join(found.path)
        other = _OTHERS.fullmatch(model)
        if found.interface == "gemini" or other is None:
            raise InvalidRequest(
                f"`model` cannot be `{model}`: write its publisher before it, such as `meta/`, and a tuned model as"
                " `projects/PROJECT/locations/LOCATION/models/MODEL`",
                param="model",
                code="unsupported_model",
            )
        return f"publishers/{other[1]}/models/{other[2]}"

    @override
    def decode_job(self, said: Json, asked: Asked) -> Json:
        status = self.status_of(said)
        stats: Json = said.get("completionStats") or {}
        done, failed, left = (max(0, int(stats.get(f"{name}Count") or 0)) for name in _COUNTS)
        told: Json = {
            "id": last_of(said.get("name")),
            "endpoint": asked.body.get("endpoint") or "",
            "model": said.get("model"),
            "input_file_id": _file_in(said.get("inputConfig") or {}),
            "completion_window": asked.body.get("completion_window") or "",
            "output_file_id": _results_in(said.get("outputInfo") or {}),
            "created_at": seconds_of(said.get("createTime")) or 0,
            "in_progress_at": seconds_of(said.get("startTime")),
            "metadata": said.get("labels"),
            "request_counts": {"total": done + failed + left, "completed": done, "failed": failed},
            **given(displayName=said.get("displayName"), outputConfig=said.get("outputConfig")),
        }
        failures = [said["error"]] if said.get("error") else []
        errors = [trouble_in(each) for each in [*failures, *objects_in(said, "partialFailures")]]
        ended = seconds_of(said.get("endTime") or said.get("updateTime"))
        return batch(told, status, said.get("state"), ended, errors)


_COUNTS = ("successful", "failed", "incomplete")
"""How many lines; a number that the vendor does not know is -1."""


def _source_of(file: str) -> Json:
    if file.startswith("gs://"):
        return {"instancesFormat": "jsonl", "gcsSource": {"uris": [file]}}
    if file.startswith("bq://"):
        return {"instancesFormat": "bigquery", "bigquerySource": {"inputUri": file}}
    raise InvalidRequest(
        "`input_file_id` must be the place of a file in Cloud Storage, such as `gs://bucket/requests.jsonl`, or of a table in"
        " BigQuery, such as `bq://project.dataset.table`",
        param="input_file_id",
    )


def _destination_of(asked: Members) -> Json:
    """`outputConfig` as it is. Raises InvalidRequest when it is missing."""
    held = asked.find("outputConfig", dict[str, Any])
    if not held:
        raise InvalidRequest(
            '`outputConfig` is missing: write where the results go beside `input_file_id`, such as `{"predictionsFormat":'
            ' "jsonl", "gcsDestination": {"outputUriPrefix": "gs://bucket/results"}}`',
            param="outputConfig",
            code="missing_outputConfig",
        )
    return held


def _file_in(config: Json) -> str:
    """What a batch reads, the first of several files; empty where nothing is told."""
    files: Json = config.get("gcsSource") or {}
    table: Json = config.get("bigquerySource") or {}
    uris: list[str] = files.get("uris") or []
    return uris[0] if uris else str(table.get("inputUri") or "")


def _results_in(info: Json) -> str | None:
    """The folder or the table with the results; None where there is none yet."""
    table = [part for part in (info.get("bigqueryOutputDataset"), info.get("bigqueryOutputTable")) if part]
    return info.get("gcsOutputDirectory") or ".".join(table) or None
