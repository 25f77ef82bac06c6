"""The command `headgate`: exit codes, what goes to which stream, and errors a person can act on."""

from __future__ import annotations

import argparse
import json
import os
import re
import socket
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, ClassVar

import pytest
from core.tests.loading import Demo, Point, Vendor
from msgspec import Struct
from typing_extensions import override

from headgate.cli import main
from headgate.config import load_file
from headgate.config.installed import PLUGINS, PROVIDERS
from headgate.exchange import Exchange, Principal
from headgate.hooks import STAGES, Call, Command, Hooks, hookimpl
from headgate.version import VERSION

KEY = "sk-canary-5d1f"
COMMANDS = ("serve", "init", "check", "plan", "plugins", "hooks", "schema", "new")


class Auth(Hooks):
    class Config(Struct, frozen=True, forbid_unknown_fields=True):
        """Whether the constructor refuses."""

        fails: bool = False

    def __init__(self, config: Config) -> None:
        if config.fails:
            raise ValueError("refused")

    @override
    @hookimpl
    async def authenticate(self, ex: Exchange) -> Principal | None:
        return Principal("k")

    @override
    @hookimpl
    def commands(self) -> Iterable[Command]:
        def arguments(parser: argparse.ArgumentParser) -> None:
            parser.add_argument("word")

        def run(namespace: argparse.Namespace) -> int:
            print(f"{namespace.word} in {namespace.state_dir.name}")
            return 7

        return [Command("greet", "say a word", run, arguments), Command("serve", "never seen", run)]


class Wrap(Hooks):
    @override
    @hookimpl
    def wrap_call(self, call: Call) -> Call:
        return call


class Guard(Hooks):
    on_error = "allow"
    budgets: ClassVar[Mapping[str, float]] = {"guard_request": 0.25}

    @override
    @hookimpl
    async def guard_request(self, ex: Exchange) -> None:
        return None


POINTS = [
    *(Point(name, PLUGINS, Auth) for name in ("auth", "keys")),
    *(Point(name, PLUGINS, Wrap) for name in ("wrap", "responses", "cache-memory", "router-standard")),
    Point("guard", PLUGINS, Guard),
    Point("demo", PROVIDERS, Demo),
    Point("vendor", PROVIDERS, Vendor),
]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty folder, and an environment with the packages above."""

    def points(group: str) -> Sequence[EntryPoint]:
        return [point for point in POINTS if point.group == group]

    monkeypatch.setattr("headgate.config.installed.entry_points", points)
    monkeypatch.delenv("VENDOR_API_KEY", raising=False)
    monkeypatch.chdir(tmp_path)


class Run:
    def __init__(self, code: int, out: str, err: str) -> None:
        self.code = code
        self.out = out
        self.err = err
        self.errors = err.splitlines()


@pytest.fixture
def headgate(capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs a command line and gives its exit code and output."""

    def run(*arguments: str) -> Run:
        try:
            code = main(arguments)
        except SystemExit as error:
            code = int(error.code or 0)
        out, err = capsys.readouterr()
        return Run(code, out, err)

    return run


def write(text: str, name: str = "headgate.yaml") -> Path:
    path = Path(name)
    path.write_text(text)
    return path


GOOD = "plugins: [auth, wrap, guard]\nproviders: {one: {provider: demo}}\nmodels: {fast: one/echo}\n"
BAD = """\
plugins: [auht, guard: {}]
providers: {one: {provider: dmo}, two: {provider: vendor, api_key: %s, typo: 1}}
stat: memory
""".replace("%s", KEY)

# the command itself


def test_help_mentions_every_command(headgate: Any) -> None:
    """Without a command, and with `--help`: what there is, and what happens without a file."""
    for arguments in ((), ("--help",)):
        run = headgate(*arguments)
        assert (run.code, run.err) == (0, "")
        for command in COMMANDS:
            assert re.search(rf"^\s+{command}\s+\w", run.out, re.MULTILINE), command
        assert "http://127.0.0.1:8787" in run.out


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(headgate: Any, command: str) -> None:
    """Its description and its arguments."""
    run = headgate(command, "--help")
    assert (run.code, run.err) == (0, "")
    assert f"usage: headgate {command}" in run.out


