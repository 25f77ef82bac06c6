"""`headgate keys`: make, list and revoke keys in the file that running gateways read."""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from headgate import GatewaySecret, Problem, StartupError
from headgate_keys import keyfile
from headgate_keys.keyfile import Key, KeyFile, KeyFileError, check_secret, digest_of, new_key, secret_id


class KeysCommand:
    """The command, for a gateway that keeps its keys in `file` and has `inline` ones in its configuration."""

    def __init__(self, file: str, inline: Sequence[Key]) -> None:
        self._file = file
        self._inline = inline

    def run(self, arguments: argparse.Namespace) -> int:
        """Carry out one of the actions; the exit code. Raises StartupError when it cannot be done."""
        state_dir: Path = arguments.state_dir
        path = state_dir / self._file
        try:
            if arguments.action == "list":
                self._list(path)
                return 0
            secret = GatewaySecret(state_dir)
            with keyfile.locked(path):
                stored = keyfile.read_or_empty(path)
                check_secret(stored.secret_id, secret)
                if arguments.action == "create":
                    self._create(path, stored, secret, arguments)
                else:
                    self._revoke(path, stored, arguments.name)
        except (KeyFileError, ValueError) as error:
            raise StartupError([Problem(str(error), str(path))]) from None
        except OSError as error:
            raise StartupError([Problem(f"cannot be changed: {error.strerror}", str(path))]) from None
        return 0

    def _create(self, path: Path, stored: KeyFile, secret: GatewaySecret, arguments: argparse.Namespace) -> None:
        if any(key.name == arguments.name for key in (*self._inline, *stored.keys)):
            raise KeyFileError(f"there is a key `{arguments.name}` already; revoke it first, or take another name")
        plain = new_key()
        models: str = arguments.models
        key = Key(
            name=arguments.name,
            digest=digest_of(secret, plain),
            user=arguments.user,
            workspace=arguments.workspace,
            organisation=arguments.organisation,
            models=tuple(model.strip() for model in models.split(",") if model.strip()),
            expires=arguments.expires,
            config=arguments.routing,
            allow_config=not arguments.no_own_routing,
            deadline_s=arguments.deadline_s,
            priority=arguments.priority,
        )
        if key.expires_at() <= time.time():
            raise KeyFileError(f"`{arguments.expires}` is in the past")
        keyfile.replace(path, KeyFile(secret_id(secret), [*stored.keys, key]))
        sys.stderr.write(f"This is the key `{key.name}`. It is shown once; the gateway keeps only its digest.\n")
        sys.stdout.write(f"{plain}\n")

    def _revoke(self, path: Path, stored: KeyFile, name: str) -> None:
        if any(key.name == name for key in self._inline):
            raise KeyFileError(f"key `{name}` stands in the configuration; remove it there")
        rest = [key for key in stored.keys if key.name != name]
        if len(rest) == len(stored.keys):
            raise KeyFileError(f"there is no key `{name}`; `headgate keys list` shows those there are")
        keyfile.replace(path, KeyFile(stored.secret_id, rest))
        sys.stdout.write(f"revoked {name}; running gateways refuse it within a few seconds\n")

    def _list(self, path: Path) -> None:
        rows = [("NAME", "USER", "WORKSPACE", "ORGANISATION", "MODELS", "EXPIRES", "STATE")]
        rows += [_row(key) for key in (*self._inline, *keyfile.read_or_empty(path).keys)]
        widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
        for row in rows:
            line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            sys.stdout.write(f"{line.rstrip()}\n")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Fill the parser of `headgate keys`."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    create = actions.add_parser("create", help="make a key and print it once")
    create.add_argument("name")
    create.add_argument("--user", default="", help="whose key it is")
    create.add_argument("--workspace", default="", help="keys of one workspace share caches and limits")
    create.add_argument("--organisation", default="")
    create.add_argument("--models", default="", metavar="A,B", help="what it may call; a name may end in `*`")
    create.add_argument("--routing", default="", metavar="NAME", help="the routing config of requests that bring none")
    create.add_argument(
        "--no-own-routing", action="store_true", help="its requests bring no routing config of their own"
    )
    create.add_argument(
        "--deadline-s", type=float, default=0.0, metavar="S", help="how long a request of it may take, in seconds"
    )
    create.add_argument(
        "--priority", type=int, default=0, metavar="N", help="of a higher one it goes first when the gateway is full"
    )
    create.add_argument("--expires", metavar="DATE", help="ISO date or time, UTC unless it says otherwise")
    actions.add_parser("list", help="list the keys")
    revoke = actions.add_parser("revoke", help="remove a key")
    revoke.add_argument("name")


def _row(key: Key) -> tuple[str, ...]:
    ends = key.expires_at()
    state = "disabled" if key.disabled else "expired" if ends <= time.time() else "active"
    shown = "never" if ends == math.inf else str(key.expires)
    cells = (key.name, key.user, key.workspace, key.organisation, ",".join(key.models) or "all", shown, state)
    return tuple(cell if cell.isprintable() else ascii(cell)[1:-1] for cell in cells)
