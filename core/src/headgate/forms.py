"""Multipart forms as they arrive, piece by piece: what a field says, and another value in its place.

The provider must not find another model in a form than the one that was allowed here, so what two parsers could read in
two ways is refused: a boundary where none belongs, a field that stands twice or is spelled oddly, a part without one plain
name. Everything else passes byte for byte. Sources: RFC 7578, RFC 2046 section 5.1.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from mimetypes import guess_type
from pathlib import Path
from urllib.parse import unquote_to_bytes

from msgspec import Struct

from headgate.errors import InvalidRequest

MAX_PARTS = 1000
MAX_HEAD_BYTES = 16 * 1024
MAX_VALUE_BYTES = 64 * 1024
"""How long the value of a field may be that is read here."""

_BOUNDARY = re.compile(rb"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]")
_DISPOSITION_NAME = b"content-disposition:"
_TYPE_NAME = b"content-type:"
_OCTETS = b"application/octet-stream"
_TYPES = {".jsonl": "application/jsonl", ".md": "text/markdown"}
"""Types that not every Python knows."""
_TOKEN = re.compile(rb"[0-9A-Za-z'+_.-]+")
_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*+([\t\x20-\x7e\x80-\xff]*)")
_PARAM = rb';[ \t]*([!#$%&\'*+.^_`|~0-9A-Za-z-]+)=("[^"]*"|[^\s";,]+)[ \t]*+'
_DISPOSITION = re.compile(rb"form-data[ \t]*+((?:" + _PARAM + rb")*);?[ \t]*", re.IGNORECASE)
_CONTENT_TYPE = re.compile(rb"multipart/form-data[ \t]*+((?:" + _PARAM + rb")*);?[ \t]*", re.IGNORECASE)
_PARAMS = re.compile(_PARAM)
_ESCAPED = str.maketrans({'"': "%22", "\r": "%0D", "\n": "%0A"})
"""How a file name says what would end it: https://html.spec.whatwg.org/multipage/form-control-infrastructure.html#multipart-form-data"""
_END = b"\r\n"
_BLANK = b"\r\n\r\n"
_LAST = b"--"
_PIECE_BYTES = 64 * 1024


class Field(Struct, frozen=True):
    """A whole field whose value was wanted. `raw` is its head and value as they came."""

    name: str
    value: str
    raw: bytes


class Head(Struct, frozen=True):
    """The head of a part that passes, as it came, for those who want to know of it."""

    name: str
    raw: bytes


class Close(Struct, frozen=True):
    """The end of the form, as it came."""

    raw: bytes


def boundary_of(content_type: bytes) -> bytes:
    """The boundary of a form; InvalidRequest when the `content-type` names none, or more than one."""
    found = _CONTENT_TYPE.fullmatch(content_type.strip())
    given = _params(found[1]) if found is not None else []
    boundaries = [value for name, value in given if name.startswith(b"boundary")]
    if len(boundaries) != 1 or (b"boundary", boundaries[0]) not in given or not _BOUNDARY.fullmatch(boundaries[0]):
        raise InvalidRequest(
            "`content-type` must be `multipart/form-data; boundary=...` with one valid boundary", code="invalid_form"
        )
    return boundaries[0]


def content_type_of(boundary: bytes, kind: bytes = b"form-data") -> bytes:
    """The `content-type` of a form, or of another multipart body, with this boundary."""
    shown = boundary if _TOKEN.fullmatch(boundary) else b'"%b"' % boundary
    return b"multipart/%b; boundary=%b" % (kind, shown)


def field_of(name: str, value: str) -> bytes:
    """Head and value of a field, as they stand between two boundaries."""
    return b'Content-Disposition: form-data; name="%b"\r\n\r\n%b' % (name.encode(), value.encode())


def filename_of(head: bytes) -> str:
    """The plain `filename` that the head of a part says; empty where it says none."""
    said = [line for line in head.split(_END) if line.lower().startswith(_DISPOSITION_NAME)]
    names = [value for name, value in _PARAMS.findall(said[0]) if name.lower() == b"filename"] if said else []
    return names[0].strip(b'"').decode("utf-8", "replace") if names else ""


def type_of(head: bytes, filename: str) -> bytes:
    """What the head of a part says of the type of its content; what the name of the file tells where it says nothing of use."""
    said = [line.partition(b":")[2].strip() for line in head.split(_END) if line.lower().startswith(_TYPE_NAME)]
    if said and said[0] not in {b"", _OCTETS}:
        return said[0]
    return (_TYPES.get(Path(filename).suffix.lower()) or guess_type(filename)[0] or _OCTETS.decode()).encode()


def with_names(head: bytes, name: str, filename: str) -> bytes:
    """The head of a part, blank line included, with another name and file name; what else it says stays."""
    kept = [line for line in head.split(_END) if line and not line.lower().startswith(_DISPOSITION_NAME)]
    said = b'Content-Disposition: form-data; name="%b"; filename="%b"' % (name.encode(), filename.encode())
    return _END.join([said, *kept]) + _BLANK


