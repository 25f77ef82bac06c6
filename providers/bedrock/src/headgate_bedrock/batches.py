"""Batches on Bedrock for clients of OpenAI's: its API at the runtime, for OpenAI's models, or jobs of the control plane, for all.

Requests and results lie in S3, and nothing of that is read or written here. Sources:
https://docs.aws.amazon.com/bedrock/latest/userguide/inference-openai-batch.html for the one;
https://docs.aws.amazon.com/bedrock/latest/userguide/batch-inference-create.html, .../batch-inference-monitor.html,
.../batch-inference-stop.html and botocore's model of `bedrock` for the other.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal
from urllib.parse import quote

import msgspec
from msgspec import Struct
from typing_extensions import override

from headgate.body import decode_object
from headgate.dialects import Gaps
from headgate.dialects.jobs import (
    Action,
    Asked,
    KeptDialect,
    VendorCall,
    as_object,
    batch,
    endpoint_of,
    needed,
    objects_in,
    own_members,
    seconds_of,
)
from headgate.dialects.openai.members import Json, Members, given
from headgate.errors import InvalidRequest

ROLE, MODEL = b"x-amzn-bedrock-rolearn", b"x-amzn-bedrock-modelid"
_OWN = (ROLE, MODEL, b"x-amzn-bedrock-outputencryptionkeyid", b"x-amzn-bedrock-tags")
"""Headers that the runtime's API takes for a new batch."""
_VISIBLE = re.compile(r"[\x21-\x7e]+")
_HOURS = re.compile(r"([1-9]\d{0,2})h")
_ENDPOINTS = ("/v1/chat/completions", "/v1/embeddings")
STATUSES: Mapping[str, str] = {
    "Submitted": "validating",
    "Validating": "validating",
    "Scheduled": "in_progress",
    "InProgress": "in_progress",
    "Completed": "completed",
    "PartiallyCompleted": "expired",
    "Expired": "expired",
    "Failed": "failed",
    "Stopping": "cancelling",
    "Stopped": "cancelled",
}
"""Of a job that is partially completed not all records could be processed in time."""
_ROLE_HELP = "the service role by which Bedrock reads and writes S3"


class Batches(Struct, frozen=True, forbid_unknown_fields=True):
    """How a deployment has batches: `openai`, the runtime's API for OpenAI's models, or `jobs` of the control plane, for all.

    `role_arn` is the service role of batches whose client names none; `output` the S3 URI for the results of such jobs.
    """

    api: Literal["openai", "jobs"] = "openai"
    role_arn: str = ""
    output: str = ""


def without_model(body: bytes, deployment: str) -> tuple[bytes, str]:
    """A request for a new batch without its `model`, which OpenAI's API has not, and that model; a deployment before it goes.

    Raises InvalidRequest for a body that is no JSON object, and a model that no header can hold.
    """
    members = decode_object(body)
    if "model" not in members:
        return body, ""
    model = str(members.pop("model") or "").removeprefix(f"{deployment}/")
    if model and not _VISIBLE.fullmatch(model):
        raise InvalidRequest("`model` must be an id or an ARN", param="model")
    return msgspec.json.encode(members), model


def with_own(
    headers: Mapping[bytes, bytes], asked: Mapping[bytes, bytes], model: str, role: str
) -> Mapping[bytes, bytes]:
    """Headers with what the runtime wants to know of a new batch, where it is not there: what the client has `asked`, else these.

    Raises InvalidRequest where the model or the role is not said.
    """
    usual = {MODEL: model.encode(), ROLE: role.encode()}
    told = {name: value for name in _OWN if (value := asked.get(name) or usual.get(name))}
    held = {**told, **headers}
    if MODEL not in held:
        raise InvalidRequest(
            "`model` is missing: a batch has one model there; write it beside `input_file_id`, or in the header"
            " `X-Amzn-Bedrock-ModelId`",
            param="model",
            code="missing_model",
        )
    if ROLE not in held:
        raise InvalidRequest(
            f"the header `X-Amzn-Bedrock-RoleArn` is missing: {_ROLE_HELP}; the deployment may say it as"
            " `batches: {role_arn: …}`",
            code="missing_role_arn",
        )
    return held


