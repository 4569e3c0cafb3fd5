"""The report of a filter: every text of a corpus escaped."""

import math
from collections.abc import Iterable, Mapping
from html import escape

from workflows.filtering import RuleShare
from workflows.report.facts import Facts, RuleFacts, Sample
from workflows.report.histogram import Histogram
from workflows.report.marks import spans_of
from workflows.report.sheet import sheet, table

_WIDTH, _HEIGHT = 320, 90
_TOKEN_BYTES = 4
"""An estimate: large byte-pair vocabularies pack 3 to 5 UTF-8 bytes into a token."""


def page(facts: Facts) -> str:
    """Return the report of a filter artifact."""
    manifest = facts.artifact.manifest
    title = f"{manifest.recipe}: what {manifest.name} kept"
    body = "\n".join(
        [
            f"<h1>{escape(title)}</h1>",
            f'<p class="quiet mono">{escape(facts.artifact.folder.name)} · run '
            f"{escape(manifest.run_id)} · words: {escape(str(manifest.config.get('words')))}</p>",
            "<h2>Funnel</h2>",
            _funnel(facts),
            "<h2>Rules</h2>",
            _rules(facts),
            "<h2>Statistics</h2>",
            _extent(facts),
            f'<div class="grid">{"".join(_histograms(facts))}</div>',
            '<div class="pair">',
            f"<section><h2>Languages</h2>{_places('language', facts.languages)}</section>",
            f"<section><h2>Hosts</h2>{_places('host', facts.hosts)}</section>",
            "</div>",
            "<h2>At the limits</h2>",
            '<p class="quiet">The documents nearest to each limit, on both sides. What counts for '
            "the rule is marked.</p>",
            *(_samples(one) for one in facts.rules if one.inside or one.outside),
        ]
    )
    return sheet(title, body)


def _extent(facts: Facts) -> str:
    if not facts.is_sample:
        return ""
    entered = facts.artifact.manifest.ledger.entered.rows
    return (
        f'<p class="quiet">From here on, and in "would drop alone" above, {facts.looked_at:,} of '
        f"the {entered:,} documents: shards spread evenly over all.</p>"
    )


def _funnel(facts: Facts) -> str:
    ledger = facts.artifact.manifest.ledger
    rows = [
        ("entered", ledger.entered.rows, ledger.entered.bytes, "total"),
        *(
            (rule, count.rows, count.bytes, "drop")
            for rule, count in sorted(ledger.dropped.items(), key=lambda item: -item[1].rows)
        ),
        ("kept", ledger.kept.rows, ledger.kept.bytes, "total"),
    ]
    all_rows, all_bytes = max(1, ledger.entered.rows), max(1, ledger.entered.bytes)
    among = f" among {facts.looked_at:,} documents" if facts.is_sample else ""
    words = f"{facts.words:,} words entered{among}. " if facts.words else ""
    note = (
        f'<p class="quiet">{words}Tokens are an estimate, {_TOKEN_BYTES} bytes each: a stage of '
        "kind tokens counts them.</p>"
    )
    return note + table(
        ("", "documents", "share", "MB", "share of bytes", "M tokens, about", ""),
        (
            (
                escape(name),
                f"{count:,}",
                f"{count / all_rows:.1%}",
                f"{size / 1e6:,.2f}",
                f"{size / all_bytes:.1%}",
                f"{size / _TOKEN_BYTES / 1e6:,.2f}",
                f'<span class="meter {kind}" style="width:{12 * count / all_rows:.2f}rem"></span>',
            )
            for name, count, size, kind in rows
        ),
        label="Documents, bytes and tokens by rule",
    )


def _rules(facts: Facts) -> str:
    by_name: Mapping[str, RuleShare] = {one.rule: one for one in facts.shares}
    of = facts.looked_at if facts.is_sample else facts.artifact.manifest.ledger.entered.rows
    rows = []
    for one in facts.rules:
        share = by_name.get(one.rule.name, RuleShare(one.rule.name, 0, 0, 0))
        rows.append(
            (
                escape(one.rule.name),
                escape(f"{one.rule.feature} {_sign(one)} {_limit(one)}"),
                f"{share.reason:,}",
                f"{one.would_drop:,}",
                f"{one.would_drop / max(1, of):.1%}",
                f"{share.alone:,}",
            )
        )
    heads = ("rule", "drops if", "is the reason", "would drop alone", "share", "only this one")
    return table(heads, rows, label="What each rule drops", look="reads-second")


