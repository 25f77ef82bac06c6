"""MiniMax's files for clients of OpenAI's: sound for voices, texts to be read out, and films that its models see.

Sources: https://platform.minimax.io/docs/api-reference/file-management-intro, ../file-management-upload, ../file-management-list,
../file-management-retrieve, ../file-management-delete and https://github.com/MiniMax-AI/cli (`src/sdk/file`, `src/types/api.ts`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from msgspec.structs import replace
from typing_extensions import override

from headgate.dialects import Gaps
from headgate.dialects.files import FILE, FileDialect, file_object, purpose_of
from headgate.dialects.jobs import Action, Asked, VendorCall, as_object, objects_in, seconds_of
from headgate.dialects.openai.members import Json, Members
from headgate.errors import InvalidRequest
from headgate_compatible.vendors.minimax_media import refused

_READ = "video_understanding"
"""What models read; a chat names such a file as `mm_file://` and its id."""
_USER_DATA = "user_data"
_PURPOSES = (
    *(_USER_DATA, _READ),
    *("voice_clone", "prompt_audio", "t2a_async_input", "video_generation_input"),
)


class MiniMaxFiles(FileDialect):
    """Files of MiniMax. `user_data` is its `video_understanding`; its other purposes are written as it names them.

    All are `user_data` in answers, where OpenAI's clients know no other, with the vendor's word in `native_purpose`. Lists are
    whole. A file is deleted with its purpose, which is asked for first.
    """

    name = "minimax.files"
    assumed = _USER_DATA
    path = "/files"
    actions: ClassVar[Mapping[Action, tuple[str, str]]] = {
        "create": ("POST", "/upload"),
        "list": ("GET", "/list"),
        "retrieve": ("GET", "/retrieve"),
        "delete": ("GET", "/retrieve"),
        "content": ("GET", "/retrieve"),
    }

    @override
    def encode_call(self, asked: Asked, gaps: Gaps) -> VendorCall:
        query = dict(asked.query)
        purpose = query.pop("purpose", "") if asked.action == "list" else ""
        call = super().encode_call(replace(asked, query=query), gaps)
        if asked.action == "list":
            return replace(call, query={"purpose": _native(purpose)} if purpose else {})
        return call if asked.action == "create" else replace(call, query={"file_id": asked.id})

    @override
    def encode_new(self, asked: Members, fresh: str, gaps: Gaps) -> VendorCall:
        purpose = purpose_of(asked, _PURPOSES, gaps.target)
        asked.find(FILE, str)
        return VendorCall("POST", f"{self.path}/upload", file=FILE, fields={"purpose": _native(purpose)})

    @override
    def following(self, asked: Asked, said: Sequence[Any]) -> VendorCall | None:
        if asked.action != "delete":
            return super().following(asked, said)
        purpose = _file_in(said[0]).get("purpose")
        body: Json = {"file_id": asked.id, **({"purpose": purpose} if purpose else {})}
        return VendorCall("POST", f"{self.path}/delete", body=body) if len(said) == 1 else None

    @override
    def decode_job(self, said: Json, asked: Asked) -> Json:
        held = _file_in(said)
        known = held.get("file_id")
        told: Json = {
            "id": "" if known is None else str(known),
            "bytes": held.get("bytes") or 0,
            "created_at": seconds_of(held.get("created_at")) or 0,
            "filename": held.get("filename") or "",
            "purpose": _USER_DATA,
            "native_purpose": held.get("purpose"),
        }
        return file_object(told, "processed", None)

    @override
    def jobs_in(self, said: Any) -> Sequence[Json]:
        return sorted(objects_in(said, "files"), key=lambda each: each.get("created_at") or 0, reverse=True)

    @override
    def urls_in(self, said: Json, asked: Asked) -> Sequence[str]:
        url = _file_in(said).get("download_url")
        if not isinstance(url, str) or not url:
            raise InvalidRequest(f"`{asked.id}` has no content", param="file_id", code="unsupported_content")
        return [url]

    @override
    def refusal_in(self, said: Any) -> tuple[int, bytes] | None:
        reply = refused((), as_object(said))
        return None if reply is None else (reply.status, reply.body)


def _native(purpose: str) -> str:
    return _READ if purpose == _USER_DATA else purpose


def _file_in(said: Any) -> Json:
    """A file, which stands in `file` except in lists."""
    held = as_object(said)
    return as_object(held["file"]) if "file" in held else held
