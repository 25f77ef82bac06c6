"""AI21: files of its library, and batches that hold their requests themselves.

Sources: https://docs.ai21.com/reference/manage-library-ref,
https://docs.ai21.com/reference/manage-library-ref/upload-workspace-files,
https://docs.ai21.com/reference/manage-library-ref/list-library-files; batches, which no page has, by the SDK `ai21` 4.3
(https://github.com/AI21Labs/ai21-python/blob/main/ai21/clients/studio/resources/batch/batches.py, `beta.batches` there) and its
example of lines (https://github.com/AI21Labs/ai21-python/blob/main/examples/studio/batches/batches.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar
from urllib.parse import quote, unquote

import msgspec
from typing_extensions import override

from headgate.dialects import Dialect, Gaps
from headgate.dialects.files import FILE, FILE_ACTIONS, FileDialect, file_object
from headgate.dialects.jobs import (
    DAY,
    USUAL_ACTIONS,
    Action,
    Asked,
    KeptDialect,
    VendorCall,
    as_object,
    batch,
    endpoint_of,
    no_file,
    objects_in,
    seconds_of,
    within_a_day,
)
from headgate.dialects.openai.members import Json, Members
from headgate.errors import InvalidRequest
from headgate.exchange import Exchange
from headgate.forms import Part
from headgate.operations import BATCHES, FILES
from headgate.provider import operation_of
from headgate_compatible.provider import Compatible

_PURPOSES = ("user_data", "assistants")
_CHAT = "/v1/chat/completions"
_CONTENT = "/content"
_ERRORS = "-errors"
"""What stands behind the id of a batch in that of the file with its failed requests."""
_SIZE = 1000


class AI21Files(FileDialect):
    """Files of AI21's library, which its assistants search. Nothing is told of what a file is for, and none is given back."""

    name = "ai21.files"
    path = "/library/files"
    actions: ClassVar[Mapping[Action, tuple[str, str]]] = FILE_ACTIONS
    purposes = _PURPOSES
    assumed = _PURPOSES[0]

    @override
    def following(self, asked: Asked, said: Sequence[Any]) -> VendorCall | None:
        if asked.action != "create":
            return super().following(asked, said)
        return self._retrieval(_id_of(as_object(said[0]))) if len(said) == 1 and _id_of(as_object(said[0])) else None

    @override
    def decode_job(self, said: Json, asked: Asked) -> Json:
        status = str(said.get("status") or "")
        is_bad = status.endswith("_FAILED")
        told: Json = {
            "id": _id_of(said),
            "bytes": said.get("sizeBytes") or asked.body.get("bytes") or 0,
            "created_at": seconds_of(said.get("creationDate")) or 0,
            "filename": said.get("name") or "",
            "purpose": asked.body.get("purpose") or _PURPOSES[0],
        }
        state = "error" if is_bad else "processed" if status == "PROCESSED" else "uploaded"
        return file_object(told, state, status or None, said.get("errorMessage"))

    @override
    def urls_in(self, said: Json, asked: Asked) -> Sequence[str]:
        raise InvalidRequest("the library gives no file back", param="file_id", code="unsupported_content")

    @override
    def jobs_in(self, said: Any) -> Sequence[Json]:
        return objects_in(said)

    @override
    def first_page(self) -> Mapping[str, str]:
        return {"offset": "0", "limit": str(_SIZE)}

    @override
    def next_page(self, said: Sequence[Any]) -> Mapping[str, str] | None:
        here = sum(len(self.jobs_in(page)) for page in said)
        is_last = len(self.jobs_in(said[-1])) < _SIZE
        return None if is_last else {**self.first_page(), "offset": str(here)}


