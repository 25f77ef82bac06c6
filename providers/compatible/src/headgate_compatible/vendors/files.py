"""Files of OpenAI's clients at OpenRouter, which tells them in Anthropic's words, and lists of files at xAI and Together.

Sources: https://openrouter.ai/docs/api/api-reference/files/download-file-content and
https://github.com/OpenRouterTeam/python-sdk/blob/main/docs/sdks/files/README.mdx; xAI:
https://docs.x.ai/developers/files/managing-files. Its lists go on by a token
(https://github.com/xai-org/xai-proto/blob/main/proto/xai/api/v1/files.proto), so that an OpenAI client, which asks for what
stands behind the last file, would be told the first page for ever. So it would at Together, whose list
(https://docs.together.ai/reference/list-files) is one page and does not say that it is the last.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from typing_extensions import override

from headgate.dialects import Gaps
from headgate.dialects.files import READ, ReadFiles
from headgate.dialects.jobs import Action, Asked, KeptDialect, VendorCall, as_object, objects_in, seconds_of
from headgate.dialects.openai.members import Json, Members
from headgate.errors import InvalidRequest

_PAGE = {"limit": "1000"}
"""As large as pages can be."""


class OpenRouterFiles(ReadFiles):
    """Files of OpenRouter, of up to 100 MB."""

    name = "openrouter.files"

    @override
    def first_page(self) -> Mapping[str, str]:
        return _PAGE

    @override
    def next_page(self, said: Sequence[Any]) -> Mapping[str, str] | None:
        cursor = as_object(said[-1]).get("cursor")
        return {**_PAGE, "cursor": str(cursor)} if cursor and self.jobs_in(said[-1]) else None


class XAIFileLists(KeptDialect):
    """Lists of files at xAI. Whatever else is done with files there is OpenAI's, and passes as it comes."""

    name = "xai.files"
    operation = "files"
    path = "/files"
    thing = "file"
    page = (100, 10_000)
    actions: ClassVar[Mapping[Action, tuple[str, str]]] = {"list": ("GET", "")}
    _PAGE: ClassVar[Mapping[str, str]] = {"limit": "100"}

    @override
    def encode_new(self, asked: Members, fresh: str, gaps: Gaps) -> VendorCall:
        raise InvalidRequest("a file is uploaded as it comes", code="unsupported_operation")

    @override
    def decode_job(self, said: Json, asked: Asked) -> Json:
        told = {**said, "object": "file", "created_at": seconds_of(said.get("created_at")) or 0}
        return {**told, "purpose": said.get("purpose") or READ[0], "status": said.get("status") or "processed"}

    @override
    def jobs_in(self, said: Any) -> Sequence[Json]:
        return objects_in(said, "data")

    @override
    def first_page(self) -> Mapping[str, str]:
        return self._PAGE

    @override
    def next_page(self, said: Sequence[Any]) -> Mapping[str, str] | None:
        token = as_object(said[-1]).get("pagination_token")
        return {**self._PAGE, "pagination_token": str(token)} if token and self.jobs_in(said[-1]) else None


class TogetherFileLists(XAIFileLists):
    """Lists of files at Together, which are one page."""

    name = "together.files"
    _PAGE: ClassVar[Mapping[str, str]] = {}

    @override
    def decode_job(self, said: Json, asked: Asked) -> Json:
        return {
            **super().decode_job(said, asked),
            "status": "uploaded" if said.get("Processed") is False else "processed",
        }

    @override
    def next_page(self, said: Sequence[Any]) -> Mapping[str, str] | None:
        return None
