"""The format of the keys file: what is written is read back, whatever the fields hold, and foreign YAML is read too."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from headgate_keys import keyfile
from headgate_keys.keyfile import Key, KeyFile, KeyFileError, expiry

DIGEST = "hmac-sha256:" + "0f" * 32
TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
KEYS = st.builds(
    Key,
    name=st.text(st.characters(codec="utf-8"), min_size=1, max_size=20).filter(
        lambda name: name.isprintable() and name == name.strip()
    ),
    digest=st.binary(min_size=32, max_size=32).map(lambda data: f"hmac-sha256:{data.hex()}"),
    user=TEXT,
    workspace=TEXT,
    models=st.lists(TEXT, max_size=3).map(tuple),
    metadata=st.dictionaries(TEXT, TEXT, max_size=3),
    expires=st.none() | st.datetimes().map(lambda at: at.isoformat()) | st.dates().map(lambda at: at.isoformat()),
    disabled=st.booleans(),
)


@given(file=st.builds(KeyFile, secret_id=st.sampled_from(["", "0123456789abcdef"]), keys=st.lists(KEYS, max_size=4)))
def test_round_trip(file: KeyFile) -> None:
    """What was written is read back the same."""
    assert keyfile.decode(keyfile.encode(file)) == file


def test_written_files_are_yaml() -> None:
    """A YAML parser reads what Headgate writes."""
    file = KeyFile(
        "ab", [Key(name="a", digest=DIGEST, models=("x", "y"), metadata={"a b": 'c"d'}, expires="2030-01-01")]
    )
    assert yaml.safe_load(keyfile.encode(file)) == {
        "secret_id": "ab",
        "keys": [
            {"name": "a", "digest": DIGEST, "models": ["x", "y"], "metadata": {"a b": 'c"d'}, "expires": "2030-01-01"}
        ],
    }


@pytest.mark.parametrize(
    "text",
    [
        f"keys:\n  - name: a\n    digest: {DIGEST}\n    expires: 2030-01-01\n",
        f"keys:\n- {{name: a, digest: '{DIGEST}', expires: 2030-01-01}}\n",
        f'# mine\nsecret_id: ""\nkeys:\n- {{"name": "a", "digest": "{DIGEST}", "expires": "2030-01-01"}}\n',
        f'keys:\n- {{"name": "a", "digest": "{DIGEST}", "expires": "2030-01-01"}}\n# the end\n',
        f'keys:\n\n# the first\n- {{name: a, digest: "{DIGEST}", expires: 2030-01-01}}\n',
        f'keys:\n- {{"name": "a",\n  "digest": "{DIGEST}", "expires": "2030-01-01"}}\n',
        f'secret_id: &day "2030-01-01"\nkeys:\n- {{name: a, digest: "{DIGEST}", expires: *day}}\n',
    ],
)
def test_files_written_by_people(text: str) -> None:
    """Any YAML of the right content is read, quick way or not."""
    [key] = keyfile.decode(text.encode()).keys
    assert (key.name, key.digest, key.expires_at()) == ("a", DIGEST, 1893456000.0)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (f'x: 1\nkeys:\n- {{"name": "a", "digest": "{DIGEST}"}}\n', "unknown field `x`"),
        (f'secret_id: ""\nkeys:\n- {{"name": "a", "digest": "{DIGEST}"}}\n- {{"name": "b", "user": 1}}\n', "line 4"),
        (f'secret_id: ""\nkeys:\n- {{"name": "a", "digest": "{DIGEST}"}}\n- {{"name": "b"}}\n', "line 4: `b` has no"),
        (f'secret_id: ""\nkeys:\n- {{"name": "a", "digest": "{DIGEST}"}}\n- {{"name": "b"', "line 4: .*YAML"),
        ("secret_id: ''\nkeys:\n- {name: [[[[[[[[[[[[[[[[[a]]]]]]]]]]]]]]]]]}\n", "line 3: .*nested"),
        ('secret_id: ""\nkeys:\n', "array"),
        ("keys:\n- name: a\n  key: hg-plain\n", "unknown field `key`"),
        ("- a", "object"),
        ("keys: &x [*x]", "."),
        ("[" * 100_000, "."),
        ("\x00", "YAML"),
    ],
)
def test_what_is_wrong_is_said(text: str, reason: str) -> None:
    """A file that cannot be used gives a reason, and never another error."""
    with pytest.raises(KeyFileError, match=reason):
        keyfile.decode(text.encode())


MANY = 20_000


def many_lines() -> list[bytes]:
    """A large file by lines; the first key is in the third."""
    keys = [Key(name=f"key-{at}", digest=f"hmac-sha256:{at:064x}", user=f"user-{at}") for at in range(MANY)]
    return keyfile.encode(KeyFile("ab", keys)).splitlines(keepends=True)


def test_a_large_file_is_read_in_pieces(tmp_path: Path) -> None:
    """Every key of a large file arrives, in order, in several pieces."""
    path = tmp_path / "keys.yaml"
    path.write_bytes(b"".join(many_lines()))

    def take(secret_id: str, pieces: Iterable[Sequence[Key]]) -> tuple[str, list[list[str]]]:
        return secret_id, [[key.name for key in piece] for piece in pieces]

    secret_id, names = keyfile.take_from(path, take)
    assert secret_id == "ab"
    assert len(names) > 5
    assert list(chain.from_iterable(names)) == [f"key-{at}" for at in range(MANY)]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'- {"name": "b", "user": 1}\n', "Expected `str`"),
        (b'- {"name": "b", "digest": "hg-plain"}\n', "`digest` of `b`"),
        (b'- {"name": "b"}\n', "no `digest`"),
        (b'- {"name": "b", "dig\n', "not valid YAML"),
        (b'- {"name": "\xff"}\n', "UTF-8"),
        (b"nonsense\n", "not valid YAML"),
    ],
)
def test_a_bad_line_amid_many_is_named(line: bytes, reason: str) -> None:
    """Whatever is wrong with one line of a large file, the error has its number, and none of it when it could be a key."""
    lines = many_lines()
    lines[12_344] = line
    with pytest.raises(KeyFileError, match=rf"^line 12345: .*{reason}") as caught:
        keyfile.decode(b"".join(lines))
    assert "hg-plain" not in str(caught.value)


def test_people_may_touch_a_large_file() -> None:
    """Comments, YAML's own words and items over several lines are read wherever they stand."""
    lines = many_lines()
    lines[5000] = b"# \xc3\xa4\n" + lines[5000]
    lines[9000] = (
        lines[9000].replace(b'"', b"").replace(b"hmac-sha256:", b"'hmac-sha256:", 1).replace(b", user", b"', user")
    )
    assert [key.name for key in keyfile.decode(b"".join(lines)).keys] == [f"key-{at}" for at in range(MANY)]