class Part(Struct, frozen=True):
    """One part of a whole form: a field, or a file with its `content_type` and `filename`, each empty where none is said.

    A file without a `filename` is named as its field.
    """

    name: str
    content_type: str
    content: bytes
    filename: str = ""


def form_of(parts: Iterable[Part], boundary: bytes) -> bytes:
    """A whole form. A part with a `content_type` or a `filename` is a file. `boundary` must stand in no part."""
    pieces = [b"--%b\r\n%b\r\n" % (boundary, _written(part)) for part in parts]
    return b"".join((*pieces, b"--%b--\r\n" % boundary))


def _written(part: Part) -> bytes:
    head = b'Content-Disposition: form-data; name="%b"' % part.name.encode()
    if part.content_type or part.filename:
        head += b'; filename="%b"' % (part.filename or part.name).translate(_ESCAPED).encode()
    if part.content_type:
        head += b"\r\nContent-Type: %b" % part.content_type.encode()
    return head + _BLANK + part.content


Piece = bytes | Field | Head | Close


class FormReader:
    """Takes a form apart as it comes: bytes that pass, whole `Field`s of the wanted names, and `Close`.

    With `tells_heads` the heads of parts that pass come as `Head`, and what separates two parts in a piece of its own.
    """

    __slots__ = (
        *("_dash", "_field", "_name", "_parts", "_rest", "_seen", "_size", "_step", "_tells_heads", "_wanted"),
        "is_closed",
    )

    def __init__(self, boundary: bytes, wanted: Collection[str], *, tells_heads: bool = False) -> None:
        self.is_closed = False
        self._tells_heads = tells_heads
        self._dash = _LAST + boundary
        self._wanted = {name: _plain(name.encode()) for name in wanted}
        self._rest = b""
        self._parts = 0
        self._seen: set[str] = set()
        self._name = ""
        self._field: list[bytes] = []
        self._size = 0
        self._step = self._open

    def feed(self, data: bytes) -> list[Piece]:
        """What `data` completes. Raises InvalidRequest for what is no form, or could be read in two ways."""
        self._rest += data
        out: list[Piece] = []
        while self._step(out):
            pass
        return out

    def end(self) -> None:
        """The body has ended; InvalidRequest when the form has not."""
        if not self.is_closed:
            raise _invalid("it ends before its last boundary")

    # one step each: True when there may be another

    def _open(self, out: list[Piece]) -> bool:
        first = self._dash + _END
        if len(self._rest) < len(first):
            if not first.startswith(self._rest):
                raise _invalid("it does not begin with its boundary")
            return False
        if not self._rest.startswith(first):
            raise _invalid("it does not begin with its boundary")
        self._take(len(first), out)
        self._step = self._head
        return True

    def _head(self, out: list[Piece]) -> bool:
        at = self._rest.find(_BLANK)
        if at > MAX_HEAD_BYTES or (at < 0 and len(self._rest) > MAX_HEAD_BYTES):
            raise _invalid(f"the head of a part is larger than {MAX_HEAD_BYTES} bytes")
        if at < 0:
            return False
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise _invalid(f"it has more than {MAX_PARTS} parts")
        name = _name_in(self._rest[:at])
        self._name = self._wanted_in(name)
        if self._name:
            self._field, self._size = [self._rest[: at + 4]], 0
            self._rest = self._rest[at + 4 :]
        elif self._tells_heads:
            out.append(Head(name.decode("utf-8", "replace"), self._rest[: at + 4]))
            self._rest = self._rest[at + 4 :]
        else:
            self._take(at + 4, out)
        self._step = self._content
        return True

    def _content(self, out: list[Piece]) -> bool:
        rest, dash = self._rest, self._dash
        at = rest.find(dash)
        if at < 0:
            self._pass(max(0, len(rest) - len(dash) - 1), out)  # what is kept could be the beginning of a boundary
            return False
        if rest[max(0, at - 2) : at] != _END:
            raise _invalid("its boundary stands inside of a part")
        after = rest[at + len(dash) : at + len(dash) + 2]
        if len(after) < 2 and (_END.startswith(after) or _LAST.startswith(after)):
            self._pass(at - 2, out)
            return False
        if after not in {_END, _LAST}:
            raise _invalid("its boundary stands inside of a part")
        self._pass(at - 2, out)
        if self._name:
            out.append(self._field_read())
        self._step = self._head if after == _END else self._after
        if after == _END:
            self._take(len(dash) + 4, out)
        else:
            out.append(Close(self._rest[: len(dash) + 4]))
            self._rest = self._rest[len(dash) + 4 :]
            self.is_closed = True
        return True

    def _after(self, out: list[Piece]) -> bool:
        if self._rest.strip(_END):
            raise _invalid("something stands behind its last boundary")
        self._take(len(self._rest), out)
        return False

    # what is taken

    def _take(self, size: int, out: list[Piece]) -> None:
        if size:
            out.append(self._rest[:size])
            self._rest = self._rest[size:]

    def _pass(self, size: int, out: list[Piece]) -> None:
        """Content: it passes, or is kept for the field that it belongs to."""
        if not self._name:
            self._take(size, out)
        elif size:
            self._field.append(self._rest[:size])
            self._rest = self._rest[size:]
            self._size += size
            if self._size > MAX_VALUE_BYTES:
                raise _invalid(f"the field `{self._name}` is larger than {MAX_VALUE_BYTES} bytes")

    def _field_read(self) -> Field:
        head, value = self._field[0], b"".join(self._field[1:])
        try:
            return Field(self._name, value.decode(), head + value)
        except UnicodeDecodeError:
            raise _invalid(f"the field `{self._name}` is not valid UTF-8") from None

    def _wanted_in(self, name: bytes) -> str:
        """The wanted name that a part has; empty when it has another."""
        plain = _plain(name)
        for wanted, form in self._wanted.items():
            if plain == form:
                if name != wanted.encode():
                    raise _invalid(f"a field is spelled so that it could be taken for `{wanted}`")
                if wanted in self._seen:
                    raise _invalid(f"the field `{wanted}` stands more than once")
                self._seen.add(wanted)
                return wanted
        return ""


