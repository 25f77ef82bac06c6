"""Charts as small SVG files: readable on light and dark pages, and the same bytes for the same figures."""

import math
from xml.sax.saxutils import escape, quoteattr

import msgspec

WIDTH = 760
_LEFT, _RIGHT, _TOP = 120, 92, 62
_ROW = 28
_BAR = 16
_AXIS, _NAMES = 68, 190

_STYLE = """
text { font: 13px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; fill: #1f2328 }
.title { font-size: 15px; font-weight: 600 }
.note, .tick { font-size: 12px; fill: #59636e }
.grid { stroke: #d1d9e0; stroke-width: 1 }
.headgate { fill: #0969da; stroke: #0969da }
.peer { fill: #9a6700; stroke: #9a6700 }
.reference { fill: #8c959f; stroke: #8c959f }
.line { fill: none; stroke-width: 2 }
text.headgate, text.peer, text.reference { stroke: none }
@media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc }
  .note, .tick { fill: #9198a1 }
  .grid { stroke: #3d444d }
  .headgate { fill: #4493f8; stroke: #4493f8 }
  .peer { fill: #d29922; stroke: #d29922 }
  .reference { fill: #7d8590; stroke: #7d8590 }
  .line { fill: none }
}
"""


class Bar(msgspec.Struct, frozen=True):
    """A row of a chart: its value, and the end of its range where it has one. `kind` is a colour: a target's role."""

    name: str
    value: float
    text: str
    kind: str
    end: float | None = None


class Line(msgspec.Struct, frozen=True):
    """A series of (x, y), both positive."""

    name: str
    points: list[tuple[float, float]]
    text: str
    kind: str


class LogScale:
    """Maps positive numbers to pixels; the ends are powers of ten or a third of them around what it is made for."""

    def __init__(self, values: list[float], start: float, end: float) -> None:
        positive = [value for value in values if value > 0] or [1.0, 10.0]
        self.low = _floor_nice(min(positive))
        self.high = max(_ceil_nice(max(positive)), self.low * 10)
        self.start, self.end = start, end

    def at(self, value: float) -> float:
        """The pixel of a value; what is smaller than the scale lies on its edge."""
        if self.low == self.high:
            return self.start
        held = min(max(value, self.low), self.high)
        share = math.log(held / self.low) / math.log(self.high / self.low)
        return self.start + share * (self.end - self.start)

    def ticks(self) -> list[float]:
        """Powers of ten, and 3 between them where there are few."""
        first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
        steps = (1.0, 3.0) if last - first <= 3 else (1.0,)
        found = [step * 10.0**power for power in range(first, last + 1) for step in steps]
        return [tick for tick in found if self.low * 0.999 <= tick <= self.high * 1.001]


def _floor_nice(value: float) -> float:
    power = 10.0 ** math.floor(math.log10(value))
    return 3 * power if value >= 3.6 * power else power


def _ceil_nice(value: float) -> float:
    power = 10.0 ** math.floor(math.log10(value))
    return 3 * power if value <= 2.8 * power else 10 * power


def _page(title: str, note: str, height: float, parts: list[str]) -> str:
    size = f'viewBox="0 0 {WIDTH} {height:.0f}" width="{WIDTH}" height="{height:.0f}"'
    label = quoteattr(title)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label={label}>',
            f"<style>{_STYLE}</style>",
            _text(16, 24, title, "title"),
            _text(16, 44, note, "note"),
            *parts,
            "</svg>",
            "",
        ]
    )


def _text(x: float, y: float, words: str, kind: str = "", anchor: str = "start") -> str:
    held = f' class="{kind}"' if kind else ""
    place = "" if anchor == "start" else f' text-anchor="{anchor}"'
    return f'<text x="{x:.1f}" y="{y:.1f}"{held}{place}>{escape(words)}</text>'


def _rule(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line class="grid" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def bar_chart(title: str, note: str, bars: list[Bar]) -> str:
    """Horizontal bars on a logarithmic scale; a bar with an end is a range between two dots."""
    values = [value for bar in bars for value in (bar.value, bar.end) if value is not None]
    scale = LogScale(values, _LEFT, WIDTH - _RIGHT)
    bottom = _TOP + _ROW * len(bars)
    parts: list[str] = []
    for tick in scale.ticks():
        parts.append(_rule(scale.at(tick), _TOP - 4, scale.at(tick), bottom))
        parts.append(_text(scale.at(tick), bottom + 16, f"{tick:,g}", "tick", "middle"))
    for at, bar in enumerate(bars):
        parts += _row(bar, scale, _TOP + _ROW * at + _ROW / 2)
    return _page(title, note, bottom + 28, parts)


def _row(bar: Bar, scale: LogScale, middle: float) -> list[str]:
    start, reach = scale.at(bar.value), scale.at(bar.value if bar.end is None else bar.end)
    name = _text(_LEFT - 10, middle + 4.5, bar.name, bar.kind if bar.kind == "headgate" else "", "end")
    words = _text(max(start, reach) + 9, middle + 4.5, bar.text)
    if bar.end is None:
        width = max(start - _LEFT, 2)
        return [
            name,
            f'<rect class="{bar.kind}" x="{_LEFT}" y="{middle - _BAR / 2:.1f}" width="{width:.1f}" height="{_BAR}" rx="2"/>',
            words,
        ]
    return [
        name,
        f'<line class="{bar.kind} line" x1="{start:.1f}" y1="{middle:.1f}" x2="{reach:.1f}" y2="{middle:.1f}"/>',
        f'<circle class="{bar.kind}" cx="{start:.1f}" cy="{middle:.1f}" r="5"/>',
        f'<rect class="{bar.kind}" x="{reach - 2:.1f}" y="{middle - 7:.1f}" width="4" height="14"/>',
        words,
    ]


def line_chart(title: str, note: str, lines: list[Line], unit: str) -> str:
    """Series on two logarithmic scales, each named at its end."""
    height = 400.0
    xs = [x for line in lines for x, _ in line.points]
    across = LogScale(xs, _AXIS, WIDTH - _NAMES)
    across.low, across.high = min(xs, default=1.0), max(xs, default=10.0)
    up = LogScale([y for line in lines for _, y in line.points], height - 36, _TOP)
    parts: list[str] = []
    for tick in up.ticks():
        parts.append(_rule(_AXIS, up.at(tick), WIDTH - _NAMES, up.at(tick)))
        parts.append(_text(_AXIS - 8, up.at(tick) + 4, f"{tick:,g}", "tick", "end"))
    parts += [_text(across.at(x), height - 14, f"{x:g} {unit}", "tick", "middle") for x in sorted(set(xs))]
    ends = _spread([up.at(line.points[-1][1]) for line in lines])
    for line, end in zip(lines, ends, strict=True):
        places = [(across.at(x), up.at(y)) for x, y in line.points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        parts.append(f'<polyline class="{line.kind} line" points="{path}"/>')
        parts += [f'<circle class="{line.kind}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in places]
        parts.append(_text(WIDTH - _NAMES + 10, end + 4, f"{line.name}  {line.text}", line.kind))
    return _page(title, note, height, parts)


def _spread(places: list[float], apart: float = 16.0) -> list[float]:
    """Move labels down until none covers another."""
    found = list(places)
    last = -math.inf
    for at in sorted(range(len(places)), key=lambda one: places[one]):
        found[at] = last = max(places[at], last + apart)
    return found
