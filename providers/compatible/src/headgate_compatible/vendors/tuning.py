"""Fine-tuning of vendors with an API of their own for it: Together's and Fireworks'.

Sources: https://docs.together.ai/reference/post-fine-tunes and the types of `together` 3.1;
https://docs.fireworks.ai/api-reference/create-supervised-fine-tuning-job and the types of
https://github.com/fw-ai-external/python-sdk. Rates of learning are absolute there, so OpenAI's multiplier cannot be told. Members
that put another model in the place of the one that is asked for do not pass, for keys are checked for that one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from typing_extensions import override

from headgate.dialects import Gaps
from headgate.dialects.jobs import USUAL_ACTIONS, Action, Asked, JobDialect, objects_in, own_members, seconds_of
from headgate.dialects.openai.members import Json, Members, given
from headgate.dialects.tuning import method_of, number_of
from headgate.errors import UnsupportedField
from headgate_compatible.vendors.batches import FireworksJobs

_ENDED = frozenset({"succeeded", "failed", "cancelled"})
_MULTIPLIER = "a rate of learning is absolute there; write the vendor's own member for it beside `model`"
_SEED = 42
"""What Together takes where nobody gives a seed, by the words of its SDK."""


class TogetherTuning(JobDialect):
    """Fine-tuning of Together, by examples (`supervised`) and by preferences (`dpo`).

    Its own members pass, such as `learning_rate` and `training_type`; its lists are whole.
    """

    name = "together.fine_tuning"
    operation = "fine_tuning.jobs"
    path = "/fine-tunes"
    actions: ClassVar[Mapping[Action, tuple[str, str]]] = {
        **USUAL_ACTIONS,
        "events": ("GET", "/{id}/events"),
        "checkpoints": ("GET", "/{id}/checkpoints"),
    }
    _OWN = (
        *("learning_rate", "lr_scheduler", "warmup_ratio", "max_grad_norm", "weight_decay", "n_evals", "n_checkpoints"),
        *("packing", "max_seq_length", "gradient_accumulation_steps", "training_type", "training_method"),
        *("random_seed", "multimodal_params", "wandb_key", "wandb_api_key", "wandb_base_url"),
        *("early_stopping_enabled", "early_stopping_patience", "early_stopping_min_delta"),
        *("early_stopping_warmup_evals",),
    )
    _STATUS: ClassVar[Mapping[str, str]] = {
        "pending": "queued",
        "queued": "queued",
        "running": "running",
        "compressing": "running",
        "uploading": "running",
        "cancel_requested": "running",
        "cancelled": "cancelled",
        "error": "failed",
        "user_error": "failed",
        "completed": "succeeded",
    }

    @override
    def encode_job(self, asked: Members, gaps: Gaps) -> Json:
        method, numbers, place = method_of(asked, gaps, ("supervised", "dpo"))
        beta = numbers.take("beta") if method == "dpo" else None
        trained = {"method": "dpo", **given(dpo_beta=None if beta == "auto" else beta)}
        body: Json = {
            "training_file": asked.need("training_file", str),
            "model": asked.need("model", str),
            **given(
                validation_file=asked.find("validation_file", str),
                suffix=asked.find("suffix", str),
                random_seed=asked.find("seed", int),
                n_epochs=number_of(numbers, "n_epochs"),
                batch_size=number_of(numbers, "batch_size"),
                training_method=trained if method == "dpo" else None,
            ),
            **_wandb_of(asked, gaps),
            **own_members(asked, self._OWN),
        }
        refuse_multiplier(numbers, gaps, place)
        return body

    @override
    def decode_job(self, said: Json, asked: Asked) -> Json:
        status = self._STATUS.get(str(said.get("status")), "running")
        ended = status in _ENDED
        size = said.get("batch_size")
        numbers: Json = {"n_epochs": said.get("n_epochs"), "batch_size": "auto" if size == "max" else size}
        trained: Json = said.get("training_method") or {}
        is_dpo = trained.get("method") == "dpo"
        if is_dpo:
            method: Json = {
                "type": "dpo",
                "dpo": {"hyperparameters": {**numbers, **given(beta=trained.get("dpo_beta"))}},
            }
        else:
            method = {"type": "supervised", "supervised": {"hyperparameters": numbers}}
        return {
            **job_of(said.get("id"), status, said.get("status")),
            "created_at": seconds_of(said.get("created_at")) or 0,
            "finished_at": seconds_of(said.get("updated_at")) if ended else None,
            "model": said.get("model") or said.get("from_checkpoint") or "",
            "fine_tuned_model": said.get("model_output_name") if status == "succeeded" else None,
            "training_file": said.get("training_file") or "",
            "validation_file": said.get("validation_file") or None,
            "trained_tokens": said.get("token_count") if ended else None,
            "hyperparameters": numbers,
            "method": method,
            "seed": _SEED if said.get("random_seed") is None else said["random_seed"],
            "error": {"code": str(said.get("status")), "message": _last_error(said)} if status == "failed" else None,
            "integrations": _integrations(said),
            **given(learning_rate=said.get("learning_rate"), suffix=said.get("suffix")),
        }

    @override
    def jobs_in(self, said: Any) -> Sequence[Json]:
        found = objects_in(said, "data")
        return sorted(found, key=lambda job: seconds_of(job.get("created_at")) or 0, reverse=True)

    @override
    def decode_part(self, said: Any, asked: Asked) -> Sequence[Json]:
        found = objects_in(said, "data")
        if asked.action == "events":
            return [_event(event, f"ftevent-{asked.id}-{at}") for at, event in enumerate(found)][::-1]
        steps = Counter(each.get("step") for each in found)
        told = [_checkpoint(each, asked.id, is_single=steps[each.get("step")] == 1) for each in found]
        return sorted(told, key=lambda each: each["step_number"], reverse=True)


class FireworksTuning(FireworksJobs):
    """Supervised fine-tuning of Fireworks: datasets in place of files.

    Its own members pass, such as `learningRate`, `batchSize` and `outputModel`. That jobs can be cancelled is documented for its
    command line (https://docs.fireworks.ai/tools-sdks/firectl/commands/supervised-fine-tuning-job-cancel), the path by that of
    reinforcement fine-tuning in its SDK.
    """

    name = "fireworks.fine_tuning"
    operation = "fine_tuning.jobs"
    kind = "supervisedFineTuningJobs"
    actions: ClassVar[Mapping[Action, tuple[str, str]]] = {
        **USUAL_ACTIONS,
        "cancel": ("POST", "/{id}:cancel"),
        "resume": ("POST", "/{id}:resume"),
    }
    STATES: ClassVar[Mapping[str, str]] = {
        "CREATING": "queued",
        "CREATING_INPUT_DATASET": "validating_files",
        "VALIDATING": "validating_files",
        "PENDING": "queued",
        "RE_QUEUEING": "queued",
        "RUNNING": "running",
        "COMPLETED": "succeeded",
        "EARLY_STOPPED": "succeeded",
        "FAILED": "failed",
        "EXPIRED": "failed",
        "CANCELLED": "cancelled",
        "DELETING": "cancelled",
        "DELETING_CLEANING_UP": "cancelled",
    }
    _OWN = (
        *("displayName", "outputModel", "jinjaTemplate", "earlyStop", "learningRate", "maxContextLength", "loraRank"),
        *("wandbConfig", "isTurbo", "evalAutoCarveout", "region", "nodes", "batchSize", "batchSizeSamples"),
        *("mtpEnabled", "mtpNumDraftTokens", "mtpFreezeBaseModel", "gradientAccumulationSteps"),
        *("optimizerWeightDecay", "learningRateWarmupSteps", "awsS3Config", "azureBlobStorageConfig"),
    )

    @override
    def encode_job(self, asked: Members, gaps: Gaps) -> Json:
        _, numbers, place = method_of(asked, gaps, ("supervised",))
        validation = asked.find("validation_file", str)
        body: Json = {
            "dataset": self.dataset(asked.need("training_file", str)),
            "baseModel": asked.need("model", str),
            **given(
                evaluationDataset=self.dataset(validation) if validation else None,
                epochs=number_of(numbers, "n_epochs"),
            ),
            **own_members(asked, self._OWN),
        }
        if number_of(numbers, "batch_size") is not None:
            gaps.refuse(f"{place}.batch_size", "write `batchSize` in the vendor's measure beside `model`")
        for name, why in (
            ("suffix", "write the whole name of the new model as `outputModel`"),
            ("integrations", "write `wandbConfig`, which holds a key of yours"),
        ):
            if asked.take(name) is not None:
                gaps.refuse(name, why)
        refuse_multiplier(numbers, gaps, place)
        return body

    @override
    def decode_job(self, said: Json, asked: Asked) -> Json:
        status = self.status_of(said)
        numbers: Json = {"n_epochs": said.get("epochs")}
        return {
            **job_of(self.short(said.get("name")), status, said.get("state")),
            "created_at": seconds_of(said.get("createTime")) or 0,
            "finished_at": seconds_of(said.get("completedTime") or said.get("updateTime"))
            if status in _ENDED
            else None,
            "organization_id": self.account,
            "model": said.get("baseModel") or said.get("warmStartFrom") or "",
            "fine_tuned_model": said.get("outputModel") if status == "succeeded" else None,
            "training_file": self.short(said.get("dataset")) or "",
            "validation_file": self.short(said.get("evaluationDataset")),
            "trained_tokens": None,
            "hyperparameters": numbers,
            "method": {"type": "supervised", "supervised": {"hyperparameters": numbers}},
            "seed": 0,
            "error": self.trouble_of(said) if status == "failed" else None,
            **given(learning_rate=said.get("learningRate"), display_name=said.get("displayName")),
        }


def job_of(name: object, status: str, native: object) -> Json:
    """What every job says. The vendors name no organization and no files with results."""
    told: Json = {"id": name, "object": "fine_tuning.job", "status": status, "native_status": native}
    return {**told, "organization_id": "", "result_files": []}


def refuse_multiplier(numbers: Members, gaps: Gaps, place: str) -> None:
    """Take a multiplier of the rate of learning; `gaps` is told of one that is a number."""
    value = numbers.take("learning_rate_multiplier")
    if value not in (None, "auto"):
        gaps.refuse(f"{place}.learning_rate_multiplier", _MULTIPLIER)


def _wandb_of(asked: Members, gaps: Gaps) -> Json:
    """Where Together reports to; the key for it is its own member `wandb_api_key`."""
    told: Json = {}
    for at, held in enumerate(asked.listed("integrations")):
        if held.need("type", str) != "wandb" or at:
            raise UnsupportedField(
                f"`{held.place}` cannot be sent: there is one, of the type `wandb`", param=held.place
            )
        run = held.inner("wandb")
        told = given(
            wandb_project_name=run.need("project", str),
            wandb_name=run.find("name", str),
            wandb_entity=run.find("entity", str),
        )
        gaps.extra(run.rest(), run.place)
        gaps.extra({name: value for name, value in held.rest().items() if name != "wandb"}, held.place)
    return told


def _integrations(said: Json) -> list[Json] | None:
    if not said.get("wandb_project_name"):
        return None
    run = {
        "project": said["wandb_project_name"],
        "name": said.get("wandb_name"),
        "entity": said.get("wandb_entity"),
    }
    return [{"type": "wandb", "wandb": run}]


def _last_error(said: Json) -> str:
    """The message of the last event that is an error; empty where none is told."""
    found = [
        each for each in objects_in(said, "events") if "error" in f"{each.get('type')} {each.get('level')}".lower()
    ]
    return str(found[-1].get("message") or "") if found else ""


def _event(said: Json, name: str) -> Json:
    """An event; what it says beside OpenAI's members stands in `data`. The vendor's have no ids."""
    level = str(said.get("level") or "").lower()
    kind = "error" if "error" in level else "warn" if "warn" in level else "info"
    told: Json = {"id": name, "object": "fine_tuning.job.event", "type": "message", "level": kind}
    known = {"created_at", "message", "object", "level"}
    rest = {key: value for key, value in said.items() if key not in known and value not in (None, "")}
    return {
        **told,
        "created_at": seconds_of(said.get("created_at")) or 0,
        "message": said.get("message") or "",
        "data": rest,
    }


def _checkpoint(said: Json, job: str, *, is_single: bool) -> Json:
    """A checkpoint. Its id is its job and step, as the vendor names it, and which of its files where a step has several."""
    step = int(said.get("step") or 0)
    behind = "" if is_single else f":{said.get('checkpoint') or said.get('checkpoint_type')}"
    return {
        "id": f"{job}:{step}{behind}",
        "object": "fine_tuning.job.checkpoint",
        "created_at": seconds_of(said.get("created_at")) or 0,
        "fine_tuned_model_checkpoint": said.get("object_name") or said.get("path") or "",
        "fine_tuning_job_id": job,
        "metrics": {"step": step},
        "step_number": step,
        **given(path=said.get("path"), checkpoint_type=said.get("checkpoint_type")),
    }