class BedrockBatches(KeptDialect):
    """Jobs of the control plane: one model, a window of 24 to 168 hours, and a service role that reads and writes S3.

    Its own members `jobName`, `roleArn`, `outputDataConfig`, `modelInvocationType`, `timeoutDurationInHours`, `vpcConfig`,
    `tags` and `clientRequestToken` pass. The vendor is not told the endpoint: lines hold `recordId` and `modelInput`. An id
    is the end of the job's ARN, and the ARN does as well.
    """

    name = "bedrock.batches"
    operation = "batches"
    path = "/model-invocation-job"
    actions: ClassVar[Mapping[Action, tuple[str, str]]] = {
        "create": ("POST", ""),
        "list": ("GET", "s"),
        "retrieve": ("GET", "/{id}"),
        "cancel": ("POST", "/{id}/stop"),
    }

    def __init__(self, settings: Batches | None = None) -> None:
        self._settings = settings or Batches()

    @override
    def encode_new(self, asked: Members, fresh: str, gaps: Gaps) -> VendorCall:
        endpoint_of(asked, _ENDPOINTS, gaps.target)
        body: Json = {
            "jobName": asked.find("jobName", str) or f"headgate-{fresh}",
            "clientRequestToken": asked.find("clientRequestToken", str) or fresh,
            "modelId": needed(asked, "model", "a batch has one model there; write it beside `input_file_id`"),
            "roleArn": self._role(asked),
            "inputDataConfig": {"s3InputDataConfig": {"s3Uri": _input(asked)}},
            "outputDataConfig": self._output(asked),
            **given(timeoutDurationInHours=_hours(asked)),
            **own_members(asked, ("modelInvocationType", "timeoutDurationInHours", "vpcConfig", "tags")),
        }
        return VendorCall("POST", self.path, body=body)

    def _role(self, asked: Members) -> str:
        if self._settings.role_arn and not asked.peek("roleArn"):
            return self._settings.role_arn
        return needed(asked, "roleArn", f"{_ROLE_HELP}; the deployment may say it as `batches: {{role_arn: …}}`")

    def _output(self, asked: Members) -> Json:
        own = asked.find("outputDataConfig", dict[str, Any])
        if own is None and not self._settings.output:
            raise InvalidRequest(
                "`outputDataConfig` is missing: where Bedrock writes the results, as `s3OutputDataConfig.s3Uri`; the"
                " deployment may say it as `batches: {output: …}`",
                param="outputDataConfig",
                code="missing_outputDataConfig",
            )
        return own or {"s3OutputDataConfig": {"s3Uri": self._settings.output}}

    @override
    def following(self, asked: Asked, said: Sequence[Any]) -> VendorCall | None:
        """A new job is answered with its ARN alone, so it is asked for."""
        if asked.action != "create":
            return super().following(asked, said)
        known = _id_of(as_object(said[0]))
        return self._retrieval(known) if known and len(said) == 1 else None

    @override
    def undoing(self, asked: Asked, said: Sequence[Any]) -> VendorCall | None:
        """A new job that cannot be asked for is stopped, for its client takes it to have failed."""
        known = _id_of(as_object(said[0])) if said and asked.action == "create" else ""
        return VendorCall("POST", f"{self.path}/{quote(known, safe='')}/stop") if known else None

    @override
    def decode_job(self, said: Json, asked: Asked) -> Json:
        status = STATUSES.get(str(said.get("status")), "in_progress")
        hours = said.get("timeoutDurationInHours")
        told: Json = {
            "id": _id_of(said),
            "endpoint": asked.body.get("endpoint") or "",
            "model": said.get("modelId"),
            "input_file_id": _address(said, "inputDataConfig", "s3InputDataConfig") or "",
            "completion_window": f"{hours}h" if hours else asked.body.get("completion_window") or "",
            "output_file_id": _address(said, "outputDataConfig", "s3OutputDataConfig"),
            "created_at": seconds_of(said.get("submitTime")) or 0,
            "expires_at": seconds_of(said.get("jobExpirationTime")),
            "request_counts": _counts(said),
            **given(jobArn=said.get("jobArn"), jobName=said.get("jobName")),
        }
        ended = seconds_of(said.get("endTime") or said.get("lastModifiedTime"))
        errors = [{"message": said["message"]}] if said.get("message") else []
        return batch(told, status, said.get("status"), ended, errors)

    @override
    def jobs_in(self, said: Any) -> Sequence[Json]:
        return objects_in(said, "invocationJobSummaries")

    @override
    def first_page(self) -> Mapping[str, str]:
        return {"maxResults": "1000", "sortBy": "CreationTime", "sortOrder": "Descending"}

    @override
    def next_page(self, said: Sequence[Any]) -> Mapping[str, str] | None:
        token = as_object(said[-1]).get("nextToken")
        return {**self.first_page(), "nextToken": str(token)} if token else None


def _id_of(said: Json) -> str:
    return str(said.get("jobArn") or "").rpartition("/")[2]


def _input(asked: Members) -> str:
    """Where the lines are. Raises InvalidRequest for what is not in S3."""
    address = asked.need("input_file_id", str)
    if not address.startswith("s3://"):
        raise InvalidRequest(
            "`input_file_id` must be the `s3://` URI of lines that Bedrock can read there", param="input_file_id"
        )
    return address


def _hours(asked: Members) -> int | None:
    """The window in hours; None where it is left to the vendor. Raises InvalidRequest."""
    window = asked.find("completion_window", str)
    found = _HOURS.fullmatch(window or "")
    if window and found is None:
        raise InvalidRequest("`completion_window` must be a number of hours, such as `24h`", param="completion_window")
    return int(found[1]) if found else None


def _address(said: Json, name: str, kind: str) -> str | None:
    config: Json = said.get(name) or {}
    held: Json = config.get(kind) or {}
    return held.get("s3Uri")


def _counts(said: Json) -> Json | None:
    """How many records were done; None where the vendor does not tell."""
    if said.get("totalRecordCount") is None:
        return None
    return {
        "total": said["totalRecordCount"],
        "completed": said.get("successRecordCount") or 0,
        "failed": said.get("errorRecordCount") or 0,
    }
