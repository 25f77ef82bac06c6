"""Batches and fine-tuning of BytePlus: jobs of its control plane, over objects in buckets of TOS.

Every call is a POST whose query names an action. Sources: `byteplussdkark` of byteplus-python-sdk-v2 3.0,
https://docs.byteplus.com/en/docs/ModelArk/CreateBatchInferenceJob, .../GetBatchInferenceJob, .../StopBatchInferenceJob and, for
the phases and for what stops tuning, which no page of BytePlus' own shows, the same API of the same service at Volcengine
(https://www.volcengine.com/docs/82379/1262827, `StatusForGetModelCustomizationJobOutput.PhaseEnum` of volcengine-java-sdk-ark).
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import msgspec
from msgspec import Struct
from msgspec.structs import replace
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
    objects_in,
    own_members,
    seconds_of,
)
from headgate.dialects.openai.members import Json, Members, given
from headgate.dialects.openai.members import as_object as as_member
from headgate.dialects.tuning import method_of, number_of
from headgate.errors import InvalidRequest

_VERSIONED = re.compile(r"(.+)-(\d{6})")
_CUSTOM = "cm-"
"""How the ids of customized models begin."""
_HOURS = re.compile(r"([1-9]\d{0,2})h")
_DAYS = re.compile(r"(?:[1-9]|1\d|2[0-8])d")
_PLACE = re.compile(r"tos://([^/]+)/(.*)")
_SYSTEM_TAG = "sys:"
_EPOCH = "epoch"
_REFUSALS: Mapping[str, int] = {
    "AccessKey": 401,
    "Signature": 401,
    "Denied": 403,
    "NotFound": 404,
    "LimitExceeded": 429,
    "Internal": 502,
    "Unavailable": 503,
}
"""Statuses of errors that come with a good one, by what their codes hold; others are refusals of what was asked."""
_MOST = 100
"""How many jobs one page holds."""


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    """What a deployment says of its jobs: the `tos://` folder for `output` of batches, and the `project` they belong to."""

    output: str = ""
    project: str = ""


class ArkJobs(JobDialect):
    """Jobs of one kind. `actions` names the vendor's; ids and pages stand in bodies, answers below `Result`."""

    PHASES: ClassVar[Mapping[str, str]]

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or Settings()

    @override
    def encode_call(self, asked: Asked, gaps: Gaps) -> VendorCall:
        call = super().encode_call(asked, gaps)
        if asked.action == "create":
            return call
        return replace(call, body=self._page(1) if asked.action == "list" else {"Id": asked.id})

    @override
    def following(self, asked: Asked, said: Sequence[Any]) -> VendorCall | None:
        """New and stopped jobs are answered with little or nothing, so they are asked for."""
        if asked.action == "list":
            call = super().following(asked, said)
            return None if call is None else replace(call, query={}, body=self._page(len(said) + 1))
        if asked.action not in {"create", "cancel"} or len(said) > 1:
            return None
        known = asked.id if asked.action == "cancel" else str(result_in(said[0]).get("Id") or "")
        return self._retrieval(known) if known else None

    @override
    def _retrieval(self, known: str) -> VendorCall:
        return replace(super()._retrieval(known), body={"Id": known})

    @override
    def undoing(self, asked: Asked, said: Sequence[Any]) -> VendorCall | None:
        """A new job that cannot be asked for is stopped, for its client takes it to have failed."""
        known = str(result_in(said[0]).get("Id") or "") if said and asked.action == "create" else ""
        method, behind = self.actions["cancel"]
        return VendorCall(method, self.path + behind, body={"Id": known}) if known else None

    @override
    def refusal_in(self, said: Any) -> tuple[int, bytes] | None:
        metadata = (as_member(said) or {}).get("ResponseMetadata")
        error = as_member((as_member(metadata) or {}).get("Error"))
        if not error:
            return None
        code = str(error.get("Code"))
        return next((status for word, status in _REFUSALS.items() if word in code), 400), msgspec.json.encode(said)

    @override
    def jobs_in(self, said: Any) -> Sequence[Json]:
        return objects_in(result_in(said), "Items")

    @override
    def next_page(self, said: Sequence[Any]) -> Mapping[str, str] | None:
        """Anything where there is another page: its number is counted."""
        total = int(result_in(said[-1]).get("TotalCount") or 0)
        return {} if total > len(said) * _MOST and self.jobs_in(said[-1]) else None

    @override
    def decode_job(self, said: Json, asked: Asked) -> Json:
        job = result_in(said)
        state: Json = job.get("Status") or {}
        return self.told(job, state, self.PHASES.get(str(state.get("Phase")), self.PHASES["Running"]), asked)

    @abstractmethod
    def told(self, job: Json, state: Json, status: str, asked: Asked) -> Json:
        """A job in OpenAI's shape. `state` is what the vendor says of its status."""

    def common(self, asked: Members, fresh: str) -> Json:
        """What every new job says: its name, the project, and `metadata`, which are the vendor's tags."""
        tags = asked.find("metadata", dict[str, str]) or {}
        project = asked.find("ProjectName", str) or self.settings.project or None
        return {
            "Name": asked.find("Name", str) or f"headgate-{fresh}",
            **given(ProjectName=project, Tags=[{"Key": key, "Value": value} for key, value in tags.items()] or None),
            **own_members(asked, ("Description",)),
        }

    def _page(self, number: int) -> Json:
        page: Json = {"PageNumber": number, "PageSize": _MOST, "SortBy": "CreateTime", "SortOrder": "Desc"}
        return page | ({"ProjectName": self.settings.project} if self.settings.project else {})


