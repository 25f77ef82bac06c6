"""The keys in memory: all are found, none twice, and what has not changed is held once."""

from __future__ import annotations

import gc
import math

import pytest

from headgate import Principal
from headgate_keys.keyfile import Key, KeyFileError
from headgate_keys.table import MAX_RECENT, Caller, Table, build, free

MANY = 20_000


def key(number: int, user: str = "") -> Key:
    return Key(name=f"key-{number}", digest=digest(number), user=user)


def digest(number: int) -> str:
    return f"hmac-sha256:{number:064x}"


def test_every_key_is_found() -> None:
    """Keys of all pieces are found by digest, and no other digest is."""
    table = build([[key(at) for at in range(start, start + 1000)] for start in range(0, MANY, 1000)], Table())
    assert len(table) == MANY
    assert [table.find(digest(at)) for at in range(MANY)] == [key(at) for at in range(MANY)]
    assert table.find(digest(MANY)) is None
    assert table.find("") is None


def test_an_unchanged_key_is_held_once() -> None:
    """Reading again makes new only what is new."""
    before = build([[key(1), key(2)]], Table())
    after = build([[key(1), key(2, user="u")]], before)
    assert after.find(digest(1)) is before.find(digest(1))
    assert after.find(digest(2)) == key(2, user="u")
    assert before.find(digest(2)) == key(2)


@pytest.mark.parametrize(
    ("second", "reason"),
    [
        (Key(name="key-1", digest=digest(2)), "two keys of the name `key-1`"),
        (Key(name="other", digest=digest(1)), "`other` and `key-1` are the same key"),
        (key(1), "two keys of the name `key-1`"),
    ],
)
def test_nothing_stands_twice(second: Key, reason: str) -> None:
    """A name or a digest that returns in a later piece is refused, whether the keys before had it or not."""
    for before in (Table(), build([[key(1)]], Table())):
        with pytest.raises(KeyFileError, match=reason):
            build([[key(1)], [second]], before)


def test_freeing_leaves_a_used_table_whole() -> None:
    """A request that still holds the table finds every key in it."""
    table = build([[key(at) for at in range(MANY)]], Table())
    parts = table.parts()
    free(parts)
    assert parts == []
    assert len(table) == MANY
    assert table.find(digest(7)) == key(7)


def test_what_is_remembered_is_bounded() -> None:
    """However many keys are in use, the callers of a limited number are held, the last one among them."""
    table = Table()
    for at in range(3 * MAX_RECENT + 1):
        table.remember(b"%d" % at, Caller(Principal(f"key-{at}"), math.inf))
        assert len(table.recent) <= MAX_RECENT
    assert table.recent[b"%d" % (3 * MAX_RECENT)].principal.key == f"key-{3 * MAX_RECENT}"


def test_the_garbage_collector_does_not_visit_keys() -> None:
    """A collection takes as long with a million keys as with none."""
    held = Key(name="a", digest=digest(1), models=("m",), metadata={"a": "b"})
    assert not gc.is_tracked(held)
