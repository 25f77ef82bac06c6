"""Fine-tuning by DashScope's own API for clients of OpenAI's.

Sources: https://www.alibabacloud.com/help/en/model-studio/create-fine-tuning-job-api, ../get-fine-tuning-job-api,
../list-fine-tuning-jobs-api, ../cancel-fine-tuning-job-api, ../get-fine-tuning-job-logs-api, ../list-checkpoints-api (of models
that have several) and `FineTunes` of the SDK `dashscope` 2.0; for the kinds of training, for states and for files, which are
those of the OpenAI-compatible API, the vendor's https://github.com/modelstudioai/cli (`packages/core/src/finetune/types.ts`,
`dataset upload`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, cast
from urllib.parse import quote

from msgspec.structs import replace
from typing_extensions import override

from headgate.dialects import Gaps
from headgate.dialects.jobs import (
    USUAL_ACTIONS,
    Action,
    Asked,
    JobDialect,
    VendorCall,
    as_object,
    objects_in,
    own_members,
    seconds_of,
)
from headgate.dialects.openai.members import Json, Members, given
from headgate.dialects.tuning import method_of, number_of
from headgate.errors import ProviderFailed
from headgate_compatible.vendors.tuning import job_of, refuse_multiplier

_SIZE = 100
_LINES = 1000
"""How many lines of a log are told at most."""
_KINDS: Mapping[str, str] = {"supervised": "sft", "dpo": "dpo_full"}


class DashScopeTuning(JobDialect):
    """Fine-tuning of Alibaba Cloud Model Studio, by examples (`supervised`) and by preferences (`dpo`).

    Its own members pass, such as `training_type` (`efficient_sft`) and `hyper_parameters`. Times are told without a zone, and
    read as UTC. Events are the lines of its log, which tell no times.
    """

    name = "dashscope.fine_tuning"
    operation = "fine_tuning.jobs"
    path = "/fine-tunes"
    actions: ClassVar[Mapping[Action, tuple[str, str]]] = {
        **USUAL_ACTIONS,
        "events": ("GET", "/{id}/logs"),
        "checkpoints": ("GET", "/{id}/checkpoints"),
    }
    _OWN = ("training_type", "job_name", "model_name")
    _STATUS: ClassVar[Mapping[str, str]] = {
        "PENDING": "queued",
        "RUNNING": "running",
        "SUCCEEDED": "succeeded",
        "FAILED": "failed",
        "CANCELED": "cancelled",
    }

    @override
    def encode_job(self, asked: Members, gaps: Gaps) -> Json:
        method, numbers, place = method_of(asked, gaps, tuple(_KINDS))
        validation = asked.find("validation_file", str)
        own: Json = asked.find("hyper_parameters", dict[str, Any]) or {}
        told = {**own, **given(n_epochs=number_of(numbers, "n_epochs"), batch_size=number_of(numbers, "batch_size"))}
        refuse_multiplier(numbers, gaps, place)
        if numbers.take("beta") not in (None, "auto"):
            gaps.refuse(f"{place}.beta")
        return {
            "model": asked.need("model", str),
            "training_file_ids": [asked.need("training_file", str)],
            "training_type": _KINDS[method],
            **given(
                validation_file_ids=[validation] if validation else None,
                hyper_parameters=told or None,
                finetuned_output_suffix=asked.find("suffix", str),
            ),
            **own_members(asked, self._OWN),
        }

    @override
    def encode_call(self, asked: Asked, gaps: Gaps) -> VendorCall:
        call = super().encode_call(asked, gaps)
        return replace(call, query=_lines_from(0)) if asked.action == "events" else call

    @override
    def following(self, asked: Asked, said: Sequence[Any]) -> VendorCall | None:
        """As ever; an order to cancel is answered with its success alone, so the job is read behind it.

        A log begins with its oldest line, and clients ask for the newest, so that it is read whole.
        """
        if asked.action == "cancel" and len(said) == 1:
            return self._retrieval(asked.id)
        if asked.action == "events":
            there, total = sum(len(_lines_in(page)) for page in said), _log_in(said[-1]).get("total")
            is_last = not isinstance(total, int) or total <= there or not _lines_in(said[-1])
            path = f"{self.path}/{quote(asked.id, safe='')}/logs"
            return None if is_last else VendorCall("GET", path, _lines_from(there))
        return super().following(asked, said)

    @override
    def decode_answer(self, asked: Asked, said: Sequence[Any]) -> Json:
        lines = [line for page in said for line in _lines_in(page)] if asked.action == "events" else []
        return super().decode_answer(asked, [lines] if asked.action == "events" else said)

    @override
    def decode_part(self, said: Any, asked: Asked) -> Sequence[Json]:
        if asked.action == "events":
            return [_event(line, f"ftevent-{asked.id}-{at}") for at, line in enumerate(said)][::-1]
        found = [_checkpoint(each, asked.id) for each in objects_in(said, "output")]
        return sorted(found, key=lambda each: each["step_number"], reverse=True)

    @override
    def decode_job(self, said: Json, asked: Asked) -> Json:
        held: Json = as_object(said["output"]) if "output" in said else said
        native = held.get("status")
        status = self._STATUS.get(str(native), "running")
        trained: Json = held.get("hyper_parameters") or {}
        numbers = {name: trained.get(name) for name in ("n_epochs", "batch_size")}
        kind = "dpo" if str(held.get("training_type")).startswith("dpo") else "supervised"
        return {
            **job_of(held.get("job_id"), status, native),
            "created_at": seconds_of(held.get("create_time")) or 0,
            "finished_at": seconds_of(held.get("end_time")),
            "model": held.get("model") or "",
            "fine_tuned_model": held.get("finetuned_output") if status == "succeeded" else None,
            "training_file": _first(held.get("training_file_ids")) or "",
            "validation_file": _first(held.get("validation_file_ids")),
            "trained_tokens": held.get("usage") if isinstance(held.get("usage"), int) else None,
            "hyperparameters": numbers,
            "method": {"type": kind, kind: {"hyperparameters": numbers}},
            "seed": 0,
            "error": {"code": str(held.get("code")), "message": held.get("message") or ""}
            if status == "failed"
            else None,
            **given(training_type=held.get("training_type"), hyper_parameters=trained or None),
        }

    @override
    def first_page(self) -> Mapping[str, str]:
        return {"page_no": "1", "page_size": str(_SIZE)}

    @override
    def next_page(self, said: Sequence[Any]) -> Mapping[str, str] | None:
        total = as_object(as_object(said[-1]).get("output")).get("total")
        there = len(said) * _SIZE
        is_last = not isinstance(total, int) or total <= there or not self.jobs_in(said[-1])
        return None if is_last else {"page_no": str(len(said) + 1), "page_size": str(_SIZE)}

    @override
    def jobs_in(self, said: Any) -> Sequence[Json]:
        return objects_in(as_object(said).get("output"), "jobs")


def _lines_from(start: int) -> Mapping[str, str]:
    """The query for the lines of a log behind the first `start`."""
    return {"offset": str(start), "line": str(_LINES)}


def _log_in(said: Any) -> Json:
    return as_object(as_object(said).get("output") or {})


def _lines_in(said: Any) -> list[Any]:
    """The lines of a log that one answer holds, in a list or, as the SDK knows them too, in one text. Raises ProviderFailed."""
    lines: Any = _log_in(said).get("logs") or []
    if not isinstance(lines, list | str):
        raise ProviderFailed("the provider answered with no log", code="upstream_bad_reply")
    return lines.splitlines() if isinstance(lines, str) else cast("list[Any]", lines)


def _event(line: object, name: str) -> Json:
    """A line of a log as an event."""
    told: Json = {"id": name, "object": "fine_tuning.job.event", "type": "message", "level": "info"}
    return {**told, "created_at": 0, "message": str(line)}


def _checkpoint(said: Json, job: str) -> Json:
    """A checkpoint; what the vendor tells beside OpenAI's members of it stands there too."""
    step = int(said.get("step") or 0)
    name = str(said.get("full_name") or said.get("checkpoint_id") or "")
    return {
        "id": said.get("checkpoint_id") or name,
        "object": "fine_tuning.job.checkpoint",
        "created_at": seconds_of(said.get("create_time")) or 0,
        "fine_tuned_model_checkpoint": name,
        "fine_tuning_job_id": job,
        "metrics": {"step": step},
        "step_number": step,
        **given(status=said.get("status"), model_name=said.get("model_name"), expire_time=said.get("expire_time")),
    }


def _first(ids: object) -> str | None:
    """The first of the files, of which OpenAI's shape has one."""
    return cast("list[str]", ids)[0] if isinstance(ids, list) and ids else None
