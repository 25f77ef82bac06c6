"""YAML with places: every value knows its line, every problem is noted, and no file makes the reader fail otherwise."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec import Struct

from headgate.config import Document, read_document
from headgate.config.document import dotted
from headgate.errors import Problem, StartupError
from headgate.secret import Secret

KEY = "sk-canary-77aa"
FOLDER = Path("/nonexistent")


class Inner(Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    seconds: float = 1.0


class Outer(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    inner: Inner
    mode: Literal["a", "b"] = "a"
    numbers: list[int] = []
    pair: tuple[str, ...] = ()
    many: dict[str, Inner] = {}
    key: Secret | None = None
    keys: dict[str, Secret] = {}
    maybe: Inner | None = None
    either: str | dict[str, Any] = ""


def document(text: str, folder: Path = FOLDER) -> Document:
    return read_document(text, "f.yaml", folder)


def decoded(text: str, folder: Path = FOLDER) -> Outer:
    held = document(text, folder)
    value = held.decode(held.value, Outer, ())
    held.raise_problems()
    assert isinstance(value, Outer)
    return value


def problems(text: str, folder: Path = FOLDER) -> list[str]:
    with pytest.raises(StartupError) as caught:
        decoded(text, folder)
    return [str(problem) for problem in caught.value.problems]


# reading


@pytest.mark.parametrize("text", ["", "\n\n", "# nothing\n", "---\n", "{}", "\ufeff"])
def test_an_empty_file_is_an_empty_mapping(text: str) -> None:
    """Nothing configured is a configuration."""
    assert document(text).value == {}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: [", "f.yaml:2:1: this is not valid YAML"),
        ("a: b: c", "f.yaml:1:5: this is not valid YAML"),
        ("a: 'x", "f.yaml:1:6: this is not valid YAML"),
        ("\ta: 1", "f.yaml:1:1: this is not valid YAML"),
        ("a: 1\n b: 2", "f.yaml:2:3: this is not valid YAML"),
        ("- a", "f.yaml:1:1: the file must be a mapping"),
        ("5", "f.yaml:1:1: the file must be a mapping"),
        ("a: 1\n---\nb: 2", "f.yaml:2:1: this is not valid YAML"),
        ("a: !x 1", "f.yaml:1:4: this is not valid YAML"),
        ("a: *x", "f.yaml:1:4: this is not valid YAML"),
        ("? [a]\n: 1", "f.yaml:1:3: this is not valid YAML"),
        ("a: \x00", "this is not valid YAML"),
        ("a: !!bool x", "this is not valid YAML"),
        ("a: !!timestamp x", "this is not valid YAML"),
        ('a: !!int ""', "this is not valid YAML"),
        ('a: !!float "_"', "this is not valid YAML"),
        ("a: " + "1" * 5000, "this is not valid YAML"),
        ("a: &x [*x]", "f.yaml"),
        ("a: &x {b: *x}", "f.yaml"),
        ("a: " + "[" * 5000, "f.yaml"),
        ("a: " + "[" * 200 + "]" * 200, "f.yaml:1: this is nested deeper than 100 levels"),
    ],
)
def test_what_is_no_configuration_is_told_in_one_line(text: str, expected: str) -> None:
    """Syntax, tags, references to itself: one line with the place, and never another exception."""
    with pytest.raises(StartupError) as caught:
        document(text)
    shown = str(caught.value)
    assert expected in shown
    assert "\n" not in shown


def test_repeated_keys_are_all_named() -> None:
    """YAML takes the last; here a repeated key is a mistake, wherever it stands."""
    with pytest.raises(StartupError) as caught:
        document("a: 1\nb: {c: 1, d: 2, c: 3}\na: 2\ne: [{f: 1, f: 2}]\n")
    assert sorted(str(problem) for problem in caught.value.problems) == [
        "f.yaml:2:17: `b.c` stands here a second time",
        "f.yaml:3:1: `a` stands here a second time",
        "f.yaml:4:12: `e[0].f` stands here a second time",
    ]


def test_aliases_cannot_multiply() -> None:
    """A small file whose aliases stand for a hundred thousand values is refused, not walked through."""
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{at}: &a{at} [{', '.join([f'*a{at - 1}'] * 10)}]" for at in range(1, 5)]
    with pytest.raises(StartupError):
        document("\n".join(lines))


def test_plain_aliases_work() -> None:
    """What YAML offers against repetition can be used."""
    held = document("a: &x {t: 1}\nb: *x\nc: {<<: *x, u: 2}\n")
    assert held.value == {"a": {"t": 1}, "b": {"t": 1}, "c": {"t": 1, "u": 2}}


@settings(deadline=None)
@given(st.text(st.characters(codec="utf-8")))
@example("a: !!timestamp x")
@example("a: !!int '_'")
@example("? {a: 1}\n: 2")
@example("&a : *a")
@example("!!set {a, b}: 1")
@example("a: !!binary 'é'")
def test_any_text_is_a_document_or_refused(text: str) -> None:
    """Whatever the file holds: a document, or StartupError with problems of one line each."""
    check(text)


def check(text: str) -> None:
    found: Sequence[Problem] = ()
    try:
        held = document(text)
    except StartupError as error:
        found = error.problems
    else:
        assert isinstance(held.value, dict)
        return
    assert found
    assert all(problem.message and "\n" not in str(problem) for problem in found)


SIGNS = (
    *(": ", "- ", "&x ", "*x ", "!!int ", "!!bool ", "!!float ", "!!str ", "!!timestamp ", "<<: ", "0x", "1e3", "null"),
    *("2001-01-01", "---\n", " ", "\n", "\n  ", *"ab:-[]{},&*!#|>'\"%~?.1_"),
)
PIECES = st.lists(st.sampled_from(SIGNS), max_size=25).map("".join)


@settings(deadline=None)
@given(PIECES)
def test_any_near_yaml_is_a_document_or_refused(text: str) -> None:
    """Text made of YAML's own signs, tags and aliases."""
    check(text)