class FormEdit:
    """A form on its way, with other values in some of its fields; those it does not have are put in at its end."""

    def __init__(self, boundary: bytes, values: Mapping[str, str]) -> None:
        self._reader = FormReader(boundary, values)
        self._boundary = boundary
        self._values = dict(values)

    def feed(self, data: bytes) -> bytes:
        """What goes on of `data`. Raises InvalidRequest as FormReader does."""
        return b"".join([self._changed(part) for part in self._reader.feed(data)])

    def end(self) -> None:
        """The body has ended; InvalidRequest when the form has not."""
        self._reader.end()

    def _changed(self, part: Piece) -> bytes:
        match part:
            case Field():
                return field_of(part.name, self._values.pop(part.name))
            case Head():
                return part.raw
            case Close():
                start = b"\r\n--" + self._boundary + _END
                return b"".join([start + field_of(*pair) for pair in self._values.items()]) + part.raw
            case _:
                return part


def parts_of(body: bytes, boundary: bytes) -> list[Part]:
    """The parts of a form that is all here. Raises InvalidRequest for what is no form, or could be read in two ways."""
    reader = FormReader(boundary, ())
    for at in range(0, len(body), _PIECE_BYTES):  # a reader keeps what it was fed last, and copies it with each part
        reader.feed(body[at : at + _PIECE_BYTES])
    reader.end()
    between = body.rstrip(_END).removesuffix(_LAST).split(_LAST + boundary)[1:-1]
    return [_part_of(each[2:-2]) for each in between]  # without the line breaks that belong to the boundaries


def _part_of(part: bytes) -> Part:
    head, _, content = part.partition(_BLANK)
    try:
        name = _name_in(head).decode()
    except UnicodeDecodeError:
        raise _invalid("the name of a part is not valid UTF-8") from None
    lines = (line.partition(b":") for line in head.split(_END))
    kinds = [value.strip() for title, _, value in lines if title.lower() == b"content-type"]
    return Part(name, kinds[0].decode("latin-1") if kinds else "", content, filename_of(head))


def _name_in(head: bytes) -> bytes:
    """The name of a part, without quotes."""
    found: list[bytes] = []
    for line in head.split(_END):
        pair = _LINE.fullmatch(line)
        if pair is None:
            raise _invalid("the head of a part is not valid")
        if pair[1].lower() == b"content-disposition":
            found.append(pair[2])
    disposition = _DISPOSITION.fullmatch(found[0]) if len(found) == 1 else None
    if disposition is None:
        raise _invalid('each part needs one `content-disposition: form-data; name="..."`')
    if b"\\" in found[0]:
        raise _invalid("a `content-disposition` holds a backslash; write a quotation mark in a name as `%22`")
    names = [pair for pair in _params(disposition[1]) if pair[0].startswith(b"name")]
    if len(names) != 1 or names[0][0] != b"name":
        raise _invalid("each part needs one plain `name`")
    return names[0][1]


def _params(written: bytes) -> list[tuple[bytes, bytes]]:
    """The parameters of a header, names in lower case and values without quotes."""
    return [(name.lower(), value.strip(b'"')) for name, value in _PARAMS.findall(written)]


def _plain(name: bytes) -> bytes:
    """What different parsers could make of a name: without case, percent encoding, spaces, and the brackets of a list."""
    return unquote_to_bytes(name).strip().lower().removesuffix(b"[]").strip()


def _invalid(why: str) -> InvalidRequest:
    return InvalidRequest(f"the body is no valid form: {why}", code="invalid_form")
