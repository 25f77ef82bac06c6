"""The file of keys: its format, and how several processes read and replace it without stepping on each other.

The file is YAML, with one key per line when Headgate writes it. Such lines are read as JSON, which YAML contains, and
in pieces with pauses, so that a file of a million keys loads in seconds and streams run on meanwhile.
"""

from __future__ import annotations

import fcntl
import math
import os
import re
import secrets
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, time
from io import BytesIO
from pathlib import Path
from time import sleep
from typing import Any, BinaryIO, TypeVar, cast

import msgspec
import yaml
from msgspec import Struct
from msgspec.structs import force_setattr
from yaml.composer import ComposerError

from headgate import GatewaySecret

HEADER = "# The keys of this gateway: digests only. `headgate keys create NAME` adds one and writes this file anew.\n"
MAX_NAME_CHARS = 128
MAX_DEPTH = 16
PIECE_BYTES = 256 * 1024
PAUSE_S = 0.0005
"""Long enough for the thread that serves requests to take over."""
_is_digest = re.compile(r"hmac-sha256:[0-9a-f]{64}").fullmatch
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_LIST = b"keys:\n"
_ITEM = b"- {"
_MAX_HEAD_LINES = 1000
_NO_METADATA: dict[str, str] = {}

Taken = TypeVar("Taken")
Take = Callable[[str, Iterable[Sequence["Key"]]], Taken]
"""Makes something of a file's `secret_id` and of its keys, which come in pieces."""


class KeyFileError(Exception):
    """The file cannot be used; the message says why and quotes nothing that could be a key."""


class _OtherYaml(Exception):
    """The file is not one key per line; it can only be read whole."""


class _UndefinedAlias(KeyFileError):
    """What the alias stands for may be written elsewhere in the file."""


class Key(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True, gc=False):
    """A key as it is stored: `digest` is `hmac-sha256:` and 64 hex digits.

    `models` are exact names or prefixes ending in `*`, empty for all. `expires` is an ISO date or time; a date ends at
    its first moment, and both are UTC unless they say otherwise. `config` names the routing config of requests that bring
    none, `allow_config` lets them bring one; `deadline_s` is how long each may take, 0 for any time; of a higher `priority`
    they go before others when the gateway is full. All fields are text, numbers, times or collections of text, none of
    which can refer back to the key, so the garbage collector need not visit it.
    """

    name: str
    digest: str = ""
    user: str = ""
    workspace: str = ""
    organisation: str = ""
    models: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    metadata: dict[str, str] = {}
    expires: Any = None
    disabled: bool = False
    config: str = ""
    allow_config: bool = True
    deadline_s: float = 0.0
    priority: int = 0

    def __post_init__(self) -> None:
        name = self.name
        if not name or name != name.strip() or not name.isprintable() or len(name) > MAX_NAME_CHARS:
            raise ValueError(f"`name` must be 1 to {MAX_NAME_CHARS} printable characters without space around them")
        if self.digest and not _is_digest(self.digest):
            raise ValueError(
                f"the `digest` of `{name}` must be `hmac-sha256:` and 64 hex digits; `headgate keys create` makes one"
            )
        if self.expires is not None:
            self.expires_at()
        if not 0 <= self.deadline_s < math.inf:
            raise ValueError(f"the `deadline_s` of `{name}` must be a number of seconds, 0 or more")
        if not self.metadata:
            force_setattr(self, "metadata", _NO_METADATA)

    def expires_at(self) -> float:
        """When the key ends, in Unix seconds; infinity when it does not. ValueError when `expires` is no date or time."""
        return expiry(self.expires)


