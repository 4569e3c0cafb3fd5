"""The report of a filter: every text of a corpus escaped."""

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from pipelines.filter import FilterConfig
from pipelines.ledger import Count
from workflows.filtering import RuleShare
from workflows.report.distributions import distributions
from workflows.report.facts import Facts, RuleFacts
from workflows.report.samples import samples
from workflows.report.sheet import sheet, short, table

_ENDS = ("entered", "kept")
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
            f"{escape(manifest.run_id)}</p>",
            f'<p class="quiet">{escape(_asked(manifest.config))}</p>',
            "<h2>Funnel</h2>",
            _funnel(facts),
            "<h2>Rules</h2>",
            _rules(facts),
            "<h2>Statistics</h2>",
            _extent(facts),
            distributions(facts.histograms.values(), facts.rules),
            '<div class="pair">',
            f"<section><h2>Languages</h2>{_places('language', facts.languages)}</section>",
            f"<section><h2>Hosts</h2>{_places('host', facts.hosts)}</section>",
            "</div>",
            "<h2>At the limits</h2>",
            '<p class="quiet">The documents nearest to each limit, on both sides. What counts for '
            "the rule is marked; of long texts, the passages around it are shown.</p>",
            *(samples(one) for one in _with_samples(facts)),
        ]
    )
    return sheet(title, body)


def _asked(config: Mapping[str, Any]) -> str:
    """Return in words what a document had to be."""
    asked = FilterConfig.model_validate(config)
    limits = ", ".join(
        f"{rule} {'by language' if isinstance(limit, Mapping) else short(limit)}"
        for rule, limit in asked.limits.items()
    )
    return " · ".join(
        [
            f"rules: {', '.join((*asked.rules, *(rule.name for rule in asked.custom))) or 'none'}",
            f"languages: {', '.join(asked.languages) or 'all'}, from {asked.min_language_score:g}",
            *([f"other limits: {limits}"] if limits else []),
            f"words: {asked.words}",
        ]
    )


def _with_samples(facts: Facts) -> list[RuleFacts]:
    """Return the rules that have documents to show, those that drop some first."""
    return sorted(
        (one for one in facts.rules if one.inside or one.outside), key=lambda one: not one.outside
    )


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
    all_rows, all_bytes = max(1, ledger.entered.rows), max(1, ledger.entered.bytes)
    among = f" among {facts.looked_at:,} documents" if facts.is_sample else ""
    words = f"{facts.words:,} words entered{among}. " if facts.words else ""
    note = (
        f'<p class="quiet">In the order in which rules decide. {words}Tokens are an estimate, '
        f"{_TOKEN_BYTES} bytes each: a stage of kind tokens counts them.</p>"
    )
    rows, left = [], ledger.entered.rows
    for name, count in _steps(facts):
        fell = 0 if name in _ENDS else count.rows
        left -= fell
        rows.append(
            (
                escape(name),
                f"{count.rows:,}",
                f"{count.rows / all_rows:.1%}",
                f"{count.bytes / 1e6:,.2f}",
                f"{count.bytes / all_bytes:.1%}",
                f"{count.bytes / _TOKEN_BYTES / 1e6:,.2f}",
                f"{left:,}",
                _meter("total", left / all_rows) + _meter("drop", fell / all_rows),
            )
        )
    heads = ("", "documents", "share", "MB", "share of bytes", "M tokens, about", "left", "")
    return note + table(heads, rows, label="Documents, bytes and tokens by rule")


def _steps(facts: Facts) -> Iterator[tuple[str, Count]]:
    """Yield what entered, what each rule took in the order they decide, and what was kept."""
    ledger = facts.artifact.manifest.ledger
    order = [one.rule.name for one in facts.rules]
    names = [name for name in ledger.dropped if name not in order]  # failed before any rule
    entered, kept = _ENDS
    yield entered, ledger.entered
    for name in (*names, *(name for name in order if name in ledger.dropped)):
        yield name, ledger.dropped[name]
    yield kept, ledger.kept


def _meter(kind: str, share: float) -> str:
    return f'<span class="meter {kind}" style="width:{12 * share:.2f}rem"></span>' if share else ""


def _rules(facts: Facts) -> str:
    by_name: Mapping[str, RuleShare] = {one.rule: one for one in facts.shares}
    of = facts.looked_at if facts.is_sample else facts.artifact.manifest.ledger.entered.rows
    rows = []
    for one in facts.rules:
        share = by_name.get(one.rule.name, RuleShare(one.rule.name, 0, 0, 0))
        rows.append(
            (
                escape(one.rule.name),
                escape(f"{one.rule.feature} {one.sign} {one.limit}"),
                f"{share.reason:,}",
                f"{one.would_drop:,}",
                f"{one.would_drop / max(1, of):.1%}",
                f"{share.alone:,}",
            )
        )
    heads = ("rule", "drops if", "is the reason", "would drop alone", "share", "only this one")
    return table(heads, rows, label="What each rule drops", look="reads-second")


def _places(name: str, counts: Mapping[str, tuple[int, int]]) -> str:
    return table(
        (name, "kept", "dropped", "kept share"),
        (
            (escape(place), f"{kept:,}", f"{dropped:,}", f"{kept / max(1, kept + dropped):.1%}")
            for place, (kept, dropped) in counts.items()
        ),
        label=f"Documents by {name}",
    )