def test_a_file_written_to_while_it_is_read_is_refused(tmp_path: Path) -> None:
    """Half of an old and half of a new file are never taken for a file."""
    path = tmp_path / "keys.yaml"
    path.write_bytes(b"".join(many_lines()))

    def take(_: str, pieces: Iterable[Sequence[Key]]) -> int:
        os.utime(path, ns=(0, 0))
        return sum(map(len, pieces))

    with pytest.raises(KeyFileError, match="while it was read"):
        keyfile.take_from(path, take)


@given(text=st.binary(max_size=60) | st.text("keys:-{}[]\"'\n &*!a,", max_size=60).map(str.encode))
def test_any_bytes_are_read_or_refused(text: bytes) -> None:
    """No content of the file ends in anything but keys or KeyFileError."""
    try:
        keyfile.decode(text)
    except KeyFileError:
        return


@pytest.mark.parametrize(
    ("value", "at"),
    [
        (None, math.inf),
        ("1970-01-02", 86400.0),
        ("1970-01-01T01:00:00+01:00", 0.0),
        ("1970-01-01T00:00:10Z", 10.0),
        ("1970-01-01 00:00:10", 10.0),
    ],
)
def test_expiry(value: str | None, at: float) -> None:
    """Times without a zone are UTC, and a date is its first moment."""
    assert expiry(value) == at


@pytest.mark.parametrize("value", ["", "tomorrow", 12, []])
def test_expiry_refuses(value: object) -> None:
    """What is no date or time is a ValueError."""
    with pytest.raises(ValueError, match="`expires`"):
        expiry(value)


def test_replacing_keeps_mode_and_link(tmp_path: Path) -> None:
    """A file behind a symbolic link is replaced where it lies, with its mode; nothing is left behind."""
    real, link = tmp_path / "real.yaml", tmp_path / "keys.yaml"
    real.write_text("keys: []")
    real.chmod(0o640)
    link.symlink_to(real)
    keyfile.replace(link, KeyFile(keys=[Key(name="a", digest=DIGEST)]))
    assert link.is_symlink()
    assert real.stat().st_mode & 0o777 == 0o640
    assert [key.name for key in keyfile.read_or_empty(link).keys] == ["a"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["keys.yaml", "real.yaml"]


def test_a_failed_replace_leaves_the_old_file(tmp_path: Path) -> None:
    """When the new file cannot be written the old one is untouched and nothing else is left."""
    path = tmp_path / "keys.yaml"
    path.write_text("keys: []")
    with pytest.raises(UnicodeEncodeError):
        keyfile.replace(path, KeyFile(keys=[Key(name="a", digest=DIGEST, user="\ud800")]))
    assert path.read_text() == "keys: []"
    assert list(tmp_path.iterdir()) == [path]
