"""Secrets stay out of everything that is printed, serialised or copied, and digests are the gateway's own."""

from __future__ import annotations

import copy
import hmac
import json
import logging
import pickle
import secrets
import stat
import threading
import traceback
from pathlib import Path

import msgspec
import pytest
from msgspec import Struct

from headgate.errors import StartupError
from headgate.secret import GatewaySecret, Secret
from headgate.upstream import Credential

KEY = "sk-canary-8f2b11"


class Holder(Struct, frozen=True):
    secret: Secret


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HEADGATE_SECRET", raising=False)


@pytest.mark.parametrize(
    "shown",
    [
        repr(Secret(KEY)),
        str(Secret(KEY)),
        f"{Secret(KEY)}",
        f"{Secret(KEY)!r:>12}",
        "%s" % Secret(KEY),  # noqa: UP031 - one more way to print
        repr([Secret(KEY)]),
        repr(Holder(Secret(KEY))),
        repr(Credential("authorization", Secret(KEY), frozenset(), "Bearer ")),
    ],
)
def test_a_secret_prints_as_stars(shown: str) -> None:
    """No way of printing it, alone or inside a structure, shows the value."""
    assert "********" in shown
    assert KEY not in shown


def test_a_secret_is_not_in_a_log_or_a_traceback(caplog: pytest.LogCaptureFixture) -> None:
    """A logged secret and the traceback of an error that holds one show stars."""
    logging.getLogger("t").warning("key is %s", Secret(KEY))
    try:
        raise ValueError(Secret(KEY))
    except ValueError as error:
        shown = "".join(traceback.format_exception(error))
    assert KEY not in caplog.text + shown


@pytest.mark.parametrize(
    "serialise", [pickle.dumps, copy.copy, copy.deepcopy, json.dumps, msgspec.json.encode, msgspec.msgpack.encode]
)
def test_a_secret_cannot_be_serialised(serialise: object) -> None:
    """Pickling, copying and JSON fail instead of writing the value."""
    assert callable(serialise)
    for value in (Secret(KEY), Holder(Secret(KEY))):
        if isinstance(value, Holder) and serialise is copy.copy:
            continue  # shares the secret, copies nothing of it
        with pytest.raises(TypeError):
            serialise(value)


def test_a_secret_has_no_attributes_to_walk() -> None:
    """It has no `__dict__`, so tools that dump objects find nothing."""
    assert not hasattr(Secret(KEY), "__dict__")


def test_reveal_gives_the_value() -> None:
    """The one way to read it."""
    assert Secret(KEY).reveal() == KEY


def test_secrets_compare_by_value() -> None:
    """Equal values are equal and hash alike, so that a reload sees what did not change; a string is never equal."""
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert hash(Secret("a")) == hash(Secret("a"))
    assert Secret("ü") == Secret("ü")
    assert len({Secret("a"), Secret("a"), Secret("b")}) == 2


def test_a_digest_is_stable_and_keyed(tmp_path: Path) -> None:
    """The same text has the same digest under one secret, another one under another secret, and 64 hex digits."""
    first, same, other = GatewaySecret(tmp_path / "a"), GatewaySecret(tmp_path / "a"), GatewaySecret(tmp_path / "b")
    digest = first.digest("text")
    assert digest == same.digest("text")
    assert digest != other.digest("text")
    assert digest != first.digest("text2")
    assert len(digest) == 64
    assert int(digest, 16) > 0


def test_the_file_belongs_to_its_owner_alone(tmp_path: Path) -> None:
    """The secret's file is made on first use and nobody else may read it."""
    secret = GatewaySecret(tmp_path / "state")
    assert not (tmp_path / "state").exists()
    secret.digest("x")
    held = tmp_path / "state" / "secret"
    assert stat.S_IMODE(held.stat().st_mode) == 0o600
    assert len(held.read_text()) == 64


def test_the_environment_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With `HEADGATE_SECRET` set, no file is made, and gateways with the same value agree."""
    monkeypatch.setenv("HEADGATE_SECRET", "shared")
    assert GatewaySecret(tmp_path / "a").digest("x") == GatewaySecret(tmp_path / "b").digest("x")
    assert not (tmp_path / "a").exists()


def test_processes_that_start_together_share_the_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that comes while another is still making the file waits for it or wins; both end with one secret."""
    make = secrets.token_hex
    found: list[str] = []
    late = threading.Thread(target=lambda: found.append(GatewaySecret(tmp_path).digest("x")))

    def slow(size: int) -> str:
        monkeypatch.setattr("headgate.secret.secrets.token_hex", make)
        late.start()
        late.join(0.2)
        return make(size)

    monkeypatch.setattr("headgate.secret.secrets.token_hex", slow)
    first = GatewaySecret(tmp_path).digest("x")
    late.join()
    assert found == [first]


@pytest.mark.parametrize("content", ["", "\n", "  "])
def test_an_empty_secret_file_is_never_the_key(tmp_path: Path, content: str) -> None:
    """A file that a crash left empty is no key: anybody could make its digests."""
    (tmp_path / "secret").write_text(content)
    try:
        found = GatewaySecret(tmp_path).digest("x")
    except StartupError:
        return
    assert found != hmac.digest(b"", b"x", "sha256").hex()
