"""The dialect `vertex.fine_tuning`: tuning jobs, by examples (`supervised`) and by preferences (`dpo`).

Sources: https://docs.cloud.google.com/gemini-enterprise-agent-platform/reference/rest/v1/projects.locations.tuningJobs,
https://docs.cloud.google.com/gemini-enterprise-agent-platform/models/gemini-use-supervised-tuning,
https://docs.cloud.google.com/vertex-ai/generative-ai/docs/models/gemini-use-preference-tuning and google-genai 3.4. What tunes
open models (`outputUri`, `batchSize`) is no part of `v1`. Members that put another model in the place of the one that is asked
for do not pass, for keys are checked for that one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from typing_extensions import override

from headgate.dialects import Gaps
from headgate.dialects.jobs import Action, Asked, as_object, objects_in, own_members, seconds_of
from headgate.dialects.openai.members import Json, Members, given
from headgate.dialects.tuning import method_of
from headgate.errors import InvalidRequest
from headgate_vertex.jobs import VertexJobs, last_of, trouble_in
from headgate_vertex.models import find_model

_SPECS = {"supervised": "supervisedTuningSpec", "dpo": "preferenceOptimizationSpec"}
"""Where the vendor has what a method of OpenAI's is told."""
_ENDED = frozenset({"succeeded", "failed", "cancelled"})


class VertexTuning(VertexJobs):
    """Tuning jobs of Vertex AI, over files in Cloud Storage. What is made is told by the endpoint that it can be asked at.

    Its own members `adapterSize`, `exportLastCheckpointOnly`, `description` and `encryptionSpec` pass; `suffix` is the model's
    display name, and `metadata` are the vendor's `labels`. A model of the project's own, by its full name, is tuned further.
    """

    name = "vertex.fine_tuning"
    operation = "fine_tuning.jobs"
    kind = "tuningJobs"
    is_regional: ClassVar[bool] = True
    actions: ClassVar[Mapping[Action, tuple[str, str]]] = {**VertexJobs.actions, "checkpoints": ("GET", "/{id}")}
    STATES: ClassVar[Mapping[str, str]] = {
        "QUEUED": "queued",
        "PENDING": "queued",
        "RUNNING": "running",
        "SUCCEEDED": "succeeded",
        "PARTIALLY_SUCCEEDED": "succeeded",
        "FAILED": "failed",
        "EXPIRED": "failed",
        "CANCELLED": "cancelled",
    }

    @override
    def encode_job(self, asked: Members, gaps: Gaps) -> Json:
        method, numbers, place = method_of(asked, gaps, tuple(_SPECS))
        hyper = {
            **given(
                epochCount=_number(numbers, "n_epochs", int),
                learningRateMultiplier=_number(numbers, "learning_rate_multiplier", float),
                beta=_number(numbers, "beta", float) if method == "dpo" else None,
            ),
            **own_members(asked, ("adapterSize",)),
        }
        if _number(numbers, "batch_size", int) is not None:
            gaps.refuse(f"{place}.batch_size", "the vendor finds it")
        spec: Json = {
            "trainingDatasetUri": _dataset(asked, "training_file"),
            **given(validationDatasetUri=_dataset(asked, "validation_file") if asked.peek("validation_file") else None),
            **({"hyperParameters": hyper} if hyper else {}),
            **own_members(asked, ("exportLastCheckpointOnly",)),
        }
        return {
            **_model_of(asked.need("model", str)),
            _SPECS[method]: spec,
            **given(tunedModelDisplayName=asked.find("suffix", str), labels=asked.find("metadata", dict[str, str])),
            **own_members(asked, ("description", "encryptionSpec")),
        }

    @override
    def decode_job(self, said: Json, asked: Asked) -> Json:
        status = self.status_of(said)
        method = "dpo" if said.get(_SPECS["dpo"]) else "supervised"
        spec: Json = said.get(_SPECS[method]) or {}
        numbers = _numbers_in(spec.get("hyperParameters") or {}, method)
        made: Json = said.get("tunedModel") or {}
        before: Json = said.get("preTunedModel") or {}
        return {
            "id": last_of(said.get("name")),
            "object": "fine_tuning.job",
            "status": status,
            "native_status": said.get("state"),
            "created_at": seconds_of(said.get("createTime")) or 0,
            "finished_at": seconds_of(said.get("endTime") or said.get("updateTime")) if status in _ENDED else None,
            "organization_id": self.project,
            "result_files": [],
            "model": said.get("baseModel") or before.get("tunedModelName") or "",
            "fine_tuned_model": (last_of(made.get("endpoint")) or made.get("model")) if status == "succeeded" else None,
            "training_file": spec.get("trainingDatasetUri") or "",
            "validation_file": spec.get("validationDatasetUri"),
            "trained_tokens": None,
            "hyperparameters": {name: value for name, value in numbers.items() if name != "beta"},
            "method": {"type": method, method: {"hyperparameters": numbers}},
            "seed": 0,
            "error": trouble_in(said.get("error") or {}) if status == "failed" else None,
            "metadata": said.get("labels"),
            **given(suffix=said.get("tunedModelDisplayName"), tunedModel=said.get("tunedModel")),
        }

    @override
    def decode_part(self, said: Any, asked: Asked) -> Sequence[Json]:
        """The checkpoints, which stand in the job itself; each has an endpoint of its own."""
        job = as_object(said)
        found = objects_in(job.get("tunedModel") or {}, "checkpoints")
        ended = seconds_of(job.get("endTime") or job.get("updateTime")) or 0
        told = [_checkpoint(each, asked.id, ended) for each in found]
        return sorted(told, key=lambda each: each["step_number"], reverse=True)


