"""Loading a configuration: everything decoded, every problem found, and never another exception than StartupError."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from core.tests.loading import (
    FOLDER,
    INSTALLED,
    KEY,
    Bringer,
    Brought,
    Guard,
    Local,
    Needy,
    Plain,
    Point,
    load,
    problems,
)
from hypothesis import example, given, settings
from hypothesis import strategies as st

from headgate.config import Installed, Loaded, load_file, load_text
from headgate.config.installed import PLUGINS, PROVIDERS
from headgate.errors import Problem, StartupError
from headgate.hooks import Hooks
from headgate.secret import Secret

# what is loaded


def test_an_empty_file_has_the_defaults() -> None:
    """Loopback, the usual port, keys, no plugins."""
    held = load("")
    assert (held.config.server.host, held.config.server.port, held.config.server.workers) == ("127.0.0.1", 8787, 1)
    assert (held.config.auth.mode, held.config.state, held.plugins, held.deployments) == ("keys", "memory", (), {})
    assert held.state_dir == FOLDER / ".headgate"


def test_plugins_in_their_order() -> None:
    """Names alone, with settings, and with settings that are all commented out."""
    held = load("plugins:\n  - plain\n  - guard: {words: [a], token: literal}\n  - needy:\n      path: x\n")
    assert [(entry.name, entry.kind, entry.settings) for entry in held.plugins] == [
        ("plain", Plain, None),
        ("guard", Guard, Guard.Config(["a"], Secret("literal"))),
        ("needy", Needy, Needy.Config("x")),
    ]
    assert load("plugins: [guard]").plugins[0].settings == Guard.Config()
    assert load("plugins:\n  - guard:\n").plugins[0].settings == Guard.Config()
    created = held.plugins[1].create()
    assert isinstance(created, Guard)
    assert created.config.words == ["a"]
    assert held.plugins[1].create() is not created


def test_deployments_by_name() -> None:
    """Each with its provider's own settings, secrets resolved."""
    held = load("""
providers:
  main: {provider: vendor, api_key: literal, headers: {x-team: secret}, timeouts: {gap_s: 5}, models: [a, b]}
  own: {provider: local, size: 3, base_url: "http://127.0.0.1:8000"}
""")
    main, own = held.deployments["main"], held.deployments["own"]
    assert (main.api_key, main.headers, main.timeouts.gap_s, main.models) == (
        Secret("literal"),
        {"x-team": Secret("secret")},
        5.0,
        ["a", "b"],
    )
    assert isinstance(own, Local.Config)
    assert own.size == 3


def test_a_provider_may_come_from_a_plugin() -> None:
    """What an enabled plugin brings can be deployed; what a disabled one would bring cannot."""
    assert load("plugins: [bringer]\nproviders: {x: {provider: brought}}").deployments["x"].provider == "brought"
    assert "`brought` is not installed" in problems("providers: {x: {provider: brought}}")[0]


def test_the_digest_tells_files_apart() -> None:
    """The same text has the same digest."""
    assert load("state: a").digest == load("state: a").digest != load("state: b").digest


@pytest.mark.parametrize("text", ["state: a", "stat: a", "a: ["])
@pytest.mark.parametrize("enabled", [True, False])
def test_the_collector_is_left_as_it_was(text: str, enabled: bool) -> None:
    """It waits while a file is loaded, and runs again when it ran before, whether the file is good or not."""
    was_enabled = gc.isenabled()
    (gc.enable if enabled else gc.disable)()
    try:
        with contextlib.suppress(StartupError):
            load(text)
        assert gc.isenabled() is enabled
    finally:
        (gc.enable if was_enabled else gc.disable)()


def test_a_file_is_loaded_with_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Relative paths start where the file is, wherever the process runs."""
    (tmp_path / "key").write_text(KEY)
    path = tmp_path / "headgate.yaml"
    path.write_text("providers: {v: {provider: vendor, api_key: file:key}}\nstate_dir: held\n")
    monkeypatch.chdir("/")
    held = load_file(path, INSTALLED)
    assert held.deployments["v"].api_key == Secret(KEY)
    assert (held.state_dir, held.path) == (tmp_path / "held", path)


@pytest.mark.parametrize(("content", "words"), [(None, "No such file"), (b"\xff", "it is not UTF-8 text")])
def test_a_file_that_cannot_be_read(tmp_path: Path, content: bytes | None, words: str) -> None:
    """The path and the reason."""
    path = tmp_path / "headgate.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(StartupError) as caught:
        load_file(path, INSTALLED)
    assert str(caught.value) == f"{path}: cannot be read: {words}" + (" or directory" if content is None else "")


def test_the_sample_file_loads() -> None:
    """The file that `headgate init` writes is valid as it stands."""
    held = load(files("headgate.config").joinpath("headgate.yaml").read_text("utf-8"))
    assert [entry.name for entry in held.plugins] == ["keys", "responses", "cache-memory", "router-standard"]


def test_the_sample_file_loads_with_its_examples(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is commented out in the sample, taken in, has no unknown key."""
    text = files("headgate.config").joinpath("headgate.yaml").read_text("utf-8")
    lines = [line.replace("# ", "", 1) if line.lstrip().startswith("# ") else line for line in text.splitlines()]
    settings = [line for line in lines if line.startswith(("  ", "limits:", "budgets:")) or line.endswith(":")]
    found = [line for line in settings if "provider: openai" not in line and "provider: groq" not in line]
    with pytest.raises(StartupError) as caught:
        load("\n".join(line for line in found if "provider: vllm" not in line))
    shown = [str(problem) for problem in caught.value.problems]
    assert all("is not installed" in problem for problem in shown), shown


