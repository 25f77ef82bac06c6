"""Marks, losses, plots, the page and the gate, from canned data: nothing here measures."""

import asyncio
import random
import tomllib
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gate
import pytest
from driver import Result
from gate import Bounds, Check, compare, least, load_bounds, within
from growth import Growth, Part, load_growth
from marks import Mark, judge, load_marks, losses
from measure import Spread
from metrics import METRICS
from phases import PHASES
from processes import BenchError
from publish import build_page, draw, publish
from report import Machine, Measured, Report, Sample, cpu_medians, cpu_ratios
from stages import PLUGINS, Bench, Cost, Upstream, measure_stages, stage_config
from svg import Bar, Line, LogScale, bar_chart, line_chart
from tables import notes
from targets import Start

ROLES = {"direct": "upstream", "nginx": "reference", "bare": "reference", "all-on": "headgate", "defaults": "headgate"}


def spread(value: float) -> Spread:
    return Spread(10, value, value, value, value * 2, value * 3)


def sample(cpu_us: float, ms: float, errors: dict[str, int] | None = None) -> Sample:
    one = spread(ms)
    result = Result(10, errors or {}, 1.0, 10.0, one, one, one, one, 640, 640)
    return Sample(cpu_us, 0.95, result)


def measured(name: str, cpu_us: float, ms: float, install_mb: float | None = None) -> Measured:
    return Measured(
        about=f"what {name} is",
        role=ROLES.get(name, "peer"),  # pyright: ignore[reportArgumentType] - the values are roles
        floor="direct",
        versions={"x": "1.0"},
        start=Start(0.5, 0.6),
        rss_idle_mb=50,
        rss_loaded_mb=60,
        rss_after_mb=55,
        idle_cpu_ms=1.0,
        exchanges=dict.fromkeys(PHASES, 10),
        streams_per_s=60,
        even_per_s=8,
        samples={phase: [sample(cpu_us, ms), sample(cpu_us * 2, ms)] for phase in PHASES},
        install_mb=install_mb,
    )


def canned(**changes: Measured) -> Report:
    targets = {
        "direct": measured("direct", 5, 1.0),
        "nginx": measured("nginx", 10, 1.1),
        "bare": measured("bare", 100, 1.4),
        "defaults": measured("defaults", 80, 1.3, 54),
        "all-on": measured("all-on", 150, 1.5, 54),
        "portkey": measured("portkey", 1200, 4.0, 12),
        **changes,
    }
    return Report(
        at="2026-01-02T03:04:05+00:00",
        command="make bench",
        seconds=1.0,
        rounds=2,
        chunks=64,
        machine=Machine("a processor", 2, "6.1", "3.11", {"headgate": "0.1.0"}, pinned=True),
        targets=targets,
        not_measured={"litellm": "it is not installed: `make bench-peers`"},
        medians=cpu_medians(targets),
        ratios=cpu_ratios(targets),
    )


def test_shipped_marks_speak_of_shipped_targets() -> None:
    """Every mark has a figure or a share of one, of targets that there are."""
    known = {"defaults", "all-on", "nginx", "prototype", "portkey", "litellm", ""}
    marks = load_marks()
    assert len(marks) >= 15
    assert {name for mark in marks for name in (mark.target, mark.against)} <= known


@pytest.mark.parametrize(
    ("mark", "bound", "seen", "word"),
    [
        (Mark(name="m", metric="cpu.1KB", target="all-on", against="portkey", at_most=0.1), "≤ 1/10", "1/8", "missed"),
        (Mark(name="m", metric="cpu.1KB", target="all-on", against="nginx", at_most=20), "≤ 20.00x", "15.00x", "met"),
        (Mark(name="m", metric="added.p50", target="all-on", at_most=0.35), "≤ 0.35 ms", "0.50 ms", "missed"),
        (Mark(name="m", metric="added.p99", target="all-on", against="portkey", at_most=0.5), "≤ 1/2", "1/6", "met"),
        (Mark(name="m", metric="install", target="defaults", at_most=120), "≤ 120 MB", "54 MB", "met"),
        (
            Mark(name="m", metric="cpu.1KB", target="all-on", against="litellm", at_most=1),
            "≤ 1.00x",
            "-",
            "not measured",
        ),
        (Mark(name="m", metric="rate", target="all-on", at_most=1), "≤ 1 /s", "-", "not measured"),
        (Mark(name="m", scale="streams.stall_ms", at_most=50), "≤ 50", "12.5", "met"),
        (Mark(name="m", scale="other", at_most=50), "≤ 50", "-", "not measured"),
    ],
)
def test_marks_are_judged(mark: Mark, bound: str, seen: str, word: str) -> None:
    """A mark compares within the run; one whose target or figure is missing is said to be not measured."""
    (verdict,) = judge([mark], canned(), Growth(figures={"streams.stall_ms": 12.5}))
    assert (verdict.bound, verdict.measured, verdict.word) == (bound, seen, word)
    assert bool(verdict.reason) == (word == "not measured")


