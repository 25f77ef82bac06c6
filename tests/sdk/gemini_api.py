"""The parts of the Gemini API that keep something, in miniature: files with both ways of uploading, batches, cached contents.

It is as strict as the documents are: a session takes its pieces in order, only files that were made here can be read.
Sources: https://ai.google.dev/api/files, https://ai.google.dev/api/caching, https://ai.google.dev/api/batch-api.
"""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.door.upstream import Call, json_response, response

Json = dict[str, Any]

CREATED = "2026-01-01T00:00:00Z"
MADE = b'{"key": "1", "response": {}}\n'
"""What the file of a batch's results holds."""


class GeminiApi:
    """The script of an upstream. `origin` is the address that it tells of sessions; `key` is the one that it takes."""

    def __init__(self, origin: str, key: str) -> None:
        self.origin = origin
        self.key = key
        self.files: dict[str, Json] = {"files/made": self._file("made", "application/jsonl", len(MADE), "GENERATED")}
        self.held: dict[str, bytes] = {}
        self.kept: dict[str, Json] = {}
        self.sessions: dict[str, tuple[Json, bytearray]] = {}

    async def __call__(self, call: Call) -> None:
        await call.send(self.answer(call))

    def answer(self, call: Call) -> bytes:
        """The whole response to one request."""
        split = urlsplit(call.target)
        query = {name: values[-1] for name, values in parse_qs(split.query).items()}
        if split.path == "/upload/v1beta/files":
            return self._continue(call, query["upload_id"]) if "upload_id" in query else self._upload(call)
        if call.header("x-goog-api-key") != self.key and call.header("authorization") != f"Bearer {self.key}":
            return _refused(403, "no key")
        path = split.path.removeprefix("/v1beta/")
        if path.endswith(":download"):
            found = self.files.get(path.removesuffix(":download"), {})
            return response(MADE) if found.get("source") == "GENERATED" else _refused(400, "not generated")
        if path == "files" or path.startswith("files/"):
            return self._known(call, path, self.files)
        return self._keep(call, path)

    def _file(self, name: str, media_type: str, size: int, source: str = "UPLOADED", title: str = "") -> Json:
        return {
            "name": f"files/{name}",
            "displayName": title,
            "mimeType": media_type,
            "sizeBytes": str(size),
            "createTime": CREATED,
            "uri": f"https://generativelanguage.googleapis.com/v1beta/files/{name}",
            "downloadUri": f"https://generativelanguage.googleapis.com/v1beta/files/{name}:download?alt=media",
            "state": "ACTIVE",
            "source": source,
        }

    def _upload(self, call: Call) -> bytes:
        if call.header("x-goog-api-key") != self.key:
            return _refused(403, "no key")
        if call.header("x-goog-upload-protocol") == "multipart":
            return self._whole(call)
        assert call.header("x-goog-upload-command") == "start"
        number = f"u{len(self.sessions)}"
        told = {
            "mimeType": call.header("x-goog-upload-header-content-type"),
            "displayName": call.header("x-goog-upload-file-name") or "",
            "size": int(call.header("x-goog-upload-header-content-length") or ""),
        }
        about = {**told, **{_camel(name): value for name, value in call.json["file"].items()}}
        self.sessions[number] = (about, bytearray())
        url = f"{self.origin}/upload/v1beta/files?upload_id={number}&upload_protocol=resumable"
        return json_response({}, headers=f"x-goog-upload-status: active\r\nx-goog-upload-url: {url}\r\n".encode())

    def _whole(self, call: Call) -> bytes:
        kind, _, boundary = (call.header("content-type") or "").partition("; boundary=")
        assert kind == "multipart/related"
        before, about, content, after = call.body.split(b"--" + boundary.encode())
        assert (before, after) == (b"", b"--\r\n")
        head, _, said = about.partition(b"\r\n\r\n")
        assert b"application/json" in head
        head, _, held = content.partition(b"\r\n\r\n")
        media_type = head.decode().partition("Content-Type: ")[2]
        return self._made({**json.loads(said)["file"], "mimeType": media_type}, held.removesuffix(b"\r\n"), b"")

    def _continue(self, call: Call, number: str) -> bytes:
        about, held = self.sessions[number]
        if call.header("x-goog-upload-offset") != str(len(held)):
            return _refused(400, "not in order")
        held += call.body
        if "finalize" not in (call.header("x-goog-upload-command") or ""):
            return response(b"", headers=b"x-goog-upload-status: active\r\n")
        if len(held) != about["size"]:
            return _refused(400, "not as large as announced")
        return self._made(about, bytes(held), b"x-goog-upload-status: final\r\n")

    def _made(self, about: Json, held: bytes, headers: bytes) -> bytes:
        name = about.get("name", f"files/f{len(self.files)}").removeprefix("files/")
        made = self._file(name, about["mimeType"], len(held), title=about.get("displayName", ""))
        self.files[made["name"]], self.held[made["name"]] = made, held
        return json_response({"file": made}, headers=headers)

    def _keep(self, call: Call, path: str) -> bytes:
        """Batches and cached contents."""
        if path.endswith((":batchGenerateContent", ":asyncBatchEmbedContent")):
            model = path.partition(":")[0]
            said = {"state": "BATCH_STATE_PENDING", "model": model}
            batch: Json = {"name": f"batches/b{len(self.kept)}", "done": False, "metadata": said}
            self.kept[batch["name"]] = {**batch, "asked": call.json}
            return json_response(batch)
        if path == "cachedContents" and call.method == "POST":
            cache = {"name": f"cachedContents/c{len(self.kept)}", "model": call.json["model"], "createTime": CREATED}
            self.kept[cache["name"]] = cache
            return json_response(cache)
        if path.endswith(":cancel"):
            self.kept[path.removesuffix(":cancel")]["metadata"]["state"] = "BATCH_STATE_CANCELLED"
            return json_response({})
        if call.method == "PATCH":
            self.kept[path] |= call.json
            return json_response(self.kept[path])
        return self._known(call, path, self.kept)

    def _known(self, call: Call, path: str, kept: dict[str, Json]) -> bytes:
        if "/" not in path:
            name = "operations" if path == "batches" else path
            return json_response({name: [each for key, each in kept.items() if key.startswith(f"{path}/")]})
        if path not in kept:
            return _refused(404, f"{path} is not there")
        return json_response(kept.pop(path) and {} if call.method == "DELETE" else kept[path])


def _camel(name: str) -> str:
    """A name as JSON has it; Google reads those of protocol buffers as well."""
    first, *others = name.split("_")
    return first + "".join(map(str.title, others))


def _refused(status: int, message: str) -> bytes:
    error = {"error": {"code": status, "message": message, "status": "INVALID_ARGUMENT"}}
    return json_response(error, f"{status} No")
