"""The file of keys: its format, and how several processes read and replace it without stepping on each other.

The file is YAML, with one key per line when Headgate writes it. Such lines are read as JSON, which YAML contains, so
that a file of a million keys loads in seconds.
"""

from __future__ import annotations

import fcntl
import math
import os
import re
import secrets
from collections.abc import Generator, Iterable
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, time
from pathlib import Path
from typing import Any, cast

import msgspec
import yaml
from msgspec import Struct

from headgate import GatewaySecret

HEADER = "# The keys of this gateway: digests only. `headgate keys create NAME` adds one and writes this file anew.\n"
MAX_NAME_CHARS = 128
MAX_DEPTH = 16
_DIGEST = re.compile(r"hmac-sha256:[0-9a-f]{64}")
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_LIST = b"\nkeys:\n"
_ITEM = b"- {"


class KeyFileError(Exception):
    """The file cannot be used; the message says why and quotes nothing that could be a key."""


class Key(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """A key as it is stored: `digest` is `hmac-sha256:` and 64 hex digits.

    `models` are exact names or prefixes ending in `*`, empty for all. `expires` is an ISO date or time; a date ends at
    its first moment, and both are UTC unless they say otherwise.
    """

    name: str
    digest: str = ""
    user: str = ""
    workspace: str = ""
    organisation: str = ""
    models: list[str] = []
    scopes: list[str] = []
    metadata: dict[str, str] = {}
    expires: Any = None
    disabled: bool = False

    def __post_init__(self) -> None:
        name = self.name
        if not name or name != name.strip() or not name.isprintable() or len(name) > MAX_NAME_CHARS:
            raise ValueError(f"`name` must be 1 to {MAX_NAME_CHARS} printable characters without space around them")
        if self.digest and not _DIGEST.fullmatch(self.digest):
            raise ValueError(
                f"the `digest` of `{name}` must be `hmac-sha256:` and 64 hex digits; `headgate keys create` makes one"
            )
        self.expires_at()

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
    file = _decode_lines(text)
    if file is None:
        file = _decode_yaml(text)
    if any(not key.digest for key in file.keys):
        unnamed = next(key.name for key in file.keys if not key.digest)
        raise KeyFileError(f"`{unnamed}` has no `digest`; `headgate keys create` makes one")
    return file


def encode(file: KeyFile) -> bytes:
    """The file's text: a comment, then one key per line."""
    lines = [HEADER.encode(), b"secret_id: %b\n" % msgspec.json.encode(file.secret_id)]
    if not file.keys:
        return b"".join([*lines, b"keys: []\n"])
    lines.append(_LIST[1:])
    lines += (b"- %b\n" % msgspec.json.format(msgspec.json.encode(key), indent=0) for key in file.keys)
    return b"".join(lines)


def _decode_lines(text: bytes) -> KeyFile | None:
    """What Headgate itself wrote; None for any other YAML."""
    head, found, tail = text.partition(_LIST)
    lines = tail.splitlines()
    if not found or not all(line.startswith(_ITEM) for line in lines):
        return None
    keys: list[Key] = []
    for line in lines:
        try:
            keys.append(_key.decode(line[2:]))
        except msgspec.ValidationError as error:
            line_number = head.count(b"\n") + 3 + len(keys)
            raise KeyFileError(f"line {line_number}: {error}") from None
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None
    return KeyFile(_decode_yaml(head + b"\n", _Head).secret_id, keys)


def _decode_yaml(text: bytes, kind: Any = KeyFile) -> Any:
    try:
        written = text.decode()
        _check_depth(written)
        value = yaml.load(written, Loader=_Loader)  # noqa: S506 - safe, whichever of the two it is
        return msgspec.convert({} if value is None else value, kind)
    except UnicodeDecodeError:
        raise KeyFileError("it is not UTF-8 text") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"line {mark.line + 1}: " if mark else ""
        raise KeyFileError(f"{place}it is not valid YAML: {error.problem}") from None
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
    try:
        return decode(path.read_bytes())
    except FileNotFoundError:
        return KeyFile()
    except OSError as error:
        raise KeyFileError(f"it cannot be read: {error.strerror}") from None


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
        found = path.stat()
    except OSError:
        return None
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


def check_secret(stored: KeyFile, secret: GatewaySecret) -> None:
    """Raises KeyFileError when the file's digests were made with another secret, and so no key would ever match."""
    if stored.secret_id and stored.secret_id != secret_id(secret):
        raise KeyFileError(
            "its digests were made with another gateway secret: set the same `HEADGATE_SECRET`, or restore `secret`"
        )