class KeyFile(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The whole file. `secret_id` tells which gateway secret made the digests."""

    secret_id: str = ""
    keys: list[Key] = []


class _Head(Struct, frozen=True, forbid_unknown_fields=True):
    secret_id: str = ""


_key = msgspec.json.Decoder(Key)


def expiry(value: Any) -> float:
    """An ISO date or time, as text or as YAML reads it, in Unix seconds; None is infinity. ValueError for others."""
    if value is None:
        return math.inf
    try:
        given = datetime.fromisoformat(value) if isinstance(value, str) else value
        if not isinstance(given, datetime):
            given = datetime.combine(given, time.min)
        return (given if given.tzinfo else given.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, OverflowError):
        raise ValueError("`expires` must be an ISO date or time, such as `2027-01-31`") from None


def decode(text: bytes) -> KeyFile:
    """Read the file's text. Raises KeyFileError."""
    return _read(BytesIO(text), _collect)


def encode(file: KeyFile) -> bytes:
    """The file's text: a comment, then one key per line."""
    lines = [HEADER.encode(), b"secret_id: %b\n" % msgspec.json.encode(file.secret_id)]
    if not file.keys:
        return b"".join([*lines, b"keys: []\n"])
    lines.append(_LIST)
    lines += (b"- %b\n" % msgspec.json.format(msgspec.json.encode(key), indent=0) for key in file.keys)
    return b"".join(lines)


def _collect(secret_id: str, pieces: Iterable[Sequence[Key]]) -> KeyFile:
    return KeyFile(secret_id, [key for piece in pieces for key in piece])


def _read(source: BinaryIO, take: Take[Taken]) -> Taken:
    """What `take` makes of the file; it is called again when the file turns out not to be one key per line."""
    with suppress(_OtherYaml):
        secret_id, line_number = _read_head(source)
        return take(secret_id, _pieces(source, line_number))
    source.seek(0)
    file: KeyFile = _decode_yaml(source.read())
    for key in file.keys:
        _check_digest(key)
    return take(file.secret_id, [file.keys])


def _read_head(source: BinaryIO) -> tuple[str, int]:
    """What stands before the keys: the `secret_id`, and the number of the first key's line."""
    head: list[bytes] = []
    while len(head) < _MAX_HEAD_LINES:
        line = source.readline(PIECE_BYTES)
        if line == _LIST:
            return _decode_yaml(b"".join(head), _Head).secret_id, len(head) + 2
        if not line:
            break
        head.append(line)
    raise _OtherYaml


def _pieces(source: BinaryIO, line_number: int) -> Iterator[Sequence[Key]]:
    """The keys that stand one per line, from here to the end. Raises KeyFileError and _OtherYaml."""
    is_empty = True
    while lines := source.readlines(PIECE_BYTES):
        keys = _decode_quickly(lines)
        if keys is None:
            keys = _decode_lines(lines, line_number, source)
        is_empty = is_empty and not keys
        yield keys
        line_number += len(lines)
        sleep(PAUSE_S)
    if is_empty:
        raise _OtherYaml  # `keys` without a value, perhaps because the file was cut off there


def _decode_quickly(lines: Sequence[bytes]) -> list[Key] | None:
    """Lines as Headgate writes them; None when any of them is something else."""
    try:
        keys = [_key.decode(line[2:]) for line in lines if line.startswith(_ITEM)]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return keys if len(keys) == len(lines) and all(key.digest for key in keys) else None


def _decode_lines(lines: Sequence[bytes], first: int, source: BinaryIO) -> list[Key]:
    """Lines that people have touched, with comments and in YAML's own words."""
    keys: list[Key] = []
    for at, line in enumerate(lines):
        if not _is_line(line):
            raise _OtherYaml
        if not line.startswith(_ITEM):
            continue
        try:
            keys.append(_decode_line(line))
        except _UndefinedAlias:
            raise _OtherYaml from None
        except KeyFileError as error:
            _check_lines(lines[at + 1 :], source)
            raise KeyFileError(f"line {first + at}: {error}") from None
    return keys


def _decode_line(line: bytes) -> Key:
    try:
        key = _key.decode(line[2:])
    except msgspec.ValidationError as error:
        raise KeyFileError(str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        [key] = _decode_yaml(line, list[Key], place="")
    _check_digest(key)
    return key


def _check_lines(lines: Sequence[bytes], source: BinaryIO) -> None:
    """Raise _OtherYaml when what follows a bad line is not one key per line either: an item may go on in the next line."""
    while lines:
        if not all(map(_is_line, lines)):
            raise _OtherYaml
        sleep(PAUSE_S)
        lines = source.readlines(PIECE_BYTES)


def _is_line(line: bytes) -> bool:
    return line.startswith((_ITEM, b"#")) or line == b"\n"


def _check_digest(key: Key) -> None:
    if not key.digest:
        raise KeyFileError(f"`{key.name}` has no `digest`; `headgate keys create` makes one")


def _decode_yaml(text: bytes, kind: Any = KeyFile, place: str = "line {}: ") -> Any:
    try:
        written = text.decode()
        _check_depth(written)
        value = yaml.load(written, Loader=_Loader)  # noqa: S506 - safe, whichever of the two it is
        return msgspec.convert({} if value is None else value, kind)
    except UnicodeDecodeError:
        raise KeyFileError("it is not UTF-8 text") from None
    except yaml.MarkedYAMLError as error:
        is_after = error.context == "while scanning a simple key"
        mark = error.context_mark if is_after else error.problem_mark
        where = place.format(mark.line + 1) if mark else ""
        refusal = _UndefinedAlias if isinstance(error, ComposerError) else KeyFileError
        raise refusal(f"{where}it is not valid YAML: {error.problem}") from None
    except (yaml.YAMLError, RecursionError):
        raise KeyFileError("it is not valid YAML") from None
    except (msgspec.ValidationError, ValueError, TypeError) as error:
        raise KeyFileError(str(error)) from None


def _check_depth(text: str) -> None:
    """Refuse deep nesting before the loader recurses: libyaml's crashes the process instead of raising an error."""
    depth = 0
    events: Iterable[yaml.Event] = cast("Any", yaml).parse(text, Loader=_Loader)
    for event in events:
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MAX_DEPTH:
            raise KeyFileError(f"it is nested deeper than {MAX_DEPTH} levels")


def read_or_empty(path: Path) -> KeyFile:
    """Read the file; an absent one holds no keys. Raises KeyFileError."""
    return take_from(path, _collect)


def take_from(path: Path, take: Take[Taken]) -> Taken:
    """What `take` makes of the file, read piece by piece; an absent one holds no keys. Raises KeyFileError.

    `take` may be called twice, and must raise what the iteration over the pieces raises.
    """
    try:
        with path.open("rb") as source:
            return _read(source, lambda secret_id, pieces: take(secret_id, _unchanged(source, pieces, _stamp(source))))
    except FileNotFoundError:
        return take("", ())
    except OSError as error:
        raise KeyFileError(f"it cannot be read: {error.strerror}") from None


def _unchanged(
    source: BinaryIO, pieces: Iterable[Sequence[Key]], before: tuple[int, int, int]
) -> Iterator[Sequence[Key]]:
    """The same pieces; KeyFileError after the last one when the file was written to meanwhile."""
    yield from pieces
    if _stamp(source) != before:
        raise KeyFileError("it was written to while it was read; put a new file in its place with `mv` instead")


@contextmanager
def locked(path: Path) -> Generator[None]:
    """Be the only process that changes the file; others wait. Makes the folder. OSError when it cannot be written to."""
    path.parent.mkdir(parents=True, exist_ok=True)
    held = os.open(path.with_name(f"{path.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield
    finally:
        os.close(held)


def replace(path: Path, file: KeyFile) -> None:
    """Put a new file in place of the old one in one step: a reader sees either. Owner and mode stay; a new one is 0600."""
    path = path.resolve()
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    made = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(made, "wb") as out:
            with suppress(FileNotFoundError, PermissionError):
                old = path.stat()
                os.fchmod(made, old.st_mode & 0o777)
                os.fchown(made, old.st_uid, old.st_gid)
            out.write(encode(file))
            out.flush()
            os.fsync(made)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def stamp(path: Path) -> tuple[int, int, int] | None:
    """What changes when the file is written or replaced; None when it is absent."""
    try:
        return _stamp(path)
    except OSError:
        return None


def _stamp(file: Path | BinaryIO) -> tuple[int, int, int]:
    found = file.stat() if isinstance(file, Path) else os.fstat(file.fileno())
    return found.st_mtime_ns, found.st_size, found.st_ino


def new_key() -> str:
    """A fresh key: `hg-` and 43 characters of base64url, 256 random bits."""
    return f"hg-{secrets.token_urlsafe(32)}"


def digest_of(secret: GatewaySecret, key: str) -> str:
    """The form a key is stored in."""
    return f"hmac-sha256:{secret.digest(key)}"


def secret_id(secret: GatewaySecret) -> str:
    """16 hex digits that tell gateway secrets apart."""
    return secret.digest("headgate-keys secret id")[:16]


def check_secret(made_with: str, secret: GatewaySecret) -> None:
    """Raises KeyFileError when a file's `secret_id` is of another secret, and so no key in it would ever match."""
    if made_with and made_with != secret_id(secret):
        raise KeyFileError(
            "its digests were made with another gateway secret: set the same `HEADGATE_SECRET`, or restore `secret`"
        )