# places


def test_a_place_is_line_and_column() -> None:
    """Of the value's key, of a list's item, or of what is around a value that is not there."""
    held = document("server:\n  port: 1\nplugins:\n  - keys\n  - guard:\n      checks: []\n")
    assert held.place(("server", "port")) == "f.yaml:2:3"
    assert held.place(("plugins", 0)) == "f.yaml:4:5"
    assert held.place(("plugins", 1, "guard", "checks")) == "f.yaml:6:7"
    assert held.place(("plugins", 1, "guard", "nothing", 3)) == "f.yaml:5:5"
    assert held.place(("elsewhere",)) == "f.yaml:1:1"
    assert held.place(()) == "f.yaml:1:1"


def test_paths_are_written_as_people_write_them() -> None:
    """Dots for names, brackets for numbers."""
    assert dotted(("providers", "openai", "models", 0)) == "providers.openai.models[0]"
    assert dotted(()) == ""


# decoding


def test_a_document_becomes_typed_values() -> None:
    """Structs, lists, maps, optional values; absent ones take their defaults."""
    held = decoded("""
inner: {name: x, seconds: 2}
mode: b
numbers: [1, 2]
pair: [a, b]
many: {one: {name: y}}
maybe: ~
either: {free: [1]}
""")
    assert held == Outer(
        inner=Inner("x", 2.0),
        mode="b",
        numbers=[1, 2],
        pair=("a", "b"),
        many={"one": Inner("y")},
        either={"free": [1]},
    )
    assert type(held.inner.seconds) is float


def test_a_section_whose_entries_are_commented_out_is_empty() -> None:
    """A key without a value means nothing configured, not a mistake."""
    held = decoded("inner: {name: x}\nnumbers:\nmany:\nkeys:\npair:\n")
    assert (held.numbers, held.many, held.keys, held.pair) == ([], {}, {}, ())


