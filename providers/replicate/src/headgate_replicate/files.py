"""The dialect `replicate.files`: what clients upload for predictions and trainings to read.

Sources: https://replicate.com/docs/reference/http#files.create and the types of `replicate` 2.0. Content is given to those alone
who sign for it with a secret of the account, which is no part of a deployment.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar
from urllib.parse import parse_qsl, urlsplit

from typing_extensions import override

from headgate.dialects.files import FILE, FILE_ACTIONS, READ, FileDialect, file_object
from headgate.dialects.jobs import Action, Asked, as_object, objects_in, seconds_of
from headgate.dialects.openai.members import Json
from headgate.errors import InvalidRequest

_PURPOSES = (*READ, "fine-tune")


class ReplicateFiles(FileDialect):
    """Files of Replicate. Nothing is told of what one is for; its own address, by which inputs name it, stands in `urls`."""

    name = "replicate.files"
    path = "/files"
    actions: ClassVar[Mapping[Action, tuple[str, str]]] = FILE_ACTIONS
    purposes = _PURPOSES
    assumed = _PURPOSES[0]
    part = "content"

    @override
    def decode_job(self, said: Json, asked: Asked) -> Json:
        told: Json = {
            "id": said.get("id"),
            "bytes": said.get("size") or 0,
            "created_at": seconds_of(said.get("created_at")) or 0,
            "expires_at": seconds_of(said.get("expires_at")),
            "filename": said.get("name") or asked.body.get(FILE) or "",
            "purpose": asked.body.get("purpose") or _PURPOSES[0],
            "mime_type": said.get("content_type"),
            "urls": said.get("urls"),
        }
        return file_object(told, "processed", None)

    @override
    def urls_in(self, said: Json, asked: Asked) -> Sequence[str]:
        raise InvalidRequest("the content of a file is only given for a signature", param="file_id")

    @override
    def jobs_in(self, said: Any) -> Sequence[Json]:
        return objects_in(said, "results")

    @override
    def next_page(self, said: Sequence[Any]) -> Mapping[str, str] | None:
        return page_behind(said)


def page_behind(said: Sequence[Any]) -> Mapping[str, str] | None:
    """The query of the page that the last one names as the next; None where it names none."""
    address = as_object(said[-1]).get("next")
    return dict(parse_qsl(urlsplit(str(address)).query)) or None if address else None