# problems


def test_every_problem_is_listed_with_its_line() -> None:
    """Sections, plugins, deployments and limits: all mistakes of a file at once, in its order."""
    found = problems("""\
server: {prot: 1, workers: 0}
auth: {mode: opn}
plugins:
  - gaurd
  - guard: {wrods: [], limit: x}
  - needy
  - plain: {a: 1}
  - plain
  - {a: 1, b: 2}
  - 5
providers:
  one: {provider: vendr}
  two: {api_key: x}
  three: 5
  a/b: {provider: vendor}
  four: {provider: vendor, api_key: env:NOT_SET_ANYWHERE, timeouts: {gap: 1}}
limits: {body_bytes: {chatt: 1}, in_flight: many}
stat: memory
""")
    shown = "\n".join(found)
    for words in (
        "f.yaml:1:10: `server.prot` is not known (did you mean `port`?)",
        "f.yaml:2:8: `auth.mode` must be one of `keys`, `open`, `passthrough`, not `opn` (did you mean `open`?)",
        "f.yaml:4:5: `plugins[0]` plugin `gaurd` is not installed (did you mean `guard`?)",
        "f.yaml:5:13: `plugins[1].guard.wrods` is not known (did you mean `words`?)",
        "f.yaml:5:24: `plugins[1].guard.limit` is wrong: expected `int`, got `str`",
        "`plugins[2].needy` needs `path`",
        "f.yaml:7:5: `plugins[3].plain` has no settings",
        "f.yaml:8:5: `plugins[4]` enables `plain` a second time",
        "f.yaml:9:5: `plugins[5]` must be a name",
        "f.yaml:10:5: `plugins[6]` must be a name",
        "f.yaml:12:9: `providers.one.provider` `vendr` is not installed (did you mean `vendor`?)",
        "f.yaml:13:3: `providers.two` needs `provider`",
        "f.yaml:14:3: `providers.three` needs `provider`",
        "f.yaml:15:3: `providers.a/b` is no name for a deployment",
        "f.yaml:16:28: `providers.four.api_key` refers to the environment variable `NOT_SET_ANYWHERE`",
        "`providers.four.timeouts.gap` is not known (did you mean `gap_s`?)",
        "f.yaml:17:34: `limits.in_flight` is wrong",
        "f.yaml:18:1: `stat` is not known (did you mean `state`?)",
    ):
        assert words in shown, words


def test_problems_come_in_the_order_of_the_file() -> None:
    """Somebody who mends a file goes through it once."""
    found = problems("stat: 1\nproviders: {a: {provider: x}}\nplugins: [y]\nserver: {prot: 1}\nauth: {mode: z}\n")
    lines = [int(problem.split(":")[1]) for problem in found]
    assert lines == sorted(lines) == [1, 2, 3, 4, 5]


def test_a_wrong_operation_is_found_beside_other_mistakes() -> None:
    """One mistake does not hide another."""
    shown = "\n".join(problems("limits: {body_bytes: {chatt: 1}}\nserver: {prot: 1}\n"))
    assert "`limits.body_bytes.chatt` is no operation (did you mean `chat`?)" in shown
    assert "`server.prot` is not known" in shown


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("server: {port: -1}", "server.port"),
        ("server: {port: 65536}", "server.port"),
        ("server: {workers: 0}", "server.workers"),
        ("server: {drain_s: -1}", "server.drain_s"),
        ("server: {drain_s: .nan}", "server.drain_s"),
        ("server: {drain_delay_s: -1}", "server.drain_delay_s"),
        ("limits: {header_s: 0}", "limits.header_s"),
        ("limits: {header_bytes: 0}", "limits.header_bytes"),
        ("limits: {body_stall_s: -1}", "limits.body_stall_s"),
        ("limits: {reader_stall_s: .inf}", "limits.reader_stall_s"),
        ("limits: {connections: 0}", "limits.connections"),
        ("limits: {in_flight: 0}", "limits.in_flight"),
        ("limits: {inflight_bytes: -5}", "limits.inflight_bytes"),
        ("limits: {body_bytes: {chat: 0}}", "limits.body_bytes.chat"),
        ("budgets: {plain.admit: 0}", "budgets.plain.admit"),
        ("budgets: {plain.admit: -1}", "budgets.plain.admit"),
        ("providers: {v: {provider: local, timeouts: {gap_s: 0}}}", "providers.v.timeouts.gap_s"),
        ("providers: {v: {provider: local, timeouts: {total_s: -1}}}", "providers.v.timeouts.total_s"),
        ("providers: {v: {provider: local, timeouts: {connect_s: .nan}}}", "providers.v.timeouts.connect_s"),
    ],
)
def test_numbers_that_stop_the_gateway_are_refused(text: str, place: str) -> None:
    """A limit or time of nothing, or below, would refuse every request: that is a mistake, told at start."""
    assert f"`{place}`" in "\n".join(problems(text))


