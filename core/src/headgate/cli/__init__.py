"""The command `headgate`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from typing_extensions import override

from headgate.cli import inspecting, making
from headgate.errors import StartupError
from headgate.version import VERSION

DESCRIPTION = "An AI gateway made of plugins. Without a file it serves a demo provider on http://127.0.0.1:8787."
_DONE = 0
_FAILED = 1

Run = Callable[[argparse.Namespace], int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the exit code is 0 when it worked, 1 when it did not, 2 when it was called wrongly."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        parser = _parser(given)
        namespace = parser.parse_args(given)
        run: Run | None = getattr(namespace, "run", None)
        if run is None:
            parser.print_help()
            return _DONE
        return run(namespace)
    except StartupError as error:
        for problem in error.problems:
            sys.stderr.write(f"headgate: {problem}\n")
        return _FAILED
    except BrokenPipeError:
        sys.stderr.close()
        return _FAILED
    except KeyboardInterrupt:
        return 130


class _Parser(argparse.ArgumentParser):
    """argparse, with an error of one line."""

    @override
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; see `{self.prog} --help`\n")


def _parser(given: Sequence[str]) -> argparse.ArgumentParser:
    parser = _Parser(prog="headgate", description=DESCRIPTION)
    parser.add_argument("--version", action="version", version=f"headgate {VERSION}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    serve = _add(commands, "serve", "run the gateway", _serve)
    serve.add_argument("--config", type=Path, metavar="FILE", help="configuration (default: headgate.yaml if present)")
    serve.add_argument("--host", help="address to listen on (default: 127.0.0.1, or server.host)")
    serve.add_argument("--port", type=_port, help="port to listen on (default: 8787, or server.port)")
    serve.add_argument("--workers", type=_count, help="serving processes (default: 1, or server.workers)")
    init = _add(commands, "init", "write a commented headgate.yaml", making.init)
    init.add_argument("path", type=Path, nargs="?", default=Path("headgate.yaml"), metavar="FILE")
    init.add_argument("--force", action="store_true", help="overwrite a file that is there")
    check = _add(commands, "check", "load a configuration and print every problem with its place", inspecting.check)
    check.add_argument("path", type=Path, nargs="?", default=Path("headgate.yaml"), metavar="FILE")
    plan = _add(commands, "plan", "print what runs in which stage", inspecting.plan)
    plan.add_argument("--config", type=Path, metavar="FILE", help="configuration (default: headgate.yaml if present)")
    plugins = _add(
        commands, "plugins", "list installed plugins and providers, and which are enabled", inspecting.plugins
    )
    plugins.add_argument("--config", type=Path, metavar="FILE")
    _add(commands, "hooks", "print the plugin contract", inspecting.hooks)
    _add(commands, "schema", "print the JSON Schema of headgate.yaml for editors", inspecting.schema)
    new = _add(commands, "new", "write a new package that passes its own tests", making.new)
    new.add_argument("kind", choices=["plugin", "provider", "guardrail"])
    new.add_argument("name", help="lower case letters, digits and dashes")
    new.add_argument("--into", type=Path, metavar="DIR", help="where to write (default: the workspace folder, or here)")
    known = set(commands.choices)
    wanted = next((word for word in given if not word.startswith("-")), None)
    if wanted is None or wanted not in known:
        problems = inspecting.add_plugin_commands(commands, known, _config_in(given))
        if wanted is not None and wanted not in known and problems:
            raise StartupError(problems)  # it may be the command of a plugin that these keep away
    return parser


def _config_in(given: Sequence[str]) -> Path | None:
    """The file `--config` names: which plugins bring commands depends on it, so it is looked for before parsing."""
    for at, word in enumerate(given):
        if word == "--config" and at + 1 < len(given):
            return Path(given[at + 1])
        if word.startswith("--config="):
            return Path(word.removeprefix("--config="))
    return None


def _serve(arguments: argparse.Namespace) -> int:
    from headgate.cli.serving import serve  # the web framework is for this command alone

    return serve(arguments)


def _add(commands: Any, name: str, text: str, run: Run) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
    parser.set_defaults(run=run)
    return parser


def _port(text: str) -> int:
    number = int(text) if text.isdigit() else -1
    if not 0 <= number <= 65535:
        raise argparse.ArgumentTypeError(f"`{text}` is no port: 0 to 65535")
    return number


def _count(text: str) -> int:
    number = int(text) if text.isdigit() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"`{text}` is no number of processes: 1 or more")
    return number
