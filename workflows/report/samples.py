"""Documents on both sides of a limit as markup: the value, the fate, the passages that count."""

from html import escape

from workflows.report.facts import RuleFacts, Sample
from workflows.report.marks import Spans, marks, spans_of

_SHOWN = 1_500
"""Characters of a text."""
_AROUND = 120
"""Of these, so many on both sides of what counts."""
_DIGITS = (4, 6, 9)


def samples(one: RuleFacts) -> str:
    """Return the documents nearest to the limit of a rule, folded under its name."""
    sides = "".join(
        f"<section><h4>{heading}</h4>{''.join(_sample(one, each) for each in found)}</section>"
        for heading, found in (("passes", one.inside), ("fails", one.outside))
        if found
    )
    whole = (
        ""
        if marks(one.rule.feature)
        else '<p class="quiet">It is the whole text that counts, so nothing in it is marked.</p>'
    )
    drops = escape(f"drops if {one.rule.feature} {one.sign} {one.limit}")
    return (
        f"<details><summary>{escape(one.rule.name)} "
        f'<span class="quiet">{drops} · {one.would_drop:,} fail</span></summary>{whole}'
        f'<div class="pair">{sides}</div></details>'
    )


def _sample(one: RuleFacts, sample: Sample) -> str:
    fate = f"dropped by {sample.reason}" if sample.reason else "kept"
    about = [
        f"{one.rule.feature} {beside(sample.value, sample.limit)}, limit {sample.limit:.4g}",
        *([sample.language] if sample.language else []),
        fate,
    ]
    text = marked(
        one.rule.feature,
        sample.text,
        is_below=one.rule.drop == "below",
        language=sample.language,
    )
    return (
        f"<article><p>{escape(' · '.join(about))} "
        f'<span class="quiet mono">{escape(sample.doc_id)}</span></p><pre>{text}</pre></article>'
    )


def beside(value: float, limit: float) -> str:
    """Return a value with as many digits as tell it from its limit."""
    texts = [f"{value:.{digits}g}" for digits in _DIGITS]
    limits = [f"{limit:.{digits}g}" for digits in _DIGITS]
    differs = (text for text, other in zip(texts, limits, strict=True) if text != other)
    return next(differs, texts[0])


def marked(feature: str, text: str, *, is_below: bool = False, language: str = "") -> str:
    """Return a text as markup, what counts for a statistic within <mark>.

    Of a long text it is the passages around what counts, or the beginning where nothing is marked.
    """
    spans = spans_of(feature, text, is_below=is_below, language=language)
    pieces, at = [], 0
    for begin, end in _passages(spans, len(text)):
        if begin > at:
            pieces.append(_LEFT_OUT)
        at = begin
        for start, stop in spans:
            if start < begin or start >= end:
                continue
            stop = min(stop, end)
            pieces.append(escape(text[at:start]))
            pieces.append(f"<mark>{escape(text[start:stop])}</mark>")
            at = stop
        pieces.append(escape(text[at:end]))
        at = end
    return "".join([*pieces, _LEFT_OUT if at < len(text) else ""])


_LEFT_OUT = '<span class="quiet"> … </span>'


def _passages(spans: Spans, length: int) -> Spans:
    """Return which parts of a text to show, about _SHOWN characters in all."""
    if length <= _SHOWN or not spans:
        return [(0, min(length, _SHOWN))]
    found: Spans = []
    left = _SHOWN
    for start, end in spans:
        if left <= 0:
            break
        begin, stop = max(0, start - _AROUND), min(length, min(end, start + left) + _AROUND)
        if found and begin <= found[-1][1]:
            begin = found[-1][1]
            found[-1] = (found[-1][0], max(begin, stop))
        else:
            found.append((begin, stop))
        left -= max(0, stop - begin)
    return found
