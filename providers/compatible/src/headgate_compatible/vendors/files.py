"""Files of OpenAI's clients at OpenRouter, which tells them in Anthropic's words, and lists of files at xAI and Together.

Sources: https://openrouter.ai/docs/api/api-reference/files/download-file-content and
https://github.com/OpenRouterTeam/python-sdk/blob/main/docs/sdks/files/README.mdx; xAI:
https://docs.x.ai/developers/files/managing-files. Its lists go on by a token
(https://github.com/xai-org/xai-proto/blob/main/proto/xai/api/v1/files.proto), so that an OpenAI client, which asks for what
stands behind the last file, would be told the first page for ever. So it would at Together, whose list
(https://docs.together.ai/reference/list-files) is one page and does not say that it is the last; the states of its files are
those of `FileResponse` of the SDK `together` 3.1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import msgspec
from msgspec.structs import replace
from typing_extensions import override

from headgate.dialects import Gaps
from headgate.dialects.files import READ, ReadFiles, file_object
from headgate.dialects.jobs import Action, Asked, KeptDialect, VendorCall, as_object, objects_in, seconds_of
from headgate.dialects.openai.members import Json, Members
from headgate.dialects.openai.members import as_object as as_member
from headgate.errors import InvalidRequest, ProviderFailed
from headgate.exchange import RawHeaders, Reply
from headgate_compatible.vendors.pictures import object_in

_PAGE = {"limit": "1000"}
"""As large as pages can be."""
_PURPOSES: Mapping[str, str] = {"batch-api": "batch"}
_NATIVE: Mapping[str, str] = {theirs: own for own, theirs in _PURPOSES.items()}
"""Together's words for what files are for, where they are not OpenAI's."""


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


class TogetherFiles(XAIFileLists):
    """Files of Together: what is told of them, and lists, which are one page. New ones and contents pass.

    One that is to be trained on is looked through first; `status` says what came of that.
    """

    name = "together.files"
    actions: ClassVar[Mapping[Action, tuple[str, str]]] = {
        "list": ("GET", ""),
        "retrieve": ("GET", "/{id}"),
        "delete": ("DELETE", "/{id}"),
    }
    _PAGE: ClassVar[Mapping[str, str]] = {}
    _STATUS: ClassVar[Mapping[str, str]] = {
        "COMPLETED": "processed",
        "FAILED": "error",
        "INVALID_FORMAT": "error",
        "PENDING": "uploaded",
        "QUEUED": "uploaded",
        "RUNNING": "uploaded",
    }

    @override
    def encode_call(self, asked: Asked, gaps: Gaps) -> VendorCall:
        query = {name: value for name, value in asked.query.items() if name != "purpose" or asked.action != "list"}
        return super().encode_call(replace(asked, query=query), gaps)

    @override
    def decode_job(self, said: Json, asked: Asked) -> Json:
        native = said.get("processing_status")
        known = self._STATUS.get(str(native).upper())
        report = said.get("validation_report")
        details = report if isinstance(report, str) else (as_member(report) or {}).get("error")
        purpose = said.get("purpose")
        told = {**super().decode_job(said, asked), "purpose": _PURPOSES.get(str(purpose), purpose) or READ[0]}
        status = known or ("uploaded" if said.get("Processed") is False else "processed")
        return file_object(told, status, native, details)

    @override
    def decode_answer(self, asked: Asked, said: Sequence[Any]) -> Json:
        if asked.action == "delete":
            return {"id": asked.id, "object": "file", "deleted": True}
        purpose = asked.query.get("purpose")
        if asked.action == "list" and purpose:
            told = _NATIVE.get(purpose, purpose)
            said = [{"data": [each for each in self.jobs_in(page) if each.get("purpose") == told]} for page in said]
        return super().decode_answer(asked, said)

    @override
    def next_page(self, said: Sequence[Any]) -> Mapping[str, str] | None:
        return None

    def decode_new(self, headers: RawHeaders, body: bytes, _sent: bytes) -> Reply:
        """The answer to an upload. Raises ProviderFailed for one without a file."""
        held = object_in(body)
        if not held.get("id"):
            raise ProviderFailed("the provider answered with no file", code="upstream_bad_reply")
        return Reply(200, headers, msgspec.json.encode(self.decode_job(held, Asked("retrieve"))))