def test_every_problem_is_listed_in_the_order_of_the_file() -> None:
    """Unknown, missing and wrong values of every depth, each with its line, from top to bottom."""
    found = problems("""\
inner: {seconds: soon}
mode: c
numbers: [1, x, 2.5]
many:
  one: {nam: y}
  two: 5
key: 5
maybe: []
typo: 1
nmbers: []
""")
    assert [problem.partition(": ")[0] for problem in found] == [
        "f.yaml:1:1",
        "f.yaml:1:9",
        "f.yaml:2:1",
        "f.yaml:3:14",
        "f.yaml:3:17",
        "f.yaml:5:3",
        "f.yaml:5:9",
        "f.yaml:6:3",
        "f.yaml:7:1",
        "f.yaml:8:1",
        "f.yaml:9:1",
        "f.yaml:10:1",
    ]
    shown = "\n".join(found)
    for words in (
        "`inner` needs `name`",
        "`inner.seconds` is wrong: expected `float`, got `str`",
        "`numbers[1]` is wrong: expected `int`, got `str`",
        "`many.one.nam` is not known (did you mean `name`?)",
        "`many.two` must be a mapping, not `int`",
        "`key` must be a string such as `env:NAME` or `file:PATH`",
        "`typo` is not known",
        "`nmbers` is not known (did you mean `numbers`?)",
    ):
        assert words in shown


@pytest.mark.parametrize("value", [".inf", "-.inf", ".nan"])
def test_numbers_without_end_are_refused(value: str) -> None:
    """No setting means anything with infinity or `nan`: a timer set to it never fires, or always."""
    assert "`inner.seconds`" in problems(f"inner: {{name: x, seconds: {value}}}")[0]


# secrets


def test_secrets_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """`env:NAME` is the variable's value, without the line end a shell may have left."""
    monkeypatch.setenv("SAMPLE_KEY", f"{KEY}\n")
    held = decoded("inner: {name: x}\nkey: env:SAMPLE_KEY\nkeys: {a: env:SAMPLE_KEY, b: plain}\n")
    assert held.key == Secret(KEY)
    assert held.keys == {"a": Secret(KEY), "b": Secret("plain")}


def test_secrets_come_from_files(tmp_path: Path) -> None:
    """`file:PATH` is the file's content, from the folder of the configuration or from an absolute path."""
    (tmp_path / "key").write_text(f"{KEY}\n")
    assert decoded("inner: {name: x}\nkey: file:key\n", tmp_path).key == Secret(KEY)
    assert decoded(f"inner: {{name: x}}\nkey: file:{tmp_path / 'key'}\n").key == Secret(KEY)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("env:NOT_SET_ANYWHERE", "refers to the environment variable `NOT_SET_ANYWHERE`, which is not set"),
        ('"env:"', "refers to the environment variable ``, which is not set"),
        ("env:BLANK_KEY", "must be one line of printable ASCII"),
        ("env:ODD_KEY", "must be one line of printable ASCII"),
        ("file:missing", "refers to the file `missing`, which cannot be read: No such file or directory"),
        ("file:.", "cannot be read: Is a directory"),
        ("file:two", "must be one line of printable ASCII"),
        ("file:binary", "cannot be read: not UTF-8 text"),
        ("file:empty", "must be one line of printable ASCII"),
        ('"file:a\\0b"', "cannot be read"),
        ('"a\\nb"', "must be one line of printable ASCII"),
        ("schlüssel", "must be one line of printable ASCII"),
        ('""', "must be a string such as"),
        ("~", ""),
        ("5", "must be a string such as"),
        ("[a]", "must be a string such as"),
    ],
)
def test_secrets_that_cannot_be_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: str, expected: str
) -> None:
    """The problem says why, with the reference, and never with what was found."""
    monkeypatch.setenv("BLANK_KEY", " \n")
    monkeypatch.setenv("ODD_KEY", f"{KEY}\nsecond line")
    (tmp_path / "two").write_text(f"{KEY}\n{KEY}")
    (tmp_path / "binary").write_bytes(b"\xff" + KEY.encode())
    (tmp_path / "empty").write_text("")
    text = f"inner: {{name: x}}\nkey: {written}\n"
    if not expected:
        assert decoded(text, tmp_path).key is None
        return
    found = problems(text, tmp_path)
    assert len(found) == 1
    assert expected in found[0]
    assert found[0].startswith("f.yaml:2:1: `key` ")
    assert KEY not in found[0]


