"""The dialect `replicate.fine_tuning`: trainings, by the schema that each trainer publishes.

Sources: https://replicate.com/docs/reference/http#trainings.create, the types of `replicate` 2.0 and
https://github.com/replicate/cog/blob/main/docs/training.md: a trainer's inputs are those of its function, so the file to train on
is the one of them that is a file (`format: uri`), and where there are several the one that must be given.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, cast
from urllib.parse import quote, unquote

from msgspec import Struct
from typing_extensions import override

from headgate.dialects import Gaps
from headgate.dialects.jobs import (
    USUAL_ACTIONS,
    Action,
    Asked,
    KeptDialect,
    VendorCall,
    as_object,
    needed,
    objects_in,
    own_members,
    seconds_of,
)
from headgate.dialects.openai.members import Json, Members, given
from headgate.dialects.tuning import method_of, number_of
from headgate.errors import InvalidRequest, ProviderFailed, UnsupportedField
from headgate_replicate.files import page_behind
from headgate_replicate.inputs import schemas_of

_NUMBERS: Mapping[str, tuple[str, ...]] = {
    "n_epochs": ("num_train_epochs", "num_epochs", "n_epochs", "epochs"),
    "batch_size": ("train_batch_size", "batch_size"),
}
"""Inputs that say what OpenAI's numbers do, where a trainer has them."""
_STATUS: Mapping[str, str] = {
    "starting": "queued",
    "processing": "running",
    "succeeded": "succeeded",
    "failed": "failed",
    "canceled": "cancelled",
}
_FILE = re.compile(r"https?://[^/]+/v1/files/([^/?#]+)")
_ENDED = frozenset({"succeeded", "failed", "cancelled"})
_WRITE = "write it into `input`, under the trainer's own name for it"


class Trainer(Struct, frozen=True):
    """A version of a model that can be trained: where its trainings begin, its inputs, those that are files, those it needs."""

    path: str
    inputs: frozenset[str]
    files: tuple[str, ...]
    needed: frozenset[str]

    def data(self) -> str:
        """The input for the file to train on. Raises UnsupportedField where the schema does not say which it is."""
        found = [name for name in self.files if name in self.needed] if len(self.files) > 1 else self.files
        if len(found) != 1:
            told = f"one of {', '.join(f'`{name}`' for name in self.files)}" if self.files else "none of its inputs"
            raise UnsupportedField(
                f"`training_file` has no place: the trainer's schema marks {told} as the file to train on; leave it empty and "
                "write the address into `input`",
                param="training_file",
            )
        return found[0]


def read_trainer(described: Json, owner: str, name: str) -> Trainer:
    """The trainer in a model's or a version's description. Raises InvalidRequest for a model that cannot be trained."""
    version, schemas = schemas_of(described)
    known, shape = version.get("id"), schemas.get("TrainingInput")
    if not isinstance(known, str) or not isinstance(shape, dict):
        raise InvalidRequest(
            "the model cannot be trained: the schema it publishes has no `TrainingInput`",
            param="model",
            code="unsupported_model",
        )
    held = cast("Json", shape)
    properties: Mapping[str, Json] = held.get("properties") or {}
    files = tuple(each for each, said in properties.items() if said.get("format") == "uri")
    path = f"/models/{owner}/{name}/versions/{quote(known, safe='')}/trainings"
    return Trainer(path, frozenset(properties), files, frozenset(cast("list[str]", held.get("required") or [])))