class AI21Batches(KeptDialect):
    """Batches of AI21, of chat: a form with the lines in it, `requests` in the place of `input_file_id`. They name their models.

    The batch is its own `output_file_id`, and its failed requests stand in the file of that id with `-errors` behind it.
    """

    name = "ai21.batches"
    operation = "batches"
    path = "/batches"
    actions: ClassVar[Mapping[Action, tuple[str, str]]] = USUAL_ACTIONS
    _STATUS: ClassVar[Mapping[str, str]] = {
        "PENDING": "validating",
        "PROCESSING": "in_progress",
        "COMPLETED": "completed",
        "FAILED": "failed",
        "EXPIRED": "expired",
        "CANCELLED": "cancelled",
    }
    _PAGE: ClassVar[Mapping[str, str]] = {"limit": "100"}

    @override
    def encode_new(self, asked: Members, fresh: str, gaps: Gaps) -> VendorCall:
        no_file(asked, gaps.target)
        endpoint = endpoint_of(asked, (_CHAT,), gaps.target)
        within_a_day(asked)
        lines = [{"method": "POST", "url": endpoint, **line} for line in asked.need("requests", list[Json])]
        metadata = asked.find("metadata", dict[str, str])
        said = [Part("endpoint", "", endpoint.encode())]
        said += [Part("metadata", "", msgspec.json.encode(metadata))] if metadata else []
        content = msgspec.json.Encoder().encode_lines(lines)
        return VendorCall(
            "POST", self.path, form=(*said, Part(FILE, "application/jsonl", content, filename="requests.jsonl"))
        )

    @override
    def decode_job(self, said: Json, asked: Asked) -> Json:
        native = str(said.get("status") or "")
        status = self._STATUS.get(native, "in_progress")
        known = said.get("id")
        told: Json = {
            "id": known,
            "endpoint": said.get("endpoint") or "",
            "input_file_id": "",
            "completion_window": DAY,
            "output_file_id": known if said.get("output_file") else None,
            "error_file_id": f"{known}{_ERRORS}" if said.get("error_file") else None,
            "created_at": seconds_of(said.get("created_at")) or 0,
            "request_counts": said.get("request_counts"),
            "metadata": said.get("metadata"),
        }
        ended = said.get("cancelled_at") if status == "cancelled" else said.get("completed_at")
        return batch(told, status, native, seconds_of(ended))

    @override
    def jobs_in(self, said: Any) -> Sequence[Json]:
        return objects_in(said)

    @override
    def first_page(self) -> Mapping[str, str]:
        return self._PAGE

    @override
    def next_page(self, said: Sequence[Any]) -> Mapping[str, str] | None:
        jobs = self.jobs_in(said[-1])
        return {**self._PAGE, "after": str(jobs[-1].get("id"))} if jobs else None


class AI21(Compatible):
    """AI21's Jamba models."""

    own_dialects: ClassVar[Mapping[str, str]] = {FILES.name: AI21Files.name, BATCHES.name: AI21Batches.name}
    codecs: ClassVar[Mapping[str, Dialect]] = {each.name: each for each in (AI21Files(), AI21Batches())}

    @override
    def spoken(self, ex: Exchange, model: str) -> tuple[str, str] | None:
        """Files are told in OpenAI's shape; the content of one is that of a batch's results, and is relayed."""
        return (FILES.name, "") if _asks_for_results(ex) else super().spoken(ex, model)

    @override
    def url_for(self, ex: Exchange) -> str:
        if operation_of(ex) != FILES.name or not _asks_for_results(ex):
            return super().url_for(ex)
        known = unquote(ex.path.removeprefix(f"{FILES.path}/").removesuffix(_CONTENT))
        kind = "error" if known.endswith(_ERRORS) else "output"
        return self.url_at(ex, f"/batches/{quote(known.removesuffix(_ERRORS), safe='')}/results?file_type={kind}")


def _asks_for_results(ex: Exchange) -> bool:
    """Whether a client asks for the content of a file, which the library has of none: it is that of a batch."""
    return ex.operation is FILES and ex.path.endswith(_CONTENT)


def _id_of(said: Json) -> str:
    """The id of a file, by the types of the SDK or the vendor's page."""
    return str(said.get("fileId") or said.get("id") or "")
