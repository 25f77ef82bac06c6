"""New files of OpenAI's clients at Together, which wants their name in a field and has a word of its own for batches.

Source: https://docs.together.ai/reference/upload-file. What stands at `/v1/files` itself tells where a client may put a file, and
takes none: https://github.com/togethercomputer/together-py/blob/main/src/together/lib/resources/files.py
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath

from headgate.forms import Close, Field, FormReader, Head, Piece, field_of, filename_of

PATH = "/upload"
"""Behind the path for files, where new ones go."""
_NAME, _KIND, _PURPOSE = "file_name", "file_type", "purpose"
_PURPOSES: Mapping[str, str] = {"batch": "batch-api"}
_KINDS = ("csv", "jsonl", "parquet")


class FileForm:
    """A form on its way to Together: the purpose in its words, and at the end what it wants to know of the file."""

    def __init__(self, boundary: bytes) -> None:
        self._reader = FormReader(boundary, (_PURPOSE,), tells_heads=True)
        self._boundary = boundary
        self._said: set[str] = set()
        self._filename = ""

    def feed(self, data: bytes) -> bytes:
        """What goes on of `data`. Raises InvalidRequest for what is no form."""
        return b"".join([self._changed(piece) for piece in self._reader.feed(data)])

    def end(self) -> None:
        """The body has ended; InvalidRequest when the form has not."""
        self._reader.end()

    def _changed(self, piece: Piece) -> bytes:
        match piece:
            case Field():
                return field_of(piece.name, _PURPOSES.get(piece.value, piece.value))
            case Head():
                self._said.add(piece.name)
                self._filename = (filename_of(piece.raw) if piece.name == "file" else "") or self._filename
                return piece.raw
            case Close():
                start = b"\r\n--%b\r\n" % self._boundary
                told = [pair for pair in self._told().items() if pair[0] not in self._said]
                return b"".join([start + field_of(*pair) for pair in told]) + piece.raw
            case _:
                return piece

    def _told(self) -> dict[str, str]:
        kind = PurePath(self._filename).suffix.removeprefix(".").lower()
        return {_NAME: self._filename or "file.jsonl", _KIND: kind if kind in _KINDS else "jsonl"}