def test_shares_of_cpu_compare_within_a_round() -> None:
    """Rounds of different speed give the same share."""
    slow = measured("portkey", 1500, 4.0)
    mark = Mark(name="m", metric="cpu.stream", target="all-on", against="portkey", at_most=0.1)
    assert judge([mark], canned(portkey=slow), None)[0].is_met is True


def test_mark_without_a_known_figure_is_refused(tmp_path: Path) -> None:
    """A slip in marks.toml is an error and no mark that always holds."""
    (tmp_path / "marks.toml").write_text('[[mark]]\nname = "m"\nmetric = "cpu.2KB"\nat_most = 1.0\n')
    with pytest.raises(BenchError, match="the mark `m` needs one known"):
        load_marks(tmp_path / "marks.toml")


def test_losses_name_who_is_ahead() -> None:
    """Each figure in which another target is better is listed, best first, apart when only one of ours is behind."""
    found = {loss.metric: loss for loss in losses(canned())}
    assert list(found["cpu.1KB"].ahead_of_all) == ["nginx"]
    assert list(found["cpu.1KB"].ahead_of_some) == ["bare"]
    assert list(found["install"].ahead_of_all) == ["portkey"]
    assert found["cpu.1KB"].ours == {"defaults": "120.0 µs", "all-on": "225.0 µs"}
    assert "rss.idle" not in found
    assert set(found) <= set(METRICS)


def test_notes_hide_nothing() -> None:
    """Wrong replies and targets that are missing are printed."""
    broken = measured("portkey", 1200, 4.0)
    broken.samples["stream"][1] = sample(1.0, 1.0, {"status 500": 3})
    said = "\n".join(notes(canned(portkey=broken)))
    assert "wrong: portkey stream: 3 x status 500" in said
    assert "not measured: litellm: it is not installed" in said


@pytest.mark.parametrize("name", ["cpu", "streams", "latency", "growth"])
def test_plots_are_well_formed(name: str) -> None:
    """Each plot is XML, names every target but the upstream, has a dark mode, and is the same when drawn again."""
    text = draw(canned())[name]
    words = "".join(ET.fromstring(text).itertext())
    assert all(target in words for target in ("nginx", "bare", "defaults", "all-on", "portkey"))
    assert ">direct<" not in text
    assert "prefers-color-scheme: dark" in text
    assert text == draw(canned())[name]


def test_charts_take_any_figures() -> None:
    """Nothing, nothing but zero, and names with markup make a chart."""
    for bars in ([], [Bar("<a & b>", 0.0, "0", "peer")], [Bar("x", 0.001, "-0.2", "peer", 1e6)]):
        ET.fromstring(bar_chart('a "title" <&>', "note", bars))
    ET.fromstring(line_chart("t", "n", [], "KB"))
    ET.fromstring(line_chart("t", "n", [Line("a", [(1.0, 5.0)], "5", "peer")], "KB"))


@pytest.mark.parametrize("values", [[0.02, 3.0], [9.1, 17000.0], [120.0, 121.0], [1.0]])
def test_scale_holds_its_values(values: list[float]) -> None:
    """Every value lies between the ends, and there are at least two ticks."""
    scale = LogScale(values, 100, 500)
    assert all(scale.low <= value <= scale.high for value in values)
    assert all(100 <= scale.at(value) <= 500 for value in values)
    assert len(scale.ticks()) >= 2


def test_page_holds_everything(tmp_path: Path) -> None:
    """The page names machine, command and date, and has marks, plots, losses, what is missing, and growth when known."""
    growth = Growth(
        {"cpu": "a processor", "cores": 2}, [Part("Keys", "expected flat", ["keys", "µs"], [["10", 80.5], ["1"]])]
    )
    page = publish(canned(), growth, tmp_path).read_text()
    wanted = ["a processor", "`make bench`", "2026-01-02", "## Marks", "## What we lose", "litellm", "### Keys", "80.5"]
    assert [word for word in wanted if word not in page] == []
    for name in draw(canned()):
        assert f"performance/{name}.svg" in page
        assert (tmp_path / "performance" / f"{name}.svg").exists()
    assert "## Growth" not in build_page(canned(), None)


def test_growth_is_optional(tmp_path: Path) -> None:
    """No file, or one of another form, is no growth; figures are."""
    path = tmp_path / "scale.json"
    assert load_growth(path) is None
    path.write_text("{")
    assert load_growth(path) is None
    path.write_text('{"machine":{"cpu":"x"},"sections":[{"name":"a","note":"b","columns":["c"],"rows":[["1"]]}]}')
    found = load_growth(path)
    assert found is not None
    assert (found.sections[0].table().rows, found.figures) == ([["1"]], {})