def test_the_version(headgate: Any) -> None:
    """One line."""
    run = headgate("--version")
    assert (run.code, run.out) == (0, f"headgate {VERSION}\n")


@pytest.mark.parametrize(
    "line",
    [
        "nothing",
        "check a b",
        "serve --port x",
        "serve --port 65536",
        "serve --port -1",
        "serve --workers 0",
        "serve --nothing",
        "new thing x",
        "new plugin",
        "--nothing",
    ],
)
def test_a_wrong_call_is_a_2(headgate: Any, line: str) -> None:
    """One line on standard error: what is wrong, and where help is."""
    run = headgate(*line.split())
    assert (run.code, run.out) == (2, "")
    assert len(run.err.splitlines()) == 1
    assert "--help`" in run.err


def test_arguments_come_from_the_command_line(
    headgate: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Called as a script."""
    monkeypatch.setattr("sys.argv", ["headgate", "check", "missing.yaml"])
    assert main() == 1
    assert "missing.yaml" in capsys.readouterr().err


# check


def test_check_says_what_it_found(headgate: Any) -> None:
    """A good file: one line, exit code 0."""
    write(GOOD)
    run = headgate("check")
    assert (run.code, run.out, run.err) == (0, "headgate.yaml: ok, 3 plugins, 1 deployments, 1 models\n", "")
    assert headgate("check", "headgate.yaml").code == 0


def test_check_prints_all_problems(headgate: Any) -> None:
    """One line each with its place, on standard error, exit code 1, and no secret."""
    write(BAD)
    run = headgate("check")
    assert (run.code, run.out) == (1, "")
    assert len(run.errors) == 4
    assert all(re.match(r"headgate: headgate\.yaml:\d+:\d+: `", line) for line in run.errors)
    for words in ("did you mean `auth`", "did you mean `demo`", "`providers.two.typo`", "did you mean `state`"):
        assert words in run.err
    assert KEY not in run.err


def test_check_finds_what_only_composing_shows(headgate: Any) -> None:
    """Missing keys and unknown deployments in models, both at once, with their lines."""
    write(GOOD.replace("one: {provider: demo}", "one: {provider: vendor}").replace("one/echo", "two/echo"))
    run = headgate("check")
    assert (run.code, len(run.errors)) == (1, 2)
    for words in ("headgate.yaml:2:13: `providers.one`: `api_key` is missing", "deployment `two` is not known"):
        assert words in run.err, words


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("missing.yaml", None, "there is no file `missing.yaml`; `headgate init` writes one"),
        ("bad.yaml", b"a: [", "bad.yaml:2:1: this is not valid YAML"),
        ("binary.yaml", b"\xff\xfe", "binary.yaml: cannot be read: it is not UTF-8 text"),
        ("nul.yaml", b"a: \x00", "this is not valid YAML"),
        ("tag.yaml", b"a: !!bool x", "this is not valid YAML"),
        ("self.yaml", b"models: &a {x: *a}", "self.yaml"),
    ],
)
def test_check_of_what_is_no_configuration(headgate: Any, name: str, content: bytes | None, words: str) -> None:
    """One line that names the file, never a traceback."""
    if content is not None:
        Path(name).write_bytes(content)
    run = headgate("check", name)
    assert (run.code, run.out, len(run.errors)) == (1, "", 1)
    assert words in run.err


def test_check_starts_nothing(headgate: Any) -> None:
    """No file, no socket, no plugin's start."""
    write(GOOD)
    headgate("check")
    assert [path.name for path in Path().iterdir()] == ["headgate.yaml"]


# plan, plugins, hooks, schema


def test_plan_shows_what_runs(headgate: Any) -> None:
    """Each step with its stage, budget and rule, in the order a request meets them; wrappers too."""
    write(f"{GOOD}budgets: {{auth.authenticate: 0.5}}\n")
    run = headgate("plan")
    assert (run.code, run.err) == (0, "")
    head, *rows = [re.split(r"\s{2,}", line) for line in run.out.splitlines()]
    assert head == ["STAGE", "HOOK", "PLUGIN", "VERSION", "BUDGET", "ON ERROR"]
    shown = [(row[0], row[1], row[2], row[-2], row[-1]) for row in rows]
    assert shown == [
        ("auth", "authenticate", "uploads", "1 s", "closed"),
        ("auth", "authenticate", "auth", "0.5 s", "closed"),
        ("auth", "admit", "route", "1 s", "closed"),
        ("route", "route", "uploads", "1 s", "closed"),
        ("route", "route", "route", "1 s", "closed"),
        ("guardrail", "guard_request", "guard", "0.25 s", "allow"),
        ("call", "wrap_call", "uploads", "-", "as the call"),
        ("call", "wrap_call", "wrap", "-", "as the call"),
    ]


def test_plan_without_a_file_is_that_of_the_defaults(headgate: Any) -> None:
    """What `serve` would run here."""
    run = headgate("plan")
    assert (run.code, run.err) == (0, "")
    assert "keys" in run.out


def test_plugins_lists_what_is_installed(headgate: Any) -> None:
    """Plugins and providers, and which of them are enabled here."""
    write(GOOD)
    run = headgate("plugins")
    assert (run.code, run.err) == (0, "")
    held = {(row[0], row[1]): row[2] for row in (line.split() for line in run.out.splitlines())}
    assert held["plugin", "auth"] == "yes"
    assert held["plugin", "keys"] == "no"
    assert held["provider", "demo"] == "yes"
    assert held["provider", "vendor"] == "no"


def test_hooks_prints_the_contract(headgate: Any) -> None:
    """Every hook with its stage, fold and rule."""
    run = headgate("hooks")
    assert (run.code, run.err) == (0, "")
    for name, stage in STAGES.items():
        assert re.search(rf"^(async )?def {name}\(", run.out, re.MULTILINE)
        assert f"stage {stage.name}, fold {stage.fold}, on error {stage.failure}" in run.out


def test_schema_is_json(headgate: Any) -> None:
    """For an editor, with what is installed here."""
    run = headgate("schema")
    assert (run.code, run.err) == (0, "")
    held = json.loads(run.out)
    assert held["title"] == "headgate.yaml"
    assert "plugins" in held["properties"]


@pytest.mark.parametrize("command", ["plan", "plugins", "serve"])
def test_a_named_file_must_be_there(headgate: Any, command: str) -> None:
    """A mistyped `--config` does not fall back to the defaults."""
    run = headgate(command, "--config", "missing.yaml")
    assert (run.code, run.out) == (1, "")
    assert run.err == "headgate: there is no file `missing.yaml`; `headgate init` writes one\n"


@pytest.mark.parametrize("command", ["plan", "plugins", "serve"])
def test_a_bad_file_is_told_by_every_command(headgate: Any, command: str) -> None:
    """All problems, as `check` tells them."""
    write(BAD)
    run = headgate(command)
    assert (run.code, run.out, len(run.errors)) == (1, "", 4)


# init and new


def test_init_writes_a_file_that_is_valid(headgate: Any) -> None:
    """Where it was asked to, and only there."""
    run = headgate("init", "my.yaml")
    assert (run.code, run.err) == (0, "")
    assert "wrote my.yaml" in run.out
    assert load_file(Path("my.yaml")).config.server.port == 8787
    assert headgate("check", "my.yaml").code == 0


def test_init_overwrites_only_when_told(headgate: Any) -> None:
    """Somebody's work is not lost by a second `init`."""
    path = write("mine: 1")
    run = headgate("init")
    assert (run.code, run.out) == (1, "")
    assert run.err == "headgate: `headgate.yaml` is there already; --force overwrites it\n"
    assert path.read_text() == "mine: 1"
    assert headgate("init", "--force").code == 0
    assert path.read_text() != "mine: 1"


@pytest.mark.parametrize("target", ["no/such/folder/headgate.yaml", "."])
def test_init_where_nothing_can_be_written(headgate: Any, target: str) -> None:
    """A missing folder or a folder's name: one line, no traceback."""
    run = headgate("init", target, "--force")
    assert (run.code, run.out, len(run.errors)) == (1, "", 1)
    assert run.err.startswith("headgate: ")


@pytest.mark.parametrize("name", ["Spend", "spend_cap", "-spend", "spend--cap", "9lives", "", "../x", "a b"])
def test_new_wants_a_plain_name(headgate: Any, name: str) -> None:
    """Names become folders, modules and distributions."""
    run = headgate("new", "plugin", "--", name)
    assert run.code == 2
    assert list(Path().iterdir()) == []


def test_new_does_not_overwrite(headgate: Any) -> None:
    """A folder that is there is left alone."""
    Path("headgate-spend").mkdir()
    run = headgate("new", "plugin", "spend")
    assert (run.code, run.out) == (1, "")
    assert "`headgate-spend` is there already" in run.err
    assert list(Path("headgate-spend").iterdir()) == []


def test_new_where_nothing_can_be_written(headgate: Any) -> None:
    """One line, no traceback."""
    write("", "file")
    run = headgate("new", "plugin", "spend", "--into", "file/spend")
    assert (run.code, run.out, len(run.errors)) == (1, "", 1)


# serve


def test_serve_on_a_port_that_is_taken(headgate: Any) -> None:
    """What is taken and what to do."""
    write(GOOD)
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        port = held.getsockname()[1]
        run = headgate("serve", "--port", str(port))
    assert (run.code, run.out) == (1, "")
    assert run.err == (
        f"headgate: cannot listen on 127.0.0.1:{port}: address already in use; choose another with --host and --port\n"
    )


def test_serve_on_an_address_that_is_none(headgate: Any) -> None:
    """The reason in words."""
    write(GOOD)
    run = headgate("serve", "--host", "256.256.256.256", "--port", "0")
    assert (run.code, run.out, len(run.errors)) == (1, "", 1)
    assert "cannot listen on 256.256.256.256" in run.err
    assert "unknown error" not in run.err.lower()


# commands of plugins


def test_a_plugins_command_is_a_command(headgate: Any) -> None:
    """It is in the help, takes its arguments and gives the exit code; the core's own names are not taken over."""
    write(GOOD)
    run = headgate("greet", "hello")
    assert (run.code, run.out, run.err) == (7, "hello in .headgate\n", "")
    shown = headgate("--help").out
    assert "say a word" in shown
    assert "never seen" not in shown
    assert headgate("greet").code == 2


def test_a_command_of_a_plugin_in_another_file(headgate: Any) -> None:
    """`--config` says which file enables it."""
    write(GOOD, "other.yaml")
    assert headgate("--help").code == 0
    assert headgate("greet", "hello", "--config", "other.yaml").out == "hello in .headgate\n"


@pytest.mark.parametrize(
    "text", [BAD, "a: [", GOOD.replace("[auth,", "[auth: {fails: true},"), "a: !!bool x", "models: &a {x: *a}"]
)
def test_help_works_beside_a_bad_file(headgate: Any, text: str) -> None:
    """Somebody who is about to mend it needs it."""
    write(text)
    run = headgate("--help")
    assert (run.code, run.err) == (0, "")
    assert "serve" in run.out


def test_an_unknown_command_beside_a_bad_file(headgate: Any) -> None:
    """It may be one that the file would have brought: the reader is told what keeps it away, or at least a 2."""
    write(BAD)
    run = headgate("greet", "hello")
    assert run.code in {1, 2}
    assert run.err


def test_a_plugin_whose_commands_fail_hinders_no_other(headgate: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--help` and the core's commands go on."""

    def commands(_: Hooks) -> Iterable[Command]:
        raise RuntimeError("bug")

    monkeypatch.setattr(Auth, "commands", commands)
    write(GOOD)
    assert headgate("--help").code == 0
    assert headgate("check").code in {0, 1}


# leaving


def test_interrupting_is_a_130(headgate: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a shell expects."""

    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("headgate.cli.inspecting.load_file", interrupted)
    write(GOOD)
    assert headgate("check").code == 130


def test_the_real_environment_has_entry_points() -> None:
    """The script of the distribution is this function."""
    found = [point for point in entry_points(group="console_scripts") if point.name == "headgate"]
    assert [point.load() for point in found] == [main]
    assert os.name == "posix"
