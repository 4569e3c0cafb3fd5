"""Why a text was kept or dropped, rule by rule, for a person to read."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One rule applied to one text."""

    rule: str
    feature: str
    drop: str
    """"below" or "above": on which side of the limit the text is dropped."""
    value: float
    limit: float
    failed: bool


@dataclass(frozen=True)
class Explanation:
    """Every finding about one text, in the order of the rules, and all its statistics."""

    rule_set: str
    findings: tuple[Finding, ...]
    statistics: Mapping[str, float]

    @property
    def rule(self) -> str | None:
        """The first rule that failed: the reason the text is dropped; None: it is kept."""
        return next((finding.rule for finding in self.findings if finding.failed), None)

    @property
    def kept(self) -> bool:
        """Whether no rule failed."""
        return self.rule is None

    def __str__(self) -> str:
        verdict = "kept" if self.kept else f"dropped by {self.rule}"
        rows = [("", "rule", "statistic", "value", "drop if")]
        rows += [
            (
                "x" if finding.failed else "",
                finding.rule,
                finding.feature,
                f"{finding.value:.6g}",
                f"{'<' if finding.drop == 'below' else '>'} {finding.limit:.6g}",
            )
            for finding in self.findings
        ]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
        return "\n".join([f"{self.rule_set}: {verdict}", *lines])
