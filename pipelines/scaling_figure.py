"""Loss over compute as one SVG: a colour an objective, a line a size of model, logarithmic axes."""

from collections.abc import Mapping, Sequence
from html import escape
from itertools import groupby
from math import ceil, floor, log10

Point = tuple[str, int, float, float]
"""(objective, weights, compute in FLOP, value)"""

_WIDTH, _HEIGHT = 720, 440
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 170, 30, 50
_COLOURS: Mapping[str, str] = {"diffusion": "#1f6fb4", "autoregressive": "#c8501e"}
_OTHER = "#555555"
_MARGIN = 1.04  # room above the highest and below the lowest point


def figure(points: Sequence[Point], *, label: str) -> str:
    """Return the SVG; `label` names the value on the vertical axis."""
    computes, values = [p[2] for p in points], [p[3] for p in points]
    # Decades hold every compute; one more where all would lie on an edge.
    low, high = floor(log10(min(computes))), ceil(log10(max(computes)))
    across = _Axis(low, max(high, low + 1), _LEFT, _WIDTH - _RIGHT)
    bottom, top = log10(min(values) / _MARGIN), log10(max(values) * _MARGIN)
    up = _Axis(bottom, top, _HEIGHT - _BOTTOM, _TOP)
    parts = [*_frame(across, up, label)]
    ordered = sorted(points)
    for (objective, weights), group in groupby(ordered, key=lambda p: (p[0], p[1])):
        places = [(across.at(log10(p[2])), up.at(log10(p[3]))) for p in group]
        parts += _series(places, _COLOURS.get(objective, _OTHER), f"{objective}, N = {weights:,}")
    parts += _legend(sorted({p[0] for p in points}))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        f'font-family="sans-serif" font-size="12">\n<rect width="{_WIDTH}" height="{_HEIGHT}" '
        'fill="white"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


class _Axis:
    """From a logarithm to a place on the page."""

    def __init__(self, low: float, high: float, start: float, end: float) -> None:
        self.low, self.high = low, high
        self.start, self.end = start, end

    def at(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 1)


def _frame(across: _Axis, up: _Axis, label: str) -> list[str]:
    parts = []
    for decade in range(round(across.low), round(across.high) + 1):
        x = across.at(decade)
        parts.append(_line(x, up.start, x, up.end, "#dddddd"))
        parts.append(_text(x, up.start + 18, f"1e{decade}", "middle"))
    ticks = 5
    for number in range(ticks):
        height = up.low + (up.high - up.low) * number / (ticks - 1)
        y = up.at(height)
        parts.append(_line(across.start, y, across.end, y, "#dddddd"))
        parts.append(_text(across.start - 8, y + 4, f"{10**height:.3g}", "end"))
    middle = (across.start + across.end) / 2
    parts.append(_text(middle, _HEIGHT - 10, "FLOP (6 N D)", "middle"))
    parts.append(_text(across.start, _TOP - 12, label, "middle"))
    return parts


def _series(places: Sequence[tuple[float, float]], colour: str, title: str) -> list[str]:
    path = " ".join(f"{x},{y}" for x, y in places)
    line = f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>'
    dots = [
        f'<circle cx="{x}" cy="{y}" r="4" fill="{colour}"><title>{escape(title)}</title></circle>'
        for x, y in places
    ]
    return [line, *dots]


def _legend(objectives: Sequence[str]) -> list[str]:
    parts = []
    for number, objective in enumerate(objectives):
        y = _TOP + 20 * number
        colour = _COLOURS.get(objective, _OTHER)
        parts.append(f'<circle cx="{_WIDTH - _RIGHT + 20}" cy="{y}" r="4" fill="{colour}"/>')
        parts.append(_text(_WIDTH - _RIGHT + 32, y + 4, objective, "start"))
    return parts


def _line(x1: float, y1: float, x2: float, y2: float, colour: str) -> str:
    return f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="{colour}"/>'


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}">{escape(text)}</text>'