def _sign(one: RuleFacts) -> str:
    return "<" if one.rule.drop == "below" else ">"


def _limit(one: RuleFacts) -> str:
    return (
        f"{len(one.rule.limits):,} limits by language"
        if one.rule.limits
        else _short(one.rule.limit)
    )


def _short(value: float) -> str:
    if not math.isfinite(value):
        return "never"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _histograms(facts: Facts) -> Iterable[str]:
    rules: dict[str, list[RuleFacts]] = {}
    for one in facts.rules:
        rules.setdefault(one.rule.feature, []).append(one)
    names = sorted(facts.histograms, key=lambda name: (name not in rules, name))
    for name in names:
        histogram = facts.histograms[name]
        if histogram.counts.sum():
            yield _histogram(histogram, rules.get(name, []))


def _histogram(histogram: Histogram, rules: list[RuleFacts]) -> str:
    total, most = int(histogram.counts.sum()), max(1, int(histogram.counts.max()))
    bins = len(histogram.counts)
    step = _WIDTH / bins
    bars = "".join(
        f'<rect x="{at * step:.1f}" y="{_HEIGHT * (1 - count / most):.1f}" '
        f'width="{max(step - 0.8, 0.5):.1f}" height="{_HEIGHT * count / most:.1f}"/>'
        for at, count in enumerate(histogram.counts.tolist())
        if count
    )
    lines, told = [], []
    for one in rules:
        if one.rule.limits:
            told.append(f"{one.rule.name}: a limit for each language")
            continue
        x = histogram.place(one.rule.limit) * _WIDTH
        if 0 <= x <= _WIDTH:
            lines.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{_HEIGHT}"/>')
        share = one.would_drop / max(1, total)
        told.append(f"{one.rule.name}: {_sign(one)} {_limit(one)} drops {share:.1%}")
    low, high = ("0", "1") if histogram.is_share else ("0", "10⁷, logarithmic")
    label = f"{histogram.feature} of {total:,} documents. {'; '.join(told)}"
    notes = "".join(f'<span class="limit">{escape(note)}</span>' for note in told)
    return (
        f"<figure><figcaption>{escape(histogram.feature)}{notes}</figcaption>"
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(label)}" '
        f'preserveAspectRatio="none">{bars}{"".join(lines)}</svg>'
        f'<p class="axis"><span>{low}</span><span>{high}</span></p></figure>'
    )


def _places(name: str, counts: Mapping[str, tuple[int, int]]) -> str:
    return table(
        (name, "kept", "dropped", "kept share"),
        (
            (escape(place), f"{kept:,}", f"{dropped:,}", f"{kept / max(1, kept + dropped):.1%}")
            for place, (kept, dropped) in counts.items()
        ),
        label=f"Documents by {name}",
    )


def _samples(one: RuleFacts) -> str:
    drops = f"{one.rule.feature} {_sign(one)} {_limit(one)}"
    sides = "".join(
        f"<section><h4>{heading}</h4>{''.join(_sample(one, each) for each in samples)}</section>"
        for heading, samples in (("passes", one.inside), ("fails", one.outside))
        if samples
    )
    return (
        f"<details><summary>{escape(one.rule.name)} "
        f'<span class="quiet">drops if {escape(drops)}</span></summary>'
        f'<div class="pair">{sides}</div></details>'
    )


def _sample(one: RuleFacts, sample: Sample) -> str:
    fate = "kept" if sample.kept else "dropped"
    return (
        f'<article><p class="quiet mono">{escape(sample.doc_id)} · {_short(sample.value)} · '
        f"{fate}</p><pre>{marked(one.rule.feature, sample.text)}</pre></article>"
    )


def marked(feature: str, text: str) -> str:
    """Return a text as markup, what counts for a statistic within <mark>."""
    pieces, at = [], 0
    for start, end in spans_of(feature, text):
        pieces.append(escape(text[at:start]))
        pieces.append(f"<mark>{escape(text[start:end])}</mark>")
        at = end
    return "".join([*pieces, escape(text[at:])])
