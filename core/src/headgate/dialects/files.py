"""OpenAI's Files API at vendors that keep datasets in the place of files.

A file goes in the form that one of the vendor's calls takes, and its content comes from addresses that the vendor tells.
Source: https://platform.openai.com/docs/api-reference/files
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from typing_extensions import override

from headgate.dialects.gaps import Gaps
from headgate.dialects.jobs import Action, Asked, KeptDialect, VendorCall, objects_in, seconds_of
from headgate.dialects.openai.members import Json, Members
from headgate.errors import InvalidRequest, UnsupportedField

FILE = "file"
"""The part of a client's form that holds the file; in what is asked the name of that file."""
FILE_ACTIONS: Mapping[Action, tuple[str, str]] = {
    "create": ("POST", ""),
    "list": ("GET", ""),
    "retrieve": ("GET", "/{id}"),
    "delete": ("DELETE", "/{id}"),
}
"""What nearly every vendor has, and where, behind its path for datasets."""


READ = ("user_data", "assistants", "vision")
"""What files are for that a model reads."""


class FileDialect(KeptDialect):
    """A vendor's API for files of OpenAI's clients. What is asked of a new one are the fields of its form and `file`, its name.

    Once it has gone to the vendor `bytes` says how many it had.
    """

    operation = "files"
    thing = "file"
    page = (100, 10_000)
    fields: ClassVar[tuple[str, ...]] = ()
    """Fields of the vendor's own that a client may write into the form."""
    most_bytes: ClassVar[int | None] = None
    """How large a form may be."""
    reads_whole: ClassVar[bool] = False
    """Whether a form is read whole before any of it goes on: the vendor is told how long a file is. It needs `most_bytes`."""

    purposes: ClassVar[Sequence[str]] = READ
    """What new files may be for."""
    assumed: ClassVar[str] = "batch"
    """What a file is taken to be for that its form begins with; one that says behind it what the vendor is told otherwise is
    refused."""
    part: ClassVar[str] = FILE
    """The part of the vendor's form that holds the file."""

    @override
    def encode_new(self, asked: Members, fresh: str, gaps: Gaps) -> VendorCall:
        """A new file goes to the vendor's path for them, alone in a form. Override it where more is told of it."""
        purpose_of(asked, self.purposes, gaps.target)
        asked.find(FILE, str)
        return VendorCall("POST", self.path, file=self.part)

    @abstractmethod
    def urls_in(self, said: Json, asked: Asked) -> Sequence[str]:
        """Where the content is, piece after piece, by the answer to `content`. InvalidRequest where nobody could read it."""

    @override
    def decode_answer(self, asked: Asked, said: Sequence[Any]) -> Json:
        if asked.action == "delete":
            return {"id": asked.id, "object": "file", "deleted": True}
        return super().decode_answer(asked, said)


class ReadFiles(FileDialect):
    """Files that models read, told in Anthropic's words, with no purpose: what a client uploads cannot be read back, what was
    made can and is relayed as it comes. A codec sets its name and how its pages go on.

    Source: https://platform.claude.com/docs/en/api/beta/files
    """

    path = "/files"
    actions: ClassVar[Mapping[Action, tuple[str, str]]] = FILE_ACTIONS
    assumed = READ[0]

    @override
    def decode_job(self, said: Json, asked: Asked) -> Json:
        told: Json = {
            "id": said.get("id"),
            "bytes": said.get("size_bytes") or 0,
            "created_at": seconds_of(said.get("created_at")) or 0,
            "filename": said.get("filename") or "",
            "purpose": asked.body.get("purpose") or READ[0],
            "mime_type": said.get("mime_type"),
            "downloadable": said.get("downloadable"),
        }
        return file_object(told, "processed", None)

    @override
    def urls_in(self, said: Json, asked: Asked) -> Sequence[str]:
        raise InvalidRequest("the content of a file is relayed", param="file_id", code="unsupported_content")

    @override
    def jobs_in(self, said: Any) -> Sequence[Json]:
        return objects_in(said, "data")


def purpose_of(asked: Members, known: Sequence[str], target: str) -> str:
    """What a new file is for. Raises UnsupportedField for what the vendor has no use for."""
    purpose = asked.need("purpose", str)
    if purpose not in known:
        raise UnsupportedField(
            f"`purpose` cannot be `{purpose}`: `{target}` keeps files for {', '.join(known)}", param="purpose"
        )
    return purpose


def file_object(said: Mapping[str, Any], status: str, native: object, details: object = None) -> Json:
    """A file in OpenAI's shape: what is `said` of it, its status, and the vendor's own word for that."""
    return {"object": "file", **said, "status": status, "status_details": details or None, "native_status": native}
