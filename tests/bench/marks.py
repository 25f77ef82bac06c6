"""Holds a run against the marks of `marks.toml`, and lists every figure in which another target is ahead."""

import tomllib
from pathlib import Path

import msgspec
from growth import Growth
from manifests import Role
from metrics import METRICS, share_of, shown, value_of
from processes import BenchError
from report import Report

_FILE = Path(__file__).parent / "marks.toml"


class Mark(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A bound on a figure of a target, or on its share of the same figure of `against`.

    `scale` names a figure of `.bench/scale.json` instead. `note` says what a reader should know of a miss.
    """

    name: str
    at_most: float
    metric: str = ""
    target: str = ""
    against: str = ""
    scale: str = ""
    note: str = ""


class Verdict(msgspec.Struct, frozen=True):
    """A mark and what was measured; without a figure, or for a miss, `reason` says why."""

    name: str
    bound: str
    measured: str
    is_met: bool | None
    reason: str = ""

    @property
    def word(self) -> str:
        """The verdict in one word or two."""
        return {True: "met", False: "missed", None: "not measured"}[self.is_met]


class Loss(msgspec.Struct, frozen=True):
    """A figure of ours, by target, and who is ahead of all of ours or only of some, best first."""

    metric: str
    ours: dict[str, str]
    ahead_of_all: dict[str, str]
    ahead_of_some: dict[str, str]


class _Marks(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    mark: list[Mark]


def load_marks(path: Path = _FILE) -> list[Mark]:
    """The marks; raises BenchError for one that nothing can be held against."""
    try:
        marks = msgspec.convert(tomllib.loads(path.read_text()), _Marks).mark
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise BenchError(f"`{path.name}`: {error}") from None
    for mark in marks:
        if bool(mark.scale) == bool(mark.metric) or (mark.metric and mark.metric not in METRICS):
            raise BenchError(f"`{path.name}`: the mark `{mark.name}` needs one known `metric` or `scale`")
    return marks


def judge(marks: list[Mark], report: Report, scale: Growth | None) -> list[Verdict]:
    """Each mark with what was measured."""
    return [_judge_scale(mark, scale) if mark.scale else _judge(mark, report) for mark in marks]


def _judge(mark: Mark, report: Report) -> Verdict:
    if mark.against:
        value = share_of(report, mark.target, mark.against, mark.metric)
        bound, seen = _share(mark.at_most), "" if value is None else _share(value)
    else:
        value = value_of(report, mark.target, mark.metric)
        bound, seen = shown(mark.metric, mark.at_most), "" if value is None else shown(mark.metric, value)
    if value is None:
        return Verdict(mark.name, f"≤ {bound}", "-", None, _why(mark, report))
    is_met = value <= mark.at_most
    return Verdict(mark.name, f"≤ {bound}", seen, is_met, "" if is_met else mark.note)


def _why(mark: Mark, report: Report) -> str:
    absent = [name for name in (mark.target, mark.against) if name and name not in report.targets]
    return f"`{absent[0]}` was not measured" if absent else "not taken in this run"


def _share(value: float) -> str:
    return f"1/{1 / value:.3g}" if 0 < value < 0.9 else f"{value:.2f}x"


def _judge_scale(mark: Mark, scale: Growth | None) -> Verdict:
    value = scale.figures.get(mark.scale) if scale else None
    bound = f"≤ {mark.at_most:g}"
    if value is None:
        return Verdict(mark.name, bound, "-", None, "`make bench-scale` measures it")
    return Verdict(mark.name, bound, f"{value:.4g}", value <= mark.at_most)


def losses(report: Report) -> list[Loss]:
    """Every figure in which a target that is not ours is ahead of one that is."""
    found: list[Loss] = []
    for metric, kind in METRICS.items():
        ours = _values(report, metric, {"headgate"})
        if not ours:
            continue
        sign = -1 if kind.is_higher_better else 1
        others = sorted((sign * value, name) for name, value in _values(report, metric, {"reference", "peer"}).items())
        best, worst = (pick(sign * value for value in ours.values()) for pick in (min, max))
        beating = {name: shown(metric, sign * value) for value, name in others if value < best}
        partly = {name: shown(metric, sign * value) for value, name in others if best <= value < worst}
        if beating or partly:
            held = {name: shown(metric, value) for name, value in ours.items()}
            found.append(Loss(metric, held, beating, partly))
    return found


def _values(report: Report, metric: str, roles: set[Role]) -> dict[str, float]:
    names = [name for name, measured in report.targets.items() if measured.role in roles]
    return {name: value for name in names if (value := value_of(report, name, metric)) is not None}
