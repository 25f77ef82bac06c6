"""`headgate keys`, through the real command line parser where that matters."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import pytest

from headgate import Context, Exchange, Secret, StartupError
from headgate.cli import main
from headgate.operations import CHAT
from headgate.upstream.aiohttp_engine import AiohttpUpstream
from headgate_keys import KeyConfig, Keys, KeysConfig, keyfile


def run(folder: Path, *words: str, config: KeysConfig | None = None) -> int:
    """Run the command as `headgate` would."""
    [command] = Keys(config or KeysConfig()).commands()
    parser = argparse.ArgumentParser()
    assert command.arguments is not None
    command.arguments(parser)
    parser.set_defaults(run=command.run, state_dir=folder)
    arguments = parser.parse_args(words)
    return command.run(arguments)


async def principal_of(folder: Path, key: str) -> tuple[str, str, str, tuple[str, ...]] | None:
    """What a gateway started on this folder makes of a key."""
    upstream = AiohttpUpstream()
    keys = Keys(KeysConfig())
    await keys.start(Context(upstream, folder, "http://x"))
    ex = Exchange(CHAT, {b"authorization": f"Bearer {key}".encode()}, request_id="r", trace_id="t")
    try:
        found = await keys.authenticate(ex)
    finally:
        await keys.stop()
        await upstream.close()
    return (found.key, found.user, found.workspace, found.models) if found else None


async def test_a_created_key_is_let_in(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`create` prints the key alone on standard output, stores its digest, and keeps the keys that were there."""
    assert (
        run(
            tmp_path, "create", "one", "--user", "u", "--workspace", "w", "--models", "a, b*", "--expires", "2999-01-01"
        )
        == 0
    )
    one = capsys.readouterr().out.strip()
    assert run(tmp_path, "create", "two") == 0
    two = capsys.readouterr().out.strip()
    assert one.startswith("hg-")
    assert len(one) == len("hg-") + 43
    assert one not in (tmp_path / "keys.yaml").read_text()
    assert (tmp_path / "keys.yaml").stat().st_mode & 0o777 == 0o600
    assert await principal_of(tmp_path, one) == ("one", "u", "w", ("a", "b*"))
    assert await principal_of(tmp_path, two) == ("two", "", "", ())


def test_a_key_is_made_with_what_the_router_wants_to_know(tmp_path: Path) -> None:
    """A saved routing config that requests may not replace, a deadline and a priority."""
    words = ["--routing", "safe", "--no-own-routing", "--deadline-s", "2.5", "--priority", "3"]
    assert run(tmp_path, "create", "one", *words) == 0
    [key] = keyfile.read_or_empty(tmp_path / "keys.yaml").keys
    assert (key.config, key.allow_config, key.deadline_s, key.priority) == ("safe", False, 2.5, 3)


def test_list_shows_no_digest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`list` names every key with its state, and nothing that could be compared with a key."""
    config = KeysConfig(keys=[KeyConfig(name="inline", key=Secret("hg-secret"), disabled=True, user="\x1b[2J")])
    run(tmp_path, "create", "one", config=config)
    key = capsys.readouterr().out.strip()
    assert run(tmp_path, "list", config=config) == 0
    shown = capsys.readouterr().out
    assert [line.split()[0] for line in shown.splitlines()] == ["NAME", "inline", "one"]
    assert [line.split()[-1] for line in shown.splitlines()] == ["STATE", "disabled", "active"]
    assert all(word not in shown for word in ("hmac", "hg-secret", key, "\x1b"))


def test_list_makes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Looking leaves no file behind."""
    assert run(tmp_path / "state", "list") == 0
    assert list(tmp_path.iterdir()) == []


async def test_a_revoked_key_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`revoke` removes one key. With the last one gone, no first key is made again."""
    run(tmp_path, "create", "one")
    one = capsys.readouterr().out.strip()
    assert run(tmp_path, "revoke", "one") == 0
    with pytest.raises(Exception, match="not known"):
        await principal_of(tmp_path, one)
    assert "name" not in (tmp_path / "keys.yaml").read_text().replace("NAME", "")


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["create", "one"], "already"),
        (["create", "inline"], "already"),
        (["create", "a\nb"], "`name`"),
        (["create", "two", "--expires", "soon"], "`expires`"),
        (["create", "two", "--expires", "2001-01-01"], "past"),
        (["create", "two", "--deadline-s", "nan"], "`deadline_s`"),
        (["revoke", "nobody"], "no key `nobody`"),
        (["revoke", "inline"], "configuration"),
    ],
)
def test_what_cannot_be_done_is_said(tmp_path: Path, words: list[str], reason: str) -> None:
    """A command that fails says why, and changes nothing."""
    config = KeysConfig(keys=[KeyConfig(name="inline", key=Secret("hg-secret"))])
    run(tmp_path, "create", "one", config=config)
    before = (tmp_path / "keys.yaml").read_bytes()
    with pytest.raises(StartupError, match=reason):
        run(tmp_path, *words, config=config)
    assert (tmp_path / "keys.yaml").read_bytes() == before


def test_another_secret_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key made with another secret than the gateway's would never be let in, so it is not made."""
    run(tmp_path, "create", "one")
    monkeypatch.setenv("HEADGATE_SECRET", "another")
    with pytest.raises(StartupError, match="another gateway secret"):
        run(tmp_path, "create", "two")


def test_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """`headgate keys` works in the folder of a configuration, and tells what it takes when called wrongly."""
    (tmp_path / "headgate.yaml").write_text("plugins: [{keys: {file: mine.yaml}}]\nstate_dir: here\n")
    monkeypatch.chdir(tmp_path)
    assert main(["keys", "create", "one"]) == 0
    assert (tmp_path / "here" / "mine.yaml").is_file()
    assert main(["keys", "list"]) == 0
    assert "one" in capsys.readouterr().out
    assert main(["keys", "create", "one"]) == 1
    assert "already" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["keys"])


def test_commands_at_the_same_time_lose_no_key(tmp_path: Path) -> None:
    """Read, change and replace is one step for all processes."""
    (tmp_path / "headgate.yaml").write_text("plugins: [keys]")
    command = [str(Path(sys.executable).parent / "headgate"), "keys"]
    names = ["a", "b", "c", "d"]
    running = [subprocess.Popen([*command, "create", name], cwd=tmp_path, stdout=subprocess.DEVNULL) for name in names]
    assert [process.wait() for process in running] == [0, 0, 0, 0]
    listed = subprocess.run([*command, "list"], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert sorted(line.split()[0] for line in listed.splitlines()[1:]) == names
