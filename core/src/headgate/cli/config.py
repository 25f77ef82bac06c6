"""Which configuration a command is about."""

from __future__ import annotations

from pathlib import Path

from headgate.config import Loaded, load_file, load_zero
from headgate.config.document import in_order
from headgate.context import Context
from headgate.errors import Problem, StartupError
from headgate.gateway import compose
from headgate.plan import Plan
from headgate.upstream import UpstreamRequest, UpstreamResponse

DEFAULT = Path("headgate.yaml")


class _NoUpstream:
    """An Upstream for commands that look at a configuration and reach nobody."""

    async def send(self, request: UpstreamRequest) -> UpstreamResponse:
        raise RuntimeError(f"a command must not call {request.url}")

    async def close(self) -> None:
        """Nothing is open."""


def find_config(given: Path | None) -> Path | None:
    """The file that was named, else `headgate.yaml` here, else None for the defaults."""
    if given is not None:
        if not given.is_file():
            raise StartupError([Problem(f"there is no file `{given}`; `headgate init` writes one")])
        return given
    return DEFAULT if DEFAULT.is_file() else None


def load(given: Path | None) -> Loaded:
    """Load what `serve` would."""
    path = find_config(given)
    return load_file(path) if path is not None else load_zero(Path.cwd())


def compose_only(loaded: Loaded, ctx: Context | None = None) -> Plan:
    """The plan `serve` would run, without starting anything. Problems come in the order of the file."""
    try:
        return compose(loaded, ctx or context_of(loaded))
    except StartupError as error:
        raise StartupError(in_order(error.problems)) from error


def context_of(loaded: Loaded) -> Context:
    """What plugins of a configuration that is only looked at are given."""
    return Context(_NoUpstream(), loaded.state_dir, "")


def try_files(plan: Plan, ctx: Context) -> None:
    """Let every plugin read the files that its start would read. StartupError lists what is wrong with all of them."""
    problems: list[Problem] = []
    for plugin in plan.plugins:
        try:
            plugin.hooks.try_files(ctx)
        except StartupError as error:
            problems += error.problems
        except Exception as error:
            problems.append(Problem(f"plugin `{plugin.name}` cannot read its files: {type(error).__name__}: {error}"))
    if problems:
        raise StartupError(problems)