def _number(numbers: Members, name: str, kind: type[float]) -> float | None:
    """A number; None where the vendor is to find one."""
    if numbers.peek(name) == "auto":
        numbers.take(name)
    return numbers.find(name, kind)


def _dataset(asked: Members, name: str) -> str:
    """The place of a file, or the full name of a dataset."""
    place = asked.need(name, str)
    if not place.startswith(("gs://", "projects/")):
        raise InvalidRequest(
            f"`{name}` must be the place of a file in Cloud Storage, such as `gs://bucket/examples.jsonl`", param=name
        )
    return place


def _model_of(model: str) -> Json:
    """What is tuned: a base model by its bare name, or one of the project's own that was tuned before."""
    if model.startswith("projects/"):
        return {"preTunedModel": {"tunedModelName": model}}
    found = find_model(model)
    if found.interface == "gemini" and found.path[0] != "publishers":
        raise InvalidRequest(
            f"`{model}` is the endpoint of a tuned model: name the model itself,"
            " `projects/PROJECT/locations/LOCATION/models/MODEL`",
            param="model",
            code="unsupported_model",
        )
    return {"baseModel": found.id}


def _numbers_in(held: Json, method: str) -> Json:
    """By which numbers a job trains; what the vendor does not tell it finds itself."""
    epochs, rate = held.get("epochCount"), held.get("learningRateMultiplier")
    return {
        "n_epochs": "auto" if epochs is None else int(epochs),
        "learning_rate_multiplier": "auto" if rate is None else rate,
        **(given(beta=held.get("beta")) if method == "dpo" else {}),
    }


def _checkpoint(said: Json, job: str, ended: int) -> Json:
    """A checkpoint. Its time, which the vendor does not tell, is that of the job's end."""
    step = int(said.get("step") or 0)
    return {
        "id": f"{job}:{said.get('checkpointId') or step}",
        "object": "fine_tuning.job.checkpoint",
        "created_at": ended,
        "fine_tuned_model_checkpoint": last_of(said.get("endpoint")),
        "fine_tuning_job_id": job,
        "metrics": {"step": step},
        "step_number": step,
        **given(epoch=said.get("epoch")),
    }
