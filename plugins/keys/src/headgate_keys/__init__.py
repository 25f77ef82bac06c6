"""Static API keys: who calls, by a file of digests that is read again when it changes."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import os
import shlex
import threading
import time
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path

import structlog
from msgspec import Struct
from typing_extensions import override

from headgate import (
    Command,
    Context,
    Exchange,
    GatewaySecret,
    Hooks,
    Principal,
    Problem,
    Secret,
    StartupError,
    Unauthenticated,
    hookimpl,
)
from headgate.builtin import gateway_key
from headgate_keys import keyfile
from headgate_keys.commands import KeysCommand, add_arguments
from headgate_keys.keyfile import Key, KeyFile, KeyFileError, check_secret, digest_of, new_key, secret_id
from headgate_keys.table import Caller, Table, build, free

POLL_S = 1.0
FIRST = "first"

log = structlog.get_logger("headgate")


class KeyConfig(Key, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A key in `headgate.yaml`: as in the file, or with `key`, the key itself, best as `env:NAME` or `file:PATH`."""

    key: Secret | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.key is None) == (not self.digest):
            raise ValueError(f"`{self.name}` needs either `key` or `digest`")


class KeysConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """`file`: where keys are kept, relative to the state folder. `keys`: more of them, in the configuration itself."""

    file: str = "keys.yaml"
    keys: list[KeyConfig] = []


class Keys(Hooks):
    """Authenticates gateway keys. Without any key it makes a first one and announces it once."""

    Config = KeysConfig

    def __init__(self, config: KeysConfig) -> None:
        self._config = config
        self._path = Path(config.file)
        self._secret: GatewaySecret
        self._salt = os.urandom(32)
        self._known = Table()
        self._stamp: tuple[int, int, int] | None = None
        self._watching: asyncio.Task[None] | None = None
        self._reading = threading.Lock()

    @override
    @hookimpl
    async def start(self, ctx: Context) -> None:
        self._path = ctx.state_dir / self._config.file
        self._secret = ctx.secret
        created = await asyncio.to_thread(self._open)
        if created is not None:
            ctx.announce(_welcome(created, ctx))
        self._watching = asyncio.create_task(self._watch())

    @override
    @hookimpl
    async def stop(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watching
            await asyncio.to_thread(self._forget)

    @override
    @hookimpl
    async def authenticate(self, ex: Exchange) -> Principal | None:
        presented = gateway_key(ex)
        if presented is None:
            return None
        caller = self._caller(presented)
        if caller is None:
            raise Unauthenticated("the API key is not known; send a key of this gateway as `Authorization: Bearer KEY`")
        if caller.ends <= time.time():
            raise Unauthenticated("the API key has expired; ask for a new one")
        return caller.principal

    @override
    @hookimpl
    def commands(self) -> Iterable[Command]:
        return [
            Command(
                "keys",
                "create, list and revoke API keys",
                KeysCommand(self._config.file, self._config.keys).run,
                add_arguments,
            )
        ]

    def _caller(self, presented: str) -> Caller | None:
        """Whose key that is; None when it is unknown or disabled.

        A key that was let in before is recognised by a quicker digest, with a salt that never leaves this process.
        """
        known = self._known  # one reference: another thread may put other keys in its place meanwhile
        mark = hashlib.sha256(self._salt + presented.encode()).digest()
        caller = known.recent.get(mark)
        if caller is None:
            digest = digest_of(self._secret, presented)
            key = known.find(digest)
            if key is None or not hmac.compare_digest(key.digest, digest) or key.disabled:
                return None
            caller = Caller(_principal(key), key.expires_at())
            known.remember(mark, caller)
        return caller

    def _open(self) -> str | None:
        """Read the keys, making a first one where there is none at all: then that key. Raises StartupError."""
        try:
            created = self._create_first() if not self._config.keys and not self._path.exists() else None
            self._stamp = keyfile.stamp(self._path)
            self._known = self._load()
        except KeyFileError as error:
            raise StartupError([Problem(str(error), str(self._path))]) from None
        except OSError as error:
            raise StartupError([Problem(f"cannot keep keys there: {error.strerror}", str(self._path))]) from None
        return created

    def _create_first(self) -> str | None:
        with keyfile.locked(self._path):
            if self._path.exists():
                return None  # another process of this gateway was faster
            plain = new_key()
            key = Key(name=FIRST, digest=digest_of(self._secret, plain))
            keyfile.replace(self._path, KeyFile(secret_id(self._secret), [key]))
            return plain

    async def _watch(self) -> None:
        """Take over changes of the file, within about a second."""
        while True:
            await asyncio.sleep(POLL_S)
            await asyncio.to_thread(self.refresh)

    def refresh(self) -> None:
        """Read the file again if it has changed. What is broken is logged, and the last good keys stay."""
        with self._reading:
            now = keyfile.stamp(self._path)
            if now == self._stamp:
                return
            self._stamp = now
            try:
                if now is None:
                    raise KeyFileError("it is gone")
                known = self._load()
            except Exception as error:
                reason = str(error) if isinstance(error, KeyFileError) else type(error).__name__
                log.error("the keys file cannot be used, the last good keys stay", file=str(self._path), reason=reason)
                return
            self._use(known)
            log.info("keys read again", file=str(self._path), keys=len(known))

    def _load(self) -> Table:
        def take(made_with: str, pieces: Iterable[Sequence[Key]]) -> Table:
            check_secret(made_with, self._secret)
            inline = [_digested(key, self._secret) for key in self._config.keys]
            return build(chain([inline], pieces), self._known)

        return keyfile.take_from(self._path, take)

    def _use(self, known: Table) -> None:
        """Let requests see these keys from now on, and free the ones before slowly."""
        rest = self._known.parts()
        self._known = known
        free(rest)

    def _forget(self) -> None:
        with self._reading:
            self._use(Table())


def _principal(key: Key) -> Principal:
    return Principal(
        key.name,
        user=key.user,
        workspace=key.workspace,
        organisation=key.organisation,
        scopes=tuple(key.scopes),
        models=tuple(key.models),
        metadata=key.metadata,
        allow_config=key.allow_config,
        deadline_s=key.deadline_s,
        config=key.config,
        priority=key.priority,
    )


def _digested(key: KeyConfig, secret: GatewaySecret) -> Key:
    """A key of the configuration as it would be stored."""
    fields = {name: getattr(key, name) for name in Key.__struct_fields__}
    if key.key is not None:
        fields["digest"] = digest_of(secret, key.key.reveal())
    return Key(**fields)


def _welcome(key: str, ctx: Context) -> str:
    """The first key, and a line to paste that works: a chat with the demo, or where there is none the list of models."""
    lines = [f"This is the first key. It is shown once; the gateway keeps only its digest:\n\n    {key}\n\nTry it:\n"]
    bearer = f"-H 'authorization: Bearer {key}'"
    if "demo" in ctx.deployments:
        body = '{"model": "demo/echo", "messages": [{"role": "user", "content": "Hello"}]}'
        url = shlex.quote(f"{ctx.url}/v1/chat/completions")
        lines.append(f"    curl {url} {bearer} -H 'content-type: application/json' -d '{body}'\n")
    else:
        lines.append(f"    curl {shlex.quote(f'{ctx.url}/v1/models')} {bearer}\n")
    return "\n".join(lines)