@pytest.mark.parametrize(
    "text",
    [
        f"inner: {{name: x}}\nkey: {KEY}\nmode: c\n",
        f"inner: {{name: x}}\nkeys: {{a: {KEY}}}\nmode: c\n",
        f"inner: {{name: x}}\nkeys: {KEY}\n",
        f"inner: {{name: x}}\nkey: [{KEY}]\n",
        f"inner: {{name: x}}\nkey: {{v: {KEY}}}\n",
        f"inner: {{name: x}}\nky: {KEY}\n",
        f"inner: {{name: x}}\nkey: {KEY}\n  bad: {KEY}\n",
        f"inner: {{name: x}}\nkey: '{KEY}\n",
        f"inner: {{name: x}}\nkey: !env {KEY}\n",
        f"inner: {{name: x}}\nkey: !!int {KEY}\n",
    ],
)
def test_a_written_secret_is_in_no_problem(text: str) -> None:
    """Whatever is wrong around it, the value of a secret is not shown."""
    assert KEY not in "\n".join(problems(text))


def test_no_message_holds_more_than_a_line() -> None:
    """Terminals and log lines stay whole, whatever a name or value holds."""
    for problem in problems('inner: {name: x}\n"a\\nb": 1\nmode: "c\\nd"\n'):
        assert re.search(r"[\x00-\x1f\x7f]", problem) is None


def test_a_settings_struct_may_check_itself() -> None:
    """A ValueError of the Struct itself is a problem at its place."""

    class Checked(Struct, frozen=True):
        low: int
        high: int

        def __post_init__(self) -> None:
            if self.low > self.high:
                raise ValueError("`low` is above `high`")

    held = document("a:\n  b: {low: 3, high: 2}\n")
    assert held.decode(held.value["a"]["b"], Checked, ("a", "b")) is None
    assert [str(problem) for problem in held.problems] == ["f.yaml:2:3: `a.b` is wrong: `low` is above `high`"]


@pytest.mark.parametrize("word", ["on", "off", "yes", "no", "On", "NO"])
def test_words_are_no_booleans(word: str) -> None:
    """`on:` is a key of guardrail settings and `no` a country: only true and false are booleans, as in YAML 1.2."""
    assert document(f"{word}: {word}").value == {word: word}
    assert document("a: true\nb: False").value == {"a": True, "b": False}


def test_the_fields_of_a_kind_are_worked_out_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many values of the kind a file has: thousands of deployments are of one."""
    asked: list[Any] = []
    fields = msgspec.structs.fields

    def counted(kind: type[Struct]) -> Any:
        asked.append(kind)
        return fields(kind)

    monkeypatch.setattr(msgspec.structs, "fields", counted)
    assert len(decoded("{inner: {name: a}, many: {a: {name: a}, b: {name: b}, c: {name: c}}}").many) == 3
    assert sorted(kind.__name__ for kind in asked) == ["Inner", "Outer"]


def test_a_document_may_forget() -> None:
    """What was decoded stays as it was; places are no longer known."""
    held = document("many:\n  a: {name: a}\neither: {x: {y: 1}}\n")
    many = held.decode(held.value["many"], dict[str, Inner], ("many",))
    either = held.decode(held.value["either"], dict[str, Any], ("either",))
    assert held.place(("many", "a")) == "f.yaml:2:3"
    held.forget()
    assert (many, either) == ({"a": Inner("a")}, {"x": {"y": 1}})
    assert (held.value, held.place(("many", "a"))) == ({}, "f.yaml:1:1")
