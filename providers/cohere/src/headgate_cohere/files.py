"""The dialect `cohere.files`: datasets in the place of files.

Sources: https://docs.cohere.com/reference/create-dataset, https://docs.cohere.com/reference/get-dataset,
https://docs.cohere.com/docs/datasets. The parts of a dataset are Avro, which Cohere's SDK decodes on download
(`save_dataset` of https://github.com/cohere-ai/cohere-python); beside them stands the file as it was uploaded, where it is kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from typing_extensions import override

from headgate.dialects import Gaps
from headgate.dialects.files import FILE, FILE_ACTIONS, FileDialect, file_object, purpose_of
from headgate.dialects.jobs import Action, Asked, VendorCall, as_object, objects_in, seconds_of
from headgate.dialects.openai.members import Json, Members
from headgate.errors import InvalidRequest

_TYPES = {"batch": "batch-openai-chat-input"}
_STATUS = {"validated": "processed", "skipped": "processed", "failed": "error"}


class CohereFiles(FileDialect):
    """Datasets of Cohere. A client may say the `type` of one in the form; for `batch` it is that of OpenAI's chat requests."""

    name = "cohere.files"
    path = "/v1/datasets"
    fields: ClassVar[tuple[str, ...]] = ("type",)
    actions: ClassVar[Mapping[Action, tuple[str, str]]] = {**FILE_ACTIONS, "content": ("GET", "/{id}")}

    @override
    def encode_new(self, asked: Members, fresh: str, gaps: Gaps) -> VendorCall:
        kind = asked.find("type", str)
        known = tuple(_TYPES) if kind is None else (str(asked.peek("purpose")),)
        purpose = purpose_of(asked, known, gaps.target)
        query = {"name": asked.need(FILE, str), "type": kind or _TYPES[purpose], "keep_original_file": "true"}
        return VendorCall("POST", self.path, query, file="data")

    @override
    def following(self, asked: Asked, said: Sequence[Any]) -> VendorCall | None:
        if asked.action != "create":
            return super().following(asked, said)
        made = str(as_object(said[0]).get("id") or "")
        return self._retrieval(made) if len(said) == 1 and made else None

    @override
    def decode_job(self, said: Json, asked: Asked) -> Json:
        dataset: Json = as_object(said["dataset"]) if "dataset" in said else said
        kind, status = str(dataset.get("dataset_type") or ""), dataset.get("validation_status")
        told: Json = {
            "id": dataset.get("id"),
            "bytes": asked.body.get("bytes") or sum(part.get("size_bytes") or 0 for part in _parts(dataset)),
            "created_at": seconds_of(dataset.get("created_at")) or 0,
            "filename": dataset.get("name") or "",
            "purpose": _purpose_of(kind),
            "native_purpose": kind,
        }
        return file_object(told, _STATUS.get(str(status), "uploaded"), status, dataset.get("validation_error"))

    @override
    def urls_in(self, said: Json, asked: Asked) -> Sequence[str]:
        dataset = as_object(said.get("dataset"))
        parts = _parts(dataset)
        if not parts:
            raise InvalidRequest(
                f"the content of `{asked.id}` is not there yet: its status is `{dataset.get('validation_status')}`",
                param="file_id",
                code="no_content",
            )
        found = dict.fromkeys(str(part.get("original_url") or "") for part in parts)
        if "" in found:
            raise InvalidRequest(
                f"the content of `{asked.id}` is Avro, which Cohere's SDK decodes and OpenAI's clients cannot read: take its "
                f"`dataset_parts` from `/v1/v1/datasets/{asked.id}`, which is passed through",
                param="file_id",
                code="unsupported_content",
            )
        return list(found)

    @override
    def jobs_in(self, said: Any) -> Sequence[Json]:
        return objects_in(said, "datasets")

    @override
    def next_page(self, said: Sequence[Any]) -> Mapping[str, str] | None:
        here = sum(len(self.jobs_in(page)) for page in said)
        return {"offset": str(here)} if self.jobs_in(said[-1]) else None


def _parts(dataset: Json) -> list[Json]:
    return sorted(objects_in(dataset, "dataset_parts"), key=lambda part: part.get("index") or 0)


def _purpose_of(kind: str) -> str:
    """What OpenAI calls a file of this type."""
    if kind.endswith("-finetune-input"):
        return "fine-tune"
    if kind.startswith("batch-"):
        return "batch" if kind.endswith("-input") else "batch_output"
    return "user_data"
