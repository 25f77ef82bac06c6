"""Secrets are a type of their own, so that they cannot reach a reply, a log or a trace by accident."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import secrets
import tempfile
from pathlib import Path
from typing import NoReturn, final

from typing_extensions import override

from headgate.errors import Problem, StartupError


@final
class Secret:
    """A credential. It prints as `********`, refuses pickling and JSON, and is read only through `reveal()`."""

    __slots__ = ("_raw", "_value")

    def __init__(self, value: str) -> None:
        self._value = value
        self._raw = value.encode()

    def reveal(self) -> str:
        """The secret itself; hand it to the wire and to nothing else."""
        return self._value

    def reveal_bytes(self) -> bytes:
        """The same in UTF-8."""
        return self._raw

    @override
    def __repr__(self) -> str:
        return "********"

    @override
    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._value.encode(), other._value.encode())

    @override
    def __hash__(self) -> int:
        return hash(("secret", self._value))

    @override
    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret cannot be serialised")


class GatewaySecret:
    """The key of every digest this gateway stores: `HEADGATE_SECRET`, or the file `secret` in the state folder.

    The file is made on first use, readable by its owner only. Processes that share a state folder share the secret.
    """

    def __init__(self, state_dir: Path) -> None:
        self._path = state_dir / "secret"
        self._key: bytes | None = None

    def digest(self, text: str) -> str:
        """HMAC-SHA256 of `text` under the gateway's secret, as 64 hex digits (RFC 2104).

        StartupError when the secret cannot be had: the file is empty, or can be neither read nor made.
        """
        if self._key is None:
            self._key = self._load()
        return hmac.digest(self._key, text.encode(), hashlib.sha256).hex()

    def _load(self) -> bytes:
        given = os.environ.get("HEADGATE_SECRET")
        if given:
            return os.fsencode(given)
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            if not self._path.exists():
                self._create()
            key = self._path.read_bytes().strip()
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            fix = "make its folder writable, or set `HEADGATE_SECRET`"
            raise StartupError(
                [Problem(f"the gateway's secret cannot be kept in `{self._path}`: {reason}; {fix}")]
            ) from None
        if not key:
            fix = "restore it, or remove the file so that a new one is made (stored keys stop working then)"
            raise StartupError([Problem(f"the gateway's secret in `{self._path}` is empty: {fix}")])
        return key

    def _create(self) -> None:
        """Make the file whole or not at all: another process may look for it at the same moment."""
        handle, name = tempfile.mkstemp(dir=self._path.parent, prefix="secret.")
        try:
            with os.fdopen(handle, "w") as file:
                file.write(secrets.token_hex(32))
            with contextlib.suppress(FileExistsError):
                os.link(name, self._path)
        finally:
            Path(name).unlink()
