"""The dialect `google.files`: files of the Gemini API for OpenAI's clients.

Source: https://ai.google.dev/api/files. A file goes up in one body with what is said of it, as Google's own JavaScript package
does it (`GoogleAIFileManager` of https://github.com/google-gemini/deprecated-generative-ai-js). What a client uploads cannot be
read back; what a batch or a model made can.
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

PURPOSES = ("user_data", "assistants", "vision", "batch")
"""What files there are for: to be read by Gemini, and to hold the requests of a batch."""
_PAGE = {"pageSize": "100"}
"""As large as pages can be."""
_STATUS = {"PROCESSING": "uploaded", "ACTIVE": "processed", "FAILED": "error"}


class GoogleFiles(FileDialect):
    """Files of the Gemini API, which live 48 hours. Their content is relayed as it comes."""

    name = "google.files"
    path = "/files"
    collection: ClassVar[str] = "files"
    actions: ClassVar[Mapping[Action, tuple[str, str]]] = FILE_ACTIONS

    @override
    def encode_new(self, asked: Members, fresh: str, gaps: Gaps) -> VendorCall:
        purpose_of(asked, PURPOSES, gaps.target)
        about = {"file": {"displayName": asked.need(FILE, str)}}
        return VendorCall("POST", "/upload/files", file=FILE, about=about)

    @override
    def decode_job(self, said: Json, asked: Asked) -> Json:
        file: Json = as_object(said["file"]) if "file" in said else said
        purpose = "batch_output" if file.get("source") == "GENERATED" else PURPOSES[0]
        told: Json = {
            "id": file.get("name"),
            "bytes": int(file.get("sizeBytes") or 0),
            "created_at": seconds_of(file.get("createTime")) or 0,
            "expires_at": seconds_of(file.get("expirationTime")),
            "filename": file.get("displayName") or "",
            "purpose": asked.body.get("purpose") or purpose,
            "mime_type": file.get("mimeType"),
            "uri": file.get("uri"),
        }
        state = file.get("state")
        return file_object(
            told, _STATUS.get(str(state), "uploaded"), state, as_object(file.get("error") or {}).get("message")
        )

    @override
    def decode_answer(self, asked: Asked, said: Sequence[Any]) -> Json:
        if asked.action == "delete":
            return {"id": f"{self.collection}/{asked.id}", "object": "file", "deleted": True}
        return super().decode_answer(asked, said)

    @override
    def urls_in(self, said: Json, asked: Asked) -> Sequence[str]:
        raise InvalidRequest("the content of a file is relayed", param="file_id", code="unsupported_content")

    @override
    def jobs_in(self, said: Any) -> Sequence[Json]:
        return objects_in(said, "files")

    @override
    def first_page(self) -> Mapping[str, str]:
        return _PAGE

    @override
    def next_page(self, said: Sequence[Any]) -> Mapping[str, str] | None:
        token = as_object(said[-1]).get("nextPageToken")
        return {**_PAGE, "pageToken": str(token)} if token else None
