"""Writer: completions that are bare texts, and files that are bodies of their own.

Sources: https://dev.writer.com/api-reference/completion-api/text-generation, https://dev.writer.com/home/streaming,
https://dev.writer.com/api-reference/file-api/upload-files, https://dev.writer.com/api-reference/file-api/get-all-files and the
types of `writer-sdk` 3.0.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar
from urllib.parse import quote, unquote

from typing_extensions import override

from headgate.dialects import Dialect, Gaps
from headgate.dialects.files import FILE, FILE_ACTIONS, FileDialect, file_object, purpose_of
from headgate.dialects.jobs import Action, Asked, VendorCall, as_object, objects_in, seconds_of
from headgate.dialects.openai.members import Json, Members
from headgate.errors import InvalidRequest
from headgate.exchange import Exchange
from headgate.operations import FILES
from headgate_compatible.vendors.bare_texts import WRITER, BareTexts, Words

_PURPOSES = ("user_data", "assistants")
_STATUS = {"completed": "processed", "failed": "error"}
_PAGE = {"limit": "100", "order": "desc"}
"""As large as pages can be."""
_CONTENT = "/content"
_PLAIN = re.compile(r"[0-9A-Za-z!#$&+.^_`|~-]+")
_MAX_BYTES = 32 * 1024 * 1024
"""How large a form may be that is read whole, to say how long its file is."""


class WriterFiles(FileDialect):
    """Files of Writer, which its graphs and agents read. An upload is the file itself, of which its headers say name, type and
    length; nothing says what it is for, and how large it is only whoever uploads it. A client may say `graphId` in the form.
    """

    name = "writer.files"
    path = "/files"
    fields: ClassVar[tuple[str, ...]] = ("graphId",)
    most_bytes: ClassVar[int | None] = _MAX_BYTES
    reads_whole: ClassVar[bool] = True
    actions: ClassVar[Mapping[Action, tuple[str, str]]] = FILE_ACTIONS

    @override
    def encode_new(self, asked: Members, fresh: str, gaps: Gaps) -> VendorCall:
        purpose_of(asked, _PURPOSES, gaps.target)
        graph = asked.find("graphId", str)
        named = _disposition(asked.need(FILE, str))
        return VendorCall("POST", self.path, {"graphId": graph} if graph else {}, file=FILE, named=named)

    @override
    def decode_job(self, said: Json, asked: Asked) -> Json:
        status = said.get("status")
        told: Json = {
            "id": said.get("id"),
            "bytes": asked.body.get("bytes") or 0,
            "created_at": seconds_of(said.get("created_at")) or 0,
            "filename": said.get("name") or "",
            "purpose": asked.body.get("purpose") or _PURPOSES[0],
            "graph_ids": said.get("graph_ids") or [],
        }
        return file_object(told, _STATUS.get(str(status), "uploaded"), status)

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
        files = self.jobs_in(said[-1])
        has_more = files and as_object(said[-1]).get("has_more")
        return {**_PAGE, "after": str(files[-1].get("id"))} if has_more else None


class Writer(BareTexts):
    """Writer's Palmyra models."""

    own_dialects: ClassVar[Mapping[str, str]] = {FILES.name: WriterFiles.name}
    codecs: ClassVar[Mapping[str, Dialect]] = {WriterFiles.name: WriterFiles()}
    texts: ClassVar[Words] = WRITER

    @override
    def spoken(self, ex: Exchange, model: str) -> tuple[str, str] | None:
        """Files are told in OpenAI's shape; their content is relayed."""
        return (FILES.name, "") if _asks_for_content(ex) else super().spoken(ex, model)

    @override
    def url_for(self, ex: Exchange) -> str:
        if not _asks_for_content(ex):
            return super().url_for(ex)
        known = unquote(ex.path.removeprefix(f"{FILES.path}/").removesuffix(_CONTENT))
        return self.url_at(ex, f"/files/{quote(known, safe='')}/download")


def _asks_for_content(ex: Exchange) -> bool:
    return ex.operation is FILES and ex.path.endswith(_CONTENT)


def _disposition(name: str) -> str:
    """The header that says a file's name, as on the vendor's page where it is plain, else as RFC 6266 says."""
    if _PLAIN.fullmatch(name):
        return f"attachment; filename={name}"
    return f"attachment; filename*=UTF-8''{quote(name, safe='')}"
