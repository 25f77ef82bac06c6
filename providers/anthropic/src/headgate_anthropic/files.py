"""The dialect `anthropic.files`: Anthropic's files for OpenAI's clients.

Source: https://platform.claude.com/docs/en/api/beta/files. Files there have no purpose. What a client uploads cannot be read
back; what Claude made can.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from typing_extensions import override

from headgate.dialects import Gaps
from headgate.dialects.files import FILE_ACTIONS, FileDialect, file_object, purpose_of
from headgate.dialects.jobs import Action, Asked, VendorCall, as_object, objects_in, seconds_of
from headgate.dialects.openai.members import Json, Members
from headgate.errors import InvalidRequest

PURPOSES = ("user_data", "assistants", "vision")
"""What files there are for: to be read by Claude."""
_PAGE = {"limit": "1000"}
"""As large as pages can be."""


class AnthropicFiles(FileDialect):
    """Files of Anthropic. Their content is relayed as it comes."""

    name = "anthropic.files"
    path = "/files"
    actions: ClassVar[Mapping[Action, tuple[str, str]]] = FILE_ACTIONS

    @override
    def encode_new(self, asked: Members, fresh: str, gaps: Gaps) -> VendorCall:
        purpose_of(asked, PURPOSES, gaps.target)
        asked.find("file", str)
        return VendorCall("POST", self.path, file="file")

    @override
    def decode_job(self, said: Json, asked: Asked) -> Json:
        told: Json = {
            "id": said.get("id"),
            "bytes": said.get("size_bytes") or 0,
            "created_at": seconds_of(said.get("created_at")) or 0,
            "filename": said.get("filename") or "",
            "purpose": asked.body.get("purpose") or PURPOSES[0],
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

    @override
    def first_page(self) -> Mapping[str, str]:
        return _PAGE

    @override
    def next_page(self, said: Sequence[Any]) -> Mapping[str, str] | None:
        page = as_object(said[-1])
        last = page.get("last_id") if page.get("has_more") else None
        return {**_PAGE, "after_id": str(last)} if last else None