class ArkBatches(ArkJobs):
    """The `byteplus.batches` dialect: one model a batch, lines in OpenAI's shape, a window of 1 to 28 days.

    Its own members `Name`, `Description`, `ProjectName` and `OutputDirTosLocation` pass. Results are the folder that was said.
    """

    name = "byteplus.batches"
    operation = "batches"
    actions: ClassVar[Mapping[Action, tuple[str, str]]] = {
        "create": ("POST", "/?Action=CreateBatchInferenceJob&Version=2024-01-01"),
        "list": ("POST", "/?Action=ListBatchInferenceJobs&Version=2024-01-01"),
        "retrieve": ("POST", "/?Action=GetBatchInferenceJob&Version=2024-01-01"),
        "cancel": ("POST", "/?Action=StopBatchInferenceJob&Version=2024-01-01"),
    }
    PHASES: ClassVar[Mapping[str, str]] = {
        "Queued": "validating",
        "Running": "in_progress",
        "Completed": "completed",
        "Failed": "failed",
        "Terminating": "cancelling",
        "Terminated": "cancelled",
    }

    @override
    def encode_new(self, asked: Members, fresh: str, gaps: Gaps) -> VendorCall:
        call = super().encode_new(asked, fresh, gaps)
        return replace(call, body={**self.common(asked, fresh), **(call.body or {})})

    @override
    def encode_job(self, asked: Members, gaps: Gaps) -> Json:
        endpoint_of(asked, ("/v1/chat/completions",), gaps.target)
        own = asked.find("OutputDirTosLocation", dict[str, str])
        if own is None and not self.settings.output:
            raise InvalidRequest(
                "`OutputDirTosLocation` is missing: where the results go, as `BucketName` and `ObjectKey`; the deployment may"
                " say it as `jobs: {output: tos://bucket/folder/}`",
                param="OutputDirTosLocation",
                code="missing_OutputDirTosLocation",
            )
        return {
            "ModelReference": _reference(
                needed(asked, "model", "a batch has one model there; write it beside `input_file_id`")
            ),
            "InputFileTosLocation": _location(asked.need("input_file_id", str), "input_file_id"),
            "OutputDirTosLocation": own or _location(self.settings.output, "output"),
            **given(CompletionWindow=_window(asked)),
        }

    @override
    def told(self, job: Json, state: Json, status: str, asked: Asked) -> Json:
        counts: Json = job.get("RequestCounts") or {}
        failed = status == "failed"
        said: Json = {
            "id": str(job.get("Id") or ""),
            "endpoint": "/v1/chat/completions",
            "model": _model_in(job),
            "input_file_id": _address(job.get("InputFileTosLocation")) or "",
            "completion_window": job.get("CompletionWindow") or "",
            "output_file_id": _address(job.get("OutputDirTosLocation")),
            "error_file_id": _address(job.get("ErrorFileTosLocation")),
            "created_at": seconds_of(job.get("CreateTime")) or 0,
            "expires_at": seconds_of(job.get("ExpireTime")),
            "metadata": _tags_in(job),
            "request_counts": {name.lower(): counts.get(name) or 0 for name in ("Total", "Completed", "Failed")},
            **given(Name=job.get("Name"), TokenUsage=job.get("TokenUsage"), ProjectName=job.get("ProjectName")),
        }
        errors = [{"message": state["Message"]}] if failed and state.get("Message") else []
        ended = seconds_of(state.get("PhaseTime") or job.get("UpdateTime"))
        return batch(said, status, state.get("Phase"), ended, errors)