class ReplicateTuning(KeptDialect):
    """Trainings of Replicate. A new one has a trainer, and a model of one's own that it makes a version of: `destination`, which
    is the vendor's own member, as are `input` with more of the trainer's inputs, `webhook` and `webhook_events_filter`.

    There are no events and checkpoints: what a training says of itself is one text, `logs`.
    """

    name = "replicate.fine_tuning"
    operation = "fine_tuning.jobs"
    path = "/trainings"
    actions: ClassVar[Mapping[Action, tuple[str, str]]] = USUAL_ACTIONS
    _OWN = ("webhook", "webhook_events_filter")

    def __init__(self, trainer: Trainer | None = None, base: str = "") -> None:
        self._trainer = trainer
        self._base = base

    @override
    def encode_new(self, asked: Members, fresh: str, gaps: Gaps) -> VendorCall:
        trainer = self._trainer
        if trainer is None:
            raise ProviderFailed("a training without a trainer cannot be begun")
        asked.need("model", str)  # it stands in the address
        told: Json = asked.find("input", dict[str, Any]) or {}
        file = asked.find("training_file", str)
        if file:
            told[trainer.data()] = self._address(file)
        _, numbers, place = method_of(asked, gaps, ("supervised",))
        for name, names in _NUMBERS.items():
            _tell(told, names, number_of(numbers, name), trainer, gaps, f"{place}.{name}")
        if numbers.take("learning_rate_multiplier") not in (None, "auto"):
            gaps.refuse(f"{place}.learning_rate_multiplier", _WRITE)
        _tell(told, ("seed",), asked.find("seed", int), trainer, gaps, "seed")
        for name in ("suffix", "validation_file", "integrations"):
            if asked.take(name) is not None:
                gaps.refuse(name, "`destination` names the new model" if name == "suffix" else _WRITE)
        why = "a training makes a version of a model of yours; write `owner/name` beside `training_file`"
        return VendorCall(
            "POST",
            trainer.path,
            body={
                "destination": needed(asked, "destination", why),
                "input": told,
                **own_members(asked, self._OWN),
            },
        )

    def _address(self, file: str) -> str:
        """A file as trainers read it: by an address, which for one that was uploaded is its own."""
        return file if file.startswith(("https://", "http://")) else f"{self._base}/files/{quote(file, safe='')}"

    @override
    def decode_job(self, said: Json, asked: Asked) -> Json:
        status = _STATUS.get(str(said.get("status")), "running")
        told: Json = said.get("input") or {}
        numbers = {name: _first(told, names) for name, names in _NUMBERS.items()}
        metrics: Json = said.get("metrics") or {}
        made: Json = as_object(said.get("output") or {}) if status == "succeeded" else {}
        return {
            "id": said.get("id"),
            "object": "fine_tuning.job",
            "created_at": seconds_of(said.get("created_at")) or 0,
            "finished_at": seconds_of(said.get("completed_at")) if status in _ENDED else None,
            "model": _model_of(said),
            "fine_tuned_model": made.get("version"),
            "organization_id": "",
            "result_files": [],
            "status": status,
            "native_status": said.get("status"),
            "training_file": asked.body.get("training_file") or _file_in(told),
            "validation_file": None,
            "trained_tokens": None,
            "hyperparameters": numbers,
            "method": {"type": "supervised", "supervised": {"hyperparameters": numbers}},
            "seed": told.get("seed") or 0,
            "error": {"code": "failed", "message": str(said.get("error") or "")} if status == "failed" else None,
            "input": told,
            **given(weights=made.get("weights"), predict_time=metrics.get("predict_time")),
        }

    @override
    def jobs_in(self, said: Any) -> Sequence[Json]:
        return objects_in(said, "results")

    @override
    def next_page(self, said: Sequence[Any]) -> Mapping[str, str] | None:
        return page_behind(said)


def _tell(told: Json, names: Sequence[str], value: object, trainer: Trainer, gaps: Gaps, place: str) -> None:
    """Put a number into the input of the trainer that means it; `gaps` is told where there is none."""
    if value is None:
        return
    name = next((each for each in names if each in trainer.inputs), "")
    if name:
        told[name] = value
    else:
        gaps.refuse(place, f"the trainer's schema has none of {', '.join(f'`{each}`' for each in names)}")


def _first(told: Json, names: Sequence[str]) -> object:
    return next((told[name] for name in names if name in told), None)


def _file_in(told: Json) -> str:
    """The first file of an input, by its id where it was uploaded here, else by its address."""
    found = [value for value in told.values() if isinstance(value, str) and value.startswith(("https://", "http://"))]
    own = next((held for each in found if (held := _FILE.fullmatch(each)) is not None), None)
    return unquote(own[1]) if own is not None else next(iter(found), "")


def _model_of(said: Json) -> str:
    model, version = said.get("model") or "", said.get("version")
    return f"{model}:{version}" if model and version else str(model)
