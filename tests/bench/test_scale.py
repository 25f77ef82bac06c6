"""The parts of the scale run work and judge right; nothing here asserts a time."""

import json
import os
from collections.abc import Iterator
from importlib.metadata import distributions
from pathlib import Path

import msgspec
import psutil
import pytest
from driver import Load
from processes import BenchError
from scale import SECTIONS, measure, write
from scale_lab import KEY_HEADERS, Lab, Packages, cpu_us, in_turns, lab, memory, run_load, simple_config
from scale_parts import Machine, Scale, Section, judge_bound, judge_flat, judge_linear, number, render
from scale_pythons import find_python
from scale_request import add_extra_plugins, collections
from scale_state import hang_up, latency_ms, many_deployments, watch, write_keys
from scale_streams import hold
from scale_ticker import ticking
from scale_turns import CASES, VENDORS, measure_turns
from scale_workers import answered_by, workers_of

from headgate_keys.keyfile import decode

HELLO = Section("Hello", "expected flat, flat", ["size", "us"], [["1", "2.00"], ["1,000", "2.01"]])


@pytest.fixture
def small() -> Iterator[Lab]:
    with lab(quick=True) as made:
        yield made


def machine() -> Machine:
    return Machine.from_here(pinned=True)


def test_flat_is_judged_by_ratios_within_rounds() -> None:
    """The first and the last are compared round by round, so that a slow round does not count as growth."""
    steady = {"10": [10.0, 20.0, 10.0], "20": [99.0, 99.0, 99.0], "30": [10.5, 21.0, 10.5]}
    assert judge_flat("cost", steady) == "cost: expected flat, flat: x1.05 from 10 to 30"
    assert "NOT FLAT: x2.00" in judge_flat("cost", {"10": [1.0, 2.0], "20": [2.0, 4.0]})


@pytest.mark.parametrize(
    ("points", "words"),
    [
        ([(1, 11), (10, 20), (100, 110)], "linear or less"),
        ([(1, 11), (10, 20), (100, 30)], "linear or less"),
        ([(1, 1), (10, 10), (100, 1000)], "MORE THAN LINEAR"),
        ([(1, 11), (10, 10), (100, 11)], "too little growth to judge"),
    ],
)
def test_linear_is_judged_by_cost_per_unit(points: list[tuple[float, float]], words: str) -> None:
    """Growth is more than linear when the last step adds more per unit than those before it."""
    assert words in judge_linear("cost", points)


def test_bound_names_what_was_seen() -> None:
    """A bound is judged with its figure beside it."""
    assert judge_bound("stall", 20, 50, "ms") == "stall: expected at most 50 ms, seen: 20.0 ms"
    assert judge_bound("stall", 51, 50, "ms") == "stall: expected at most 50 ms, EXCEEDED: 51.0 ms"


def test_numbers_have_about_three_digits() -> None:
    """Small figures keep decimals and large ones lose them."""
    assert [number(value) for value in (1.2345, 12.345, 12345.6)] == ["1.23", "12.3", "12,346"]


def test_section_is_rendered_with_all_its_cells() -> None:
    """The terminal's table has name, note, columns and every row."""
    assert render(HELLO).splitlines() == [
        "Hello",
        "expected flat, flat",
        "  size     us",
        "  1      2.00",
        "  1,000  2.01",
    ]


def test_rows_are_as_wide_as_the_columns() -> None:
    """A row with a cell too few is an error where it is made."""
    with pytest.raises(ValueError, match="`x` has rows that are not as wide"):
        Section("x", "", ["a", "b"], [["1"]])


def test_partial_run_keeps_other_sections(tmp_path: Path) -> None:
    """Sections that a run leaves out stay in the file when they are of the same machine, and only then."""
    path = tmp_path / "scale.json"
    write(Scale(machine(), [HELLO]), path)
    write(Scale(machine(), [msgspec.structs.replace(HELLO, name="Other")]), path)
    assert [section["name"] for section in json.loads(path.read_bytes())["sections"]] == ["Hello", "Other"]
    write(Scale(msgspec.structs.replace(machine(), cpu="another"), [HELLO]), path)
    assert [section["name"] for section in json.loads(path.read_bytes())["sections"]] == ["Hello"]


def test_written_form_is_what_the_page_reads(tmp_path: Path) -> None:
    """The file has a machine, and sections of name, note, columns and rows as wide as the columns."""
    path = tmp_path / "scale.json"
    write(Scale(machine(), [HELLO]), path)
    written = json.loads(path.read_bytes())
    assert set(written) == {"machine", "sections", "figures"}
    assert set(written["sections"][0]) == {"name", "note", "columns", "rows", "figures"}


def test_figures_of_all_sections_are_told(tmp_path: Path) -> None:
    """What marks are held against stands beside the sections, also from those that an earlier run made."""
    path = tmp_path / "scale.json"
    write(Scale(machine(), [msgspec.structs.replace(HELLO, figures={"a": 1.5})]), path)
    write(Scale(machine(), [msgspec.structs.replace(HELLO, name="Other", figures={"b": 2.0})]), path)
    assert json.loads(path.read_bytes())["figures"] == {"a": 1.5, "b": 2.0}