class ArkTuning(ArkJobs):
    """The `byteplus.fine_tuning` dialect: `supervised`, in full unless `CustomizationType` is `FinetuneLoRA`, and `dpo`.

    Its own members `CustomizationType`, `Hyperparameters`, `SaveModelLimit`, `Name`, `Description` and `ProjectName` pass. Of
    numbers only the epochs have one name for all models; others stand in `Hyperparameters`.
    """

    name = "byteplus.fine_tuning"
    operation = "fine_tuning.jobs"
    actions: ClassVar[Mapping[Action, tuple[str, str]]] = {
        "create": ("POST", "/?Action=CreateModelCustomizationJob&Version=2024-01-01"),
        "list": ("POST", "/?Action=ListModelCustomizationJobs&Version=2024-01-01"),
        "retrieve": ("POST", "/?Action=GetModelCustomizationJob&Version=2024-01-01"),
        "cancel": ("POST", "/?Action=TerminateModelCustomizationJob&Version=2024-01-01"),
        "checkpoints": ("POST", "/?Action=GetModelCustomizationJob&Version=2024-01-01"),
    }
    PHASES: ClassVar[Mapping[str, str]] = {
        "Preprocessing": "validating_files",
        "Queued": "queued",
        "Deploying": "queued",
        "Running": "running",
        "Completing": "running",
        "Completed": "succeeded",
        "Failed": "failed",
        "Terminating": "running",
        "Terminated": "cancelled",
    }
    TYPES: ClassVar[Mapping[str, Sequence[str]]] = {
        "supervised": ("FinetuneSft", "FinetuneLoRA", "Pretrain"),
        "dpo": ("DPO", "DPOLoRA"),
    }
    """The vendor's ways to train by OpenAI's methods, the usual one first."""

    @override
    def encode_new(self, asked: Members, fresh: str, gaps: Gaps) -> VendorCall:
        call = super().encode_new(asked, fresh, gaps)
        return replace(call, body={**self.common(asked, fresh), **(call.body or {})})

    @override
    def encode_job(self, asked: Members, gaps: Gaps) -> Json:
        method, numbers, place = method_of(asked, gaps, tuple(self.TYPES))
        way = asked.find("CustomizationType", str) or self.TYPES[method][0]
        if way not in self.TYPES[method]:
            known = ", ".join(f"`{each}`" for each in self.TYPES[method])
            raise InvalidRequest(f"`CustomizationType` of `{method}` must be one of {known}", param="CustomizationType")
        epochs = number_of(numbers, "n_epochs")
        for name in ("batch_size", "learning_rate_multiplier", "beta"):
            if numbers.take(name) not in (None, "auto"):
                gaps.refuse(
                    f"{place}.{name}", "models name their own: write `Hyperparameters`, with `Name` and `Value` each"
                )
        own: list[Json] = asked.find("Hyperparameters", list[dict[str, str]]) or []
        if epochs is not None and any(each.get("Name") == _EPOCH for each in own):
            raise InvalidRequest(
                f"`{place}.n_epochs` stands in `Hyperparameters` already, as `{_EPOCH}`; leave one of them out",
                param=f"{place}.n_epochs",
            )
        hyper = [*([{"Name": _EPOCH, "Value": str(epochs)}] if epochs is not None else []), *own]
        checked = asked.find("validation_file", str)
        return {
            "CustomizationType": way,
            "ModelReference": _reference(asked.need("model", str)),
            "Data": {
                "TrainingSet": _files(asked.need("training_file", str), "training_file"),
                **({"ValidationSet": _files(checked, "validation_file")} if checked else {}),
            },
            **({"Hyperparameters": hyper} if hyper else {}),
            **own_members(asked, ("SaveModelLimit",)),
        }

    @override
    def told(self, job: Json, state: Json, status: str, asked: Asked) -> Json:
        way = str(job.get("CustomizationType") or "")
        method = "dpo" if way in self.TYPES["dpo"] else "supervised"
        data: Json = job.get("Data") or {}
        held = {str(each.get("Name")): each.get("Value") for each in objects_in(job, "Hyperparameters")}
        epochs = str(held.get(_EPOCH) or "")
        numbers: Json = {"n_epochs": int(epochs) if epochs.isdecimal() else "auto"}
        made = sorted(_outputs_in(job), key=_index_of)
        reason = str(state.get("Message") or job.get("Reason") or "the provider says nothing of it")
        ended = seconds_of(state.get("PhaseTime") or job.get("UpdateTime"))
        return {
            "id": str(job.get("Id") or ""),
            "object": "fine_tuning.job",
            "status": status,
            "native_status": state.get("Phase"),
            "created_at": seconds_of(job.get("CreateTime")) or 0,
            "finished_at": ended if status in {"succeeded", "failed", "cancelled"} else None,
            "organization_id": "",
            "result_files": [],
            "model": _model_in(job),
            "fine_tuned_model": str(made[-1]["CustomModelId"]) if made and status == "succeeded" else None,
            "training_file": _file_in(data.get("TrainingSet")) or "",
            "validation_file": _file_in(data.get("ValidationSet")),
            "trained_tokens": state.get("BillableTokens"),
            "hyperparameters": numbers,
            "method": {"type": method, method: {"hyperparameters": numbers}},
            "seed": 0,
            "error": {"code": "failed", "message": reason, "param": None} if status == "failed" else None,
            "metadata": _tags_in(job),
            **given(CustomizationType=way or None, Hyperparameters=job.get("Hyperparameters"), Name=job.get("Name")),
        }

    @override
    def decode_part(self, said: Any, asked: Asked) -> Sequence[Json]:
        """The checkpoints, which are the models that a job has made so far."""
        found: list[Json] = [
            {
                "id": f"{asked.id}:{_index_of(each)}",
                "object": "fine_tuning.job.checkpoint",
                "created_at": seconds_of(each.get("CustomModelCreateTimeUnix")) or 0,
                "fine_tuned_model_checkpoint": str(each["CustomModelId"]),
                "fine_tuning_job_id": asked.id,
                "metrics": {},
                "step_number": _index_of(each),
                **given(Name=each.get("Name"), Status=each.get("Status")),
            }
            for each in _outputs_in(result_in(said))
        ]
        return sorted(found, key=lambda each: each["step_number"], reverse=True)


