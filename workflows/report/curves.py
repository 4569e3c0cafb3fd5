"""Curves over steps as SVG: long ones drawn as means with their range, breaks left open."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import NamedTuple

WIDTH, HEIGHT = 640, 180
_BINS = 240
"""Points a curve is drawn with, at most; more would lie closer than a screen shows."""


class Point(NamedTuple):
    """One value of a curve."""

    step: int
    value: float


@dataclass(frozen=True)
class Curve:
    """A named series; `look` is its class in report.css."""

    name: str
    points: Sequence[Point]
    look: str = "one"


@dataclass(frozen=True)
class Mark:
    """Something that happened at a step: drawn as a line, told as text."""

    step: int
    text: str
    look: str


def figure(
    title: str,
    curves: Sequence[Curve],
    marks: Sequence[Mark] = (),
    *,
    note: str = "",
    logarithmic: bool = False,
) -> str:
    """Return one figure, or nothing where no curve has a finite value.

    The axis of a logarithmic figure leaves values of 0 and below out.
    """
    shown = [
        Curve(curve.name, _drawable(curve.points, logarithmic), curve.look) for curve in curves
    ]
    shown = [curve for curve in shown if curve.points]
    if not shown:
        return ""
    values = [point.value for curve in shown for point in curve.points]
    last = max(point.step for curve in shown for point in curve.points)
    frame = _Frame(min(values), max(values), max(1, last), math.log if logarithmic else float)
    drawn = "".join(_draw(curve, frame) for curve in shown)
    lines = "".join(
        f'<line class="{mark.look}" x1="{frame.x(mark.step):.1f}" x2="{frame.x(mark.step):.1f}" '
        f'y1="0" y2="{HEIGHT}"><title>{escape(mark.text)}</title></line>'
        for mark in marks
    )
    legend = "".join(
        f'<span class="key {curve.look}">{escape(curve.name)}: {short(curve.points[-1].value)}'
        "</span>"
        for curve in shown
    )
    ends = "; ".join(
        f"{curve.name} from {short(curve.points[0].value)} to {short(curve.points[-1].value)}"
        for curve in shown
    )
    label = f"{title} over {last + 1:,} steps: {ends}"
    scale = ", logarithmic" if logarithmic else ""
    return (
        f'<figure class="curve"><figcaption>{escape(title)}'
        f'<span class="quiet">{escape(note)}{scale}</span>{legend}</figcaption>'
        f'<p class="axis"><span>{short(frame.high)}</span></p>'
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(label)}" '
        f'preserveAspectRatio="none">{drawn}{lines}</svg>'
        f'<p class="axis"><span>{short(frame.low)}</span><span>step {last:,}</span></p></figure>'
    )


def short(value: float) -> str:
    """Return a figure as a person reads it."""
    if not math.isfinite(value):
        return str(value)
    if value and not 1e-3 <= abs(value) < 1e6:
        return f"{value:.3g}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


@dataclass(frozen=True)
class _Frame:
    """From steps and values to places in the drawing."""

    low: float
    high: float
    last: int
    scale: Callable[[float], float]

    def x(self, step: float) -> float:
        return WIDTH * step / self.last

    def y(self, value: float) -> float:
        low, high = self.scale(self.low), self.scale(self.high)
        share = (self.scale(value) - low) / (high - low) if high > low else 0.5
        return HEIGHT - 3 - (HEIGHT - 6) * share


def _drawable(points: Sequence[Point], logarithmic: bool) -> list[Point]:
    return [
        point
        for point in points
        if math.isfinite(point.value) and (point.value > 0 or not logarithmic)
    ]


def _draw(curve: Curve, frame: _Frame) -> str:
    """Return a line through the means of bins of steps, before it the range of each bin."""
    width = max(1, -(-(frame.last + 1) // _BINS))
    bins: dict[int, list[Point]] = {}
    for point in curve.points:
        bins.setdefault(point.step // width, []).append(point)
    line = " ".join(
        f"{frame.x(sum(p.step for p in each) / len(each)):.1f},"
        f"{frame.y(sum(p.value for p in each) / len(each)):.1f}"
        for each in bins.values()
    )
    if len(bins) == 1:
        x, y = line.split(",")
        return f'<circle class="{curve.look}" cx="{x}" cy="{y}" r="3"/>'
    ranges = [(each[0].step, [p.value for p in each]) for each in bins.values() if len(each) > 1]
    band = ""
    if ranges:
        over = [f"{frame.x(step):.1f},{frame.y(max(values)):.1f}" for step, values in ranges]
        under = [f"{frame.x(step):.1f},{frame.y(min(values)):.1f}" for step, values in ranges[::-1]]
        band = f'<polygon class="{curve.look}" points="{" ".join(over + under)}"/>'
    return f'{band}<polyline class="{curve.look}" points="{line}"/>'
