"""Draw how statistics are distributed, and which part each limit drops."""

from collections.abc import Iterable
from html import escape

from workflows.report.facts import RuleFacts
from workflows.report.histogram import Histogram
from workflows.report.sheet import short

_WIDTH, _HEIGHT = 320, 90
_LEAST = 1.5
"""Height of a bar of one document among millions: what a limit cuts off is rare."""
_LEFT_END, _RIGHT_END = 0.15, 0.7
"""A label outside of these would lie over the one at the end of the axis."""


def distributions(histograms: Iterable[Histogram], rules: Iterable[RuleFacts]) -> str:
    """Return the figures of all statistics: those with a limit first, the others folded away."""
    by_feature: dict[str, list[RuleFacts]] = {}
    for one in rules:
        by_feature.setdefault(one.rule.feature, []).append(one)
    known = sorted((h for h in histograms if h.counts.sum()), key=lambda h: h.feature)
    free = [one for one in known if one.feature not in by_feature]
    varied = [one for one in free if one.low < one.high]
    alike = ", ".join(f"{h.feature} {short(h.low)}" for h in free if h.low == h.high)
    return (
        '<p class="quiet">The red ground is what a limit drops. Heights are square roots of '
        "counts, so that what is rare shows; beyond 10 an axis is logarithmic.</p>"
        + _grid(_figure(h, by_feature[h.feature]) for h in known if h.feature in by_feature)
        + (
            f"<details><summary>Statistics that no rule looks at: {len(varied)}</summary>"
            f"{_grid(_figure(one, []) for one in varied)}</details>"
            if varied
            else ""
        )
        + (f'<p class="quiet">The same for all documents: {escape(alike)}.</p>' if alike else "")
    )


def _grid(figures: Iterable[str]) -> str:
    return f'<div class="grid">{"".join(figures)}</div>'


def _figure(histogram: Histogram, rules: list[RuleFacts]) -> str:
    total = max(1, int(histogram.counts.sum()))
    told = [
        f"{one.rule.name}: {one.sign} {one.limit} drops {one.would_drop:,} "
        f"({one.would_drop / total:.1%})"
        for one in rules
    ]
    borders = [(one, histogram.border(one.rule)) for one in rules if not one.rule.limits]
    first, last = histogram.window([border for _, border in borders])

    def along(value: float) -> float:
        return (histogram.place(value) - first) / (last - first)

    grounds = "".join(
        _beyond(along(border), is_below=one.rule.drop == "below")
        for one, border in borders
        if 0 <= along(border) <= 1
    )
    label = f"{histogram.feature} of {total:,} documents. {'; '.join(told)}"
    notes = "".join(f'<span class="limit">{escape(note)}</span>' for note in told)
    ticks = "".join(
        f'<span style="left:{100 * along(value):.1f}%">{short(value)}</span>'
        for value in histogram.powers
        if _LEFT_END < along(value) < _RIGHT_END
    )
    beyond = " or more" if histogram.high > histogram.edges[last] else ""
    return (
        f"<figure><figcaption>{escape(histogram.feature)}{notes}</figcaption>"
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(label)}" '
        f'preserveAspectRatio="none">{_bars(histogram, first, last)}{grounds}</svg>'
        f'<p class="axis"><span>{short(histogram.edges[first])}</span>{ticks}'
        f"<span>{short(histogram.edges[last])}{beyond}</span></p></figure>"
    )


def _bars(histogram: Histogram, first: int, last: int) -> str:
    step, most = _WIDTH / (last - first), int(histogram.counts.max())
    bars = []
    for at in range(first, last):
        count = int(histogram.counts[at])
        if count:
            height = max(_LEAST, _HEIGHT * (count / most) ** 0.5)
            low, high = short(histogram.edges[at]), short(histogram.edges[at + 1])
            bars.append(
                f'<rect x="{(at - first) * step:.1f}" y="{_HEIGHT - height:.1f}" '
                f'width="{max(step - 0.8, 0.5):.1f}" height="{height:.1f}">'
                f"<title>{low} to {high}: {count:,}</title></rect>"
            )
    return "".join(bars)


def _beyond(border: float, *, is_below: bool) -> str:
    """Return the ground of what a limit drops, and the line at its edge."""
    x = border * _WIDTH
    start, width = (0.0, x) if is_below else (x, _WIDTH - x)
    return (
        f'<rect class="beyond" x="{start:.1f}" y="0" width="{width:.1f}" height="{_HEIGHT}"/>'
        f'<line x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{_HEIGHT}"/>'
    )
