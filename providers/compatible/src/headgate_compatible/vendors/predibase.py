"""Predibase: fine-tuning by its own API, on another host than its deployments.

Sources: `resources/finetuning_jobs.py`, `resources/finetuning_job.py`, `config.py` and `util` of the SDK
https://pypi.org/project/predibase (2025.10). A tuned model is a version of a repository, `repo/version`. A job tells no times,
its timeline does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, cast
from urllib.parse import urlsplit

from msgspec.structs import replace
from typing_extensions import override

from headgate.dialects import Dialect, Gaps
from headgate.dialects.jobs import (
    Action,
    Asked,
    JobDialect,
    VendorCall,
    as_object,
    needed,
    own_members,
    seconds_of,
)
from headgate.dialects.openai.members import Json, Members, given
from headgate.dialects.tuning import method_of, number_of
from headgate.exchange import Exchange
from headgate.operations import FINE_TUNING
from headgate.provider import operation_of
from headgate.upstream import Credential, origin_of
from headgate_compatible.provider import Compatible
from headgate_compatible.vendors.tuning import job_of, refuse_multiplier

_SERVING, _API = "serving.", "api."
"""How the hosts of deployments begin, and those of everything else."""
_TIMELINE = "/timeline"
_OVER = frozenset({"succeeded", "failed", "cancelled"})
_NUMBERS = {"epochs": "n_epochs", "effective_batch_size": "batch_size"}


class PredibaseTuning(JobDialect):
    """Fine-tuning of Predibase, by examples (`supervised`). The repository, which must be there, is `suffix`.

    Parameters of its own (`params`, such as `rank`), `description` and `computeSpec` pass. It has no list of jobs. Events are its
    timeline.
    """

    name = "predibase.fine_tuning"
    operation = "fine_tuning.jobs"
    path = "/v2/finetuning/jobs"
    actions: ClassVar[Mapping[Action, tuple[str, str]]] = {
        "create": ("POST", ""),
        "retrieve": ("GET", "/{id}"),
        "cancel": ("POST", "/{id}/cancel"),
        "events": ("GET", "/{id}" + _TIMELINE),
    }
    _OWN = ("description", "computeSpec")
    _STATUS: ClassVar[Mapping[str, str]] = {
        "queued": "queued",
        "training": "running",
        "completed": "succeeded",
        "errored": "failed",
        "canceled": "cancelled",
        "stopped": "cancelled",
    }
    """No page says what stops a job; the SDK waits for it no longer."""

    @override
    def encode_job(self, asked: Members, gaps: Gaps) -> Json:
        _, numbers, place = method_of(asked, gaps, ("supervised",))
        refuse_multiplier(numbers, gaps, place)
        own: Json = asked.find("params", dict[str, Any]) or {}
        told = {name: number_of(numbers, theirs) for name, theirs in _NUMBERS.items()}
        return {
            "params": {**own, "base_model": asked.need("model", str), "task": "sft", **given(**told)},
            "dataset": asked.need("training_file", str),
            "repo": needed(asked, "suffix", "a tuned model is a version of a repository, whose name it is"),
            **own_members(asked, self._OWN),
        }

    @override
    def following(self, asked: Asked, said: Sequence[Any]) -> VendorCall | None:
        """A job that was cancelled is asked for, and of every job its timeline."""
        if asked.action == "events":
            return None
        if asked.action == "cancel" and len(said) == 1:
            return self._retrieval(asked.id)
        job = _job_in(asked, said)
        is_last = len(said) > (2 if asked.action == "cancel" else 1) or not job.get("uuid")
        if is_last:
            return None
        call = self._retrieval(str(job["uuid"]))
        return replace(call, path=call.path + _TIMELINE)

    @override
    def undoing(self, asked: Asked, said: Sequence[Any]) -> VendorCall | None:
        """A new job whose timeline cannot be read is cancelled, for its client takes it to have failed."""
        known = _job_in(asked, said).get("uuid") if said and asked.action == "create" else None
        return VendorCall("POST", f"{self._retrieval(str(known)).path}/cancel") if known else None

    @override
    def decode_answer(self, asked: Asked, said: Sequence[Any]) -> Json:
        if asked.action == "events":
            return super().decode_answer(asked, said)
        job = _job_in(asked, said)
        times = _moments(said[-1]) if len(said) > 1 else []
        return super().decode_answer(asked, [{**job, "timeline": times}])

    @override
    def decode_job(self, said: Json, asked: Asked) -> Json:
        native, params = said.get("status"), as_object(said.get("params") or {})
        times: list[tuple[str, int]] = said.get("timeline") or []
        status = self._STATUS.get(str(native), "running")
        numbers = {theirs: params.get(name) for name, theirs in _NUMBERS.items()}
        repo, version = said.get("targetRepoName"), said.get("targetVersionTag")
        is_made = status == "succeeded" and bool(repo) and version is not None
        return {
            **job_of(said.get("uuid"), status, native),
            "created_at": min((at for _, at in times), default=0),
            "finished_at": next((at for name, at in times if name == native), None) if status in _OVER else None,
            "model": said.get("baseModel") or params.get("base_model") or "",
            "fine_tuned_model": f"{repo}/{version}" if is_made else None,
            "training_file": said.get("datasetName") or "",
            "validation_file": None,
            "trained_tokens": None,
            "hyperparameters": numbers,
            "method": {"type": "supervised", "supervised": {"hyperparameters": numbers}},
            "seed": 0,
            "error": {"code": str(native), "message": ""} if status == "failed" else None,
            **given(params=params or None, targetRepoName=repo, targetVersionTag=version),
        }

    @override
    def jobs_in(self, said: Any) -> Sequence[Json]:
        return ()

    @override
    def decode_part(self, said: Any, asked: Asked) -> Sequence[Json]:
        told: Json = {"object": "fine_tuning.job.event", "type": "message", "level": "info"}
        found = [
            {"id": f"ftevent-{asked.id}-{name}", **told, "created_at": at, "message": name}
            for name, at in _moments(said)
        ]
        return sorted(found, key=lambda each: each["created_at"], reverse=True)


class Predibase(Compatible):
    """Predibase."""

    own_dialects: ClassVar[Mapping[str, str]] = {FINE_TUNING.name: PredibaseTuning.name}
    codecs: ClassVar[Mapping[str, Dialect]] = {PredibaseTuning.name: PredibaseTuning()}

    @override
    def url_at(self, ex: Exchange, target: str) -> str:
        return self._api(ex) + target

    @override
    def credential(self, ex: Exchange) -> Credential | None:
        """The key goes to the host of the API too, where that is the vendor's."""
        held = super().credential(ex)
        if held is None or ex.base_url or operation_of(ex) != FINE_TUNING.name:
            return held
        return replace(held, origins=frozenset({origin_of(self._api(ex))}))

    def _api(self, ex: Exchange) -> str:
        """The host of the API beside that of the deployments; a base URL of somebody else's has everything below it."""
        parts = urlsplit(self.url)
        if ex.base_url or not parts.netloc.startswith(_SERVING):
            return super().url_at(ex, "")
        return f"{parts.scheme}://{_API}{parts.netloc.removeprefix(_SERVING)}"


def _job_in(asked: Asked, said: Sequence[Any]) -> Json:
    """The job among the answers: behind that to an order to cancel, else the first."""
    at = 1 if asked.action == "cancel" else 0
    return as_object(said[at]) if len(said) > at else {}


def _moments(said: Any) -> list[tuple[str, int]]:
    """The statuses of a timeline that have begun, and when, in seconds."""
    told = [(name, cast("Json", each)) for name, each in as_object(said).items() if isinstance(each, dict)]
    found = [(name, seconds_of(each.get("startedAt"))) for name, each in told]
    return [(name, at) for name, at in found if at is not None]