def test_a_plugin_that_fails_to_name_its_providers_is_a_problem() -> None:
    """A plugin's own error while loading is told as a problem with the plugin's name."""
    assert "breaker" in "\n".join(problems("plugins: [breaker]\nproviders: {x: {provider: brought}}"))


def test_a_provider_claimed_by_plugin_and_package() -> None:
    """Two that claim one name are a problem."""
    kinds = Installed([Point("bringer", PLUGINS, Bringer), Point("brought", PROVIDERS, Brought)])
    with pytest.raises(StartupError, match="`brought` is claimed by plugin `bringer` and a package"):
        load_text("plugins: [bringer]\nproviders: {x: {provider: brought}}", "f", FOLDER, kinds)


def test_a_constructor_that_refuses_is_a_problem() -> None:
    """Whatever a plugin's constructor raises becomes a StartupError with its name; its own StartupError passes."""
    entry = load("plugins: [guard: {limit: -1}]").plugins[0]
    with pytest.raises(StartupError, match="plugin `guard` cannot be created: ValueError: `limit` is below 0"):
        entry.create()

    class Refusing(Hooks):
        def __init__(self) -> None:
            raise StartupError([Problem("mine")])

    with pytest.raises(StartupError, match=r"^mine$"):
        type(entry)("x", Refusing, None, "", "").create()


SECRETS = f"""
plugins: [guard: {{token: {KEY}}}]
providers: {{v: {{provider: vendor, api_key: {KEY}, headers: {{x-a: {KEY}}}}}}}
"""


def test_no_secret_is_in_what_was_loaded() -> None:
    """Printed or logged, a loaded configuration shows stars where keys are."""
    held = load(SECRETS)
    for shown in (repr(held), repr(held.config), repr(held.plugins), repr(held.deployments), str(held.document)):
        assert KEY not in shown


@pytest.mark.parametrize("mistake", ["stat: 1", "plugins: x", "providers: {w: {provider: x}}", "a: [", "server: 5"])
def test_no_secret_is_in_a_problem(mistake: str) -> None:
    """Whatever else is wrong with a file that holds keys, they are not shown."""
    assert KEY not in "\n".join(problems(SECRETS + mistake))


# any file


GOOD = """\
server: {host: 127.0.0.1, port: 0, workers: 2, drain_s: 1.5}
auth: {mode: open}
plugins:
  - plain
  - guard: {words: [a, b], limit: 3}
providers:
  main: &main {provider: vendor, api_key: literal, timeouts: {gap_s: 5}}
  other: {<<: *main, models: [x]}
models:
  fast: main/a
  smart: {strategy: {mode: fallback}, targets: [main/a, other/b]}
limits: {body_bytes: {chat: 100}, in_flight: 5}
budgets: {guard.admit: 1}
"""
NOISE = st.sampled_from(
    [*"{}[]:-,&*!#|>'\"%@` \n\t~?", "  ", ": ", "- ", "5", "null", "\x00", "é", "!!bool ", "*main", "&main "]
)


@st.composite
def mutated(draw: st.DrawFn) -> str:
    """The good file with a few places cut out, doubled or overwritten."""
    text = GOOD
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 12)))
        text = text[:start] + draw(NOISE | st.just(text[start:end] * 2)) + text[end:]
    return text


def check(text: str) -> None:
    found: Sequence[Problem] = ()
    try:
        held = load(text)
    except StartupError as error:
        found = error.problems
    else:
        assert isinstance(held, Loaded)
        return
    assert found
    assert all("\n" not in str(problem) for problem in found)


@settings(max_examples=300, deadline=None)
@given(mutated())
def test_a_mutated_file_is_loaded_or_refused(text: str) -> None:
    """Typing mistakes of every kind end in a configuration or in StartupError."""
    check(text)


@settings(deadline=None)
@given(st.text(st.characters(codec="utf-8")))
@example("plugins: [!!bool x]")
@example("models: &a {x: *a}")
@example("providers: {x: {provider: [a]}}")
@example("plugins: [guard: {token: 'file:\\0'}]")
@example('plugins: [guard: {token: "file:\\0"}]')
@example("? {a: 1}\n: 1")
@example("providers: {1: {provider: vendor}, ~: ~}")
def test_garbage_is_refused(text: str) -> None:
    """Any text at all."""
    check(text)


ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4) | st.integers(), inner, max_size=3),
    max_leaves=6,
)
SECTIONS = st.sampled_from(
    ["server", "auth", "plugins", "providers", "models", "limits", "budgets", "state", "state_dir"]
)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(SECTIONS, ODD | st.dictionaries(st.sampled_from(["main", "guard", "body_bytes"]), ODD)))
def test_any_values_are_loaded_or_refused(data: dict[str, Any]) -> None:
    """Well-formed files whose sections hold anything."""
    import yaml

    check(yaml.safe_dump(data, allow_unicode=True))