def test_bounds_cover_what_is_measured() -> None:
    """bounds.toml has a bound for each figure of the gate."""
    bounds = load_bounds()
    assert set(bounds.stages) == set(bounds.calls) == set(bounds.calls_per_chunk) == {"call", *PLUGINS, "all"}
    assert set(bounds.cpu) == {f"{name} {phase}" for name in ("defaults", "all-on") for phase in ("1KB", "stream")}


def steady(gateway: Path) -> dict[str, float]:
    return {"all-on 1KB": 1.5}


def figures(*values: float) -> Callable[[], dict[str, float]]:
    left = iter(values)
    return lambda: {"all-on 1KB": next(left)}


def test_gate_measures_again_before_it_fails(capsys: pytest.CaptureFixture[str]) -> None:
    """One bad measurement is forgiven when the next one is good; two are not, and a good one is not repeated."""
    bounds = {"all-on 1KB": 2.0}
    assert within("cpu", figures(3.0, 1.5), bounds) == [Check("cpu: all-on 1KB", 1.5, 2.0)]
    assert "measured again" in capsys.readouterr().out
    assert [check.is_over for check in within("cpu", figures(3.0, 2.5), bounds)] == [True]
    assert within("cpu", figures(1.9), bounds)[0].seen == 1.9


def test_gate_refuses_bounds_that_do_not_match() -> None:
    """A figure without a bound would pass unseen, and so would a bound without a figure."""
    with pytest.raises(BenchError, match="`calls` and what is measured differ in log"):
        compare("calls", {"call": 1.0, "log": 1.0}, {"call": 2.0})
    assert least({"a": 1.0, "b": 5.0}, {"a": 2.0, "b": 4.0}) == {"a": 1.0, "b": 4.0}


@pytest.mark.parametrize(("calls", "status"), [(90.0, 0), (101.0, 1)])
def test_gate_exits_by_what_it_saw(
    calls: float, status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An excess ends with status 1 and is named; everything seen stands beside its bound."""
    bounds = tmp_path / "bounds.toml"
    bounds.write_text(
        '[cpu]\n"all-on 1KB" = 2.0\n[stages]\ncall = 9.0\n[calls]\ncall = 100.0\n[calls_per_chunk]\ncall = 9.0\n'
    )
    monkeypatch.setattr(gate, "measure_stages", lambda: {"call": Cost(calls, 8.0, 8.0)})
    monkeypatch.setattr(gate, "measure_cpu", steady)
    monkeypatch.setattr("sys.argv", ["gate.py", "--bounds", str(bounds)])
    with pytest.raises(SystemExit) as caught:
        gate.main()
    told = capsys.readouterr()
    assert caught.value.code == status
    assert "calls: call" in told.out
    assert ("calls: call" in told.err) == (status == 1)


def test_bounds_forbid_unknown_keys(tmp_path: Path) -> None:
    """A slip in bounds.toml is an error."""
    (tmp_path / "bounds.toml").write_text("[cups]\n")
    with pytest.raises(BenchError, match=r"`bounds\.toml`"):
        load_bounds(tmp_path / "bounds.toml")
    assert Bounds({}, {}, {}, {}).cpu == {}
    assert "cpu" in tomllib.loads((Path(gate.__file__).parent / "bounds.toml").read_text())


def test_stages_switch_one_plugin_on_each(tmp_path: Path) -> None:
    """The pipeline of a stage has that stage's plugin and no other."""
    assert stage_config("call", tmp_path)["plugins"] == []
    for stage, plugin in PLUGINS.items():
        (held,) = stage_config(stage, tmp_path)["plugins"]
        assert plugin in held
    assert len(stage_config("all", tmp_path)["plugins"]) == len(PLUGINS)


@pytest.mark.parametrize("noisy", [range(0), range(55, 70), range(95, 96)])
def test_calls_of_something_else_do_not_count(noisy: range) -> None:
    """A timer that runs in one of the rounds changes nothing."""
    numbers = iter(range(1000))

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if next(numbers) in noisy:
            _ = [random.random() + random.uniform(0, 1) for _ in range(100)]
        await send({"type": "http.response.start", "status": 200})

    assert asyncio.run(Bench(app, Upstream(), "call").count_calls()) == 4.0


@pytest.mark.timeout(120)  # a profile of every call, on a machine that may stall
def test_calls_are_the_same_each_time() -> None:
    """Calls of Python functions do not depend on the machine's mood, and every stage adds some."""
    first, second = measure_stages(repeats=3), measure_stages(repeats=3)
    rare = 0.5  # ids are made in batches, so now and then a request has a call more
    again = {name: pytest.approx(cost.calls, abs=rare) for name, cost in second.items()}
    assert {name: cost.calls for name, cost in first.items()} == again
    assert all(cost.calls > 0 for cost in first.values())