def test_every_section_of_the_task_is_there() -> None:
    """All eight sections can be asked for by name."""
    assert list(SECTIONS) == [
        "workers",
        "bodies",
        "plugins",
        "keys",
        "deployments",
        "streams",
        "turns",
        "pythons",
        "gc",
    ]


def test_no_section_is_no_run() -> None:
    """A run of no sections has none."""
    assert measure([], quick=True).sections == []


def test_conversations_are_translated_for_every_vendor(small: Lab) -> None:
    """The whole section, with conversations of a few turns."""
    section, pieces = measure_turns(small, (1, 2, 3))
    asked = {(row[0], row[2]) for row in section.rows}
    assert {case for case, _ in asked} == set(CASES)
    assert {name for _, name in asked} == set(VENDORS)
    assert "openai.chat" in {row[0] for row in pieces.rows}


def test_packages_are_found_as_installed_ones(tmp_path: Path) -> None:
    """A package of the run is a distribution with entry points, as any installed one."""
    Packages(tmp_path).add("bench-x", {"x": "x_module:X"}, "x_module", "class X: pass\n")
    (found,) = distributions(path=[str(tmp_path)])
    assert [(point.group, point.name, point.value) for point in found.entry_points] == [
        ("headgate.plugins", "x", "x_module:X")
    ]


def test_keys_are_written_as_the_plugin_reads_them(tmp_path: Path) -> None:
    """The file of keys has as many keys as asked for, all different."""
    (tmp_path / "secret").write_text("s" * 60)
    file = decode(write_keys(tmp_path, 2500).read_bytes())
    assert len({key.digest for key in file.keys}) == len({key.name for key in file.keys}) == 2500


def test_lab_stops_what_it_started_and_gives_the_cores_back() -> None:
    """After a lab, also one that failed, its servers are gone and this process may use its cores again."""
    before = os.sched_getaffinity(0)
    pids: list[int] = []

    def fail() -> None:
        with lab(quick=True) as made:
            pids.append(made.upstream().child.process.pid)
            raise BenchError("failed")

    with pytest.raises(BenchError, match="failed"):
        fail()
    assert not psutil.pid_exists(pids[0])
    assert os.sched_getaffinity(0) == before


def test_wrong_reply_fails_the_run(small: Lab) -> None:
    """A figure is never taken from replies that were wrong."""
    upstream = small.upstream()
    with pytest.raises(BenchError, match="gave wrong replies"):
        run_load(upstream, Load(port=upstream.port, count=2, connections=1, path="/nothing"))


def test_servers_are_metered_in_turns(small: Lab) -> None:
    """Each server has a figure for each round, and memory that can be read."""
    servers = [small.upstream(), small.upstream()]
    taken = in_turns(servers, 2, lambda server: server.load(20), warm=10)
    assert {name: len(values) for name, values in taken.items()} == {server.name: 2 for server in servers}
    assert cpu_us(servers[0], servers[0].load(20)) > 0
    held = memory(psutil.Process(servers[0].child.process.pid))
    assert held.rss >= held.pss >= held.uss > 0


def test_streams_are_held_and_counted(small: Lab) -> None:
    """Streams held at one time arrive whole, and nothing of the server's probe is needed for it."""
    upstream = small.upstream(chunks=20, gap_ms=50)
    held = hold(upstream, 10, gap_ms=50, ramp_s=0.2, hold_s=0.8, model="bench")
    assert (held.result.completed, held.result.records) == (10, 200)
    assert held.collections_ms == []


def test_gateway_is_watched_while_it_changes(small: Lab) -> None:
    """A stream goes on ticking in order while the gateway reloads, and probe and extra plugins are found by it."""
    add_extra_plugins(small)
    upstream, ticks = small.upstream(), small.upstream(1_000_000, 5)
    folder = small.server_folder("gateway")
    plugins = [
        {"probe": {"path": str(folder / "collections")}},
        {"count": {"folder": str(folder)}},
        "cheap-1",
        "idle-1",
    ]
    config = many_deployments(simple_config(upstream, ticks, plugins=plugins), 3, upstream, "sk-one")
    gateway = small.gateway("gateway", config, KEY_HEADERS)
    with ticking(gateway, "bench1") as ticker:
        stalls = watch(ticker, gateway, "configuration reloaded", lambda: hang_up(gateway))
    assert stalls.during_ms > 0
    assert latency_ms(gateway, "alias-00001", count=1) > 0
    assert [process.pid for process in workers_of(gateway)] == [gateway.child.process.pid]
    assert sum(answered_by(gateway).values()) > 0
    assert len(collections(gateway)) > 0


def test_broken_watch_is_an_error(small: Lab) -> None:
    """Without a stream there is nothing to watch, which is said."""
    upstream = small.upstream(chunks=1)
    with pytest.raises(BenchError, match="no stream from"), ticking(upstream, timeout_s=0.2):
        pass


def test_unknown_python_is_not_found() -> None:
    """A version that is nowhere has no interpreter."""
    assert find_python("3.99") is None