def result_in(said: Any) -> Json:
    """What an answer says below `Result`, or a job of a list itself. Raises ProviderFailed for what is no object."""
    held = as_object(said)
    return as_object(held.get("Result") or {}) if "ResponseMetadata" in held else held


def _reference(model: str) -> Json:
    """A model as jobs name it. InvalidRequest for one whose version is not told."""
    if model.startswith(_CUSTOM):
        return {"CustomModelId": model}
    found = _VERSIONED.fullmatch(model)
    if found is None:
        raise InvalidRequest(
            f"`model` cannot be `{model}`: jobs take a model with its version, such as `seed-1-6-250915`, or a customized one,"
            " `cm-…`",
            param="model",
            code="unsupported_model",
        )
    return {"FoundationModel": {"Name": found[1], "ModelVersion": found[2]}}


def _model_in(job: Json) -> str:
    held: Json = job.get("ModelReference") or {}
    base: Json = held.get("FoundationModel") or {}
    named = [str(base[each]) for each in ("Name", "ModelVersion") if base.get(each)]
    return str(held.get("CustomModelId") or "-".join(named))


def is_place(address: str) -> bool:
    """Whether this is the place of an object or a folder in TOS."""
    return _PLACE.fullmatch(address) is not None


def _place(address: str, param: str) -> tuple[str, str]:
    found = _PLACE.fullmatch(address)
    if found is None:
        raise InvalidRequest(
            f"`{param}` must be the place of an object in TOS, such as `tos://bucket/lines.jsonl`", param=param
        )
    return found[1], found[2]


def _location(address: str, param: str) -> Json:
    bucket, key = _place(address, param)
    return {"BucketName": bucket, "ObjectKey": key}


def _files(address: str, param: str) -> Json:
    bucket, key = _place(address, param)
    return {"TosBucket": bucket, "TosPaths": [key]}


def _address(location: Json | None) -> str | None:
    held = location or {}
    return f"tos://{held['BucketName']}/{held.get('ObjectKey') or ''}" if held.get("BucketName") else None


def _file_in(held: Json | None) -> str | None:
    """The first file of a set; None where there is none in TOS."""
    found = held or {}
    paths: list[str] = found.get("TosPaths") or []
    return f"tos://{found['TosBucket']}/{paths[0]}" if found.get("TosBucket") and paths else None


def _outputs_in(job: Json) -> list[Json]:
    return [each for each in objects_in(job, "Outputs") if each.get("CustomModelId")]


def _index_of(output: Json) -> int:
    return int(output.get("Index") or 0)


def _tags_in(job: Json) -> Json | None:
    """The tags of a customer's own as `metadata`."""
    tags = {str(each.get("Key")): str(each.get("Value") or "") for each in objects_in(job, "Tags")}
    own = {key: value for key, value in tags.items() if not key.startswith(_SYSTEM_TAG)}
    return own or None


def _window(asked: Members) -> str | None:
    """The window in days, 1 to 28; None where it is left to the vendor. Raises InvalidRequest."""
    window = asked.find("completion_window", str)
    if not window or _DAYS.fullmatch(window):
        return window or None
    found = _HOURS.fullmatch(window)
    days, rest = divmod(int(found[1]), 24) if found else (0, 1)
    if rest or not 0 < days < 29:
        raise InvalidRequest(
            "`completion_window` must be whole days, such as `24h`, or `1d` to `28d`", param="completion_window"
        )
    return f"{days}d"
