"""Commands that look and change nothing: check, plan, plugins, hooks, schema, and the commands plugins bring."""

from __future__ import annotations

import argparse
import inspect
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from headgate.cli.config import compose_only, context_of, load, try_files
from headgate.config import Installed, PluginEntry, load_file
from headgate.config.installed import distribution_of
from headgate.config.schema import config_schema
from headgate.errors import Problem, StartupError
from headgate.hooks import STAGES, Command, Hooks
from headgate.suggest import shown


def check(arguments: argparse.Namespace) -> int:
    """Load a file as `serve` would, compose its plan, and read what plugins read when they start; nothing is started."""
    path: Path = arguments.path
    if not path.is_file():
        print(f"headgate: there is no file `{path}`; `headgate init` writes one", file=sys.stderr)
        return 1
    loaded = load_file(path)
    ctx = context_of(loaded)
    found = compose_only(loaded, ctx)
    try_files(found, ctx)
    print(
        f"{path}: ok, {len(loaded.plugins)} plugins, {len(loaded.deployments)} deployments, {len(found.models)} models"
    )
    return 0


def plan(arguments: argparse.Namespace) -> int:
    """Print stage, hook, plugin, version and time budget, in the order they run."""
    found = compose_only(load(arguments.config))
    versions = {plugin.name: plugin.version for plugin in found.plugins}
    rows: list[Sequence[str]] = [("STAGE", "HOOK", "PLUGIN", "VERSION", "BUDGET", "ON ERROR")]
    steps = {(step.hook, step.plugin): step for step in found.steps()}
    for hook, stage in STAGES.items():
        if hook == "wrap_call":
            rows += [(stage.name, hook, name, versions.get(name, ""), "-", stage.failure) for name in found.wraps]
        for (at, name), step in steps.items():
            if at == hook:
                rule = step.hooks.on_error if stage.failure == "declared" else stage.failure
                rows.append((stage.name, hook, name, versions.get(name, ""), f"{step.budget_s:g} s", rule))
    _table(rows)
    return 0


def plugins(arguments: argparse.Namespace) -> int:
    """List what is installed and what of it is enabled."""
    loaded = load(arguments.config)
    installed = Installed()
    enabled = [entry.name for entry in loaded.plugins]
    used = {config.provider for config in loaded.deployments.values()}
    rows: list[Sequence[str]] = [("KIND", "NAME", "ENABLED", "FROM", "VERSION")]
    for name, point in installed.plugins().items():
        rows.append(("plugin", name, "yes" if name in enabled else "no", *distribution_of(point)))
    for name in installed.providers():
        point = installed.origin(name)
        origin = distribution_of(point) if point is not None else ("", "")
        rows.append(("provider", name, "yes" if name in used else "no", *origin))
    _table(rows)
    return 0


def hooks(_: argparse.Namespace) -> int:
    """Print every hook with its stage, fold, failure rule, budget and contract."""
    for name, stage in STAGES.items():
        function = getattr(Hooks, name)
        word = "async def" if inspect.iscoroutinefunction(function) else "def"
        print(f"{word} {name}{inspect.signature(function)}")
        budget = f", budget {stage.budget_s:g} s" if stage.budget_s else ""
        print(f"    stage {stage.name}, fold {stage.fold}, on error {stage.failure}{budget}")
        for line in (inspect.getdoc(function) or "").splitlines():
            print(f"    {line}" if line else "")
        print()
    return 0


def schema(_: argparse.Namespace) -> int:
    """Print the JSON Schema of the configuration, with the settings of everything installed."""
    print(json.dumps(config_schema(Installed()), indent=2))
    return 0


def add_plugin_commands(commands: Any, known: set[str], path: Path | None) -> list[Problem]:
    """Add the subcommands of the enabled plugins. Gives the problems that keep some away; other commands go on."""
    try:
        loaded = load(path)
    except StartupError as error:
        return list(error.problems)
    problems: list[Problem] = []
    for entry in loaded.plugins:
        try:
            found = _commands(entry)
        except StartupError as error:
            problems += error.problems
            continue
        for command in found:
            if command.name not in known:
                known.add(command.name)
                _add_command(commands, command, loaded.state_dir)
    return problems


def _commands(entry: PluginEntry) -> Sequence[Command]:
    """The commands of a plugin. StartupError when it cannot be created, or fails to name them."""
    if entry.kind.commands is Hooks.commands:
        return ()
    hooks_ = entry.create()
    try:
        return list(hooks_.commands())
    except Exception as error:
        words = f"plugin `{entry.name}` failed to register: {type(error).__name__}: {shown(str(error))}"
        raise StartupError([Problem(words)]) from error


def _add_command(commands: Any, command: Command, state_dir: Path) -> None:
    parser = commands.add_parser(command.name, help=command.help, description=command.help)
    if command.arguments is not None:
        command.arguments(parser)
    parser.add_argument("--config", type=Path, metavar="FILE", help="configuration (default: headgate.yaml)")
    parser.set_defaults(run=command.run, state_dir=state_dir)


def _table(rows: Sequence[Sequence[str]]) -> None:
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
