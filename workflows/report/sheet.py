"""What every report is written on: one HTML file without script or request, and its tables."""

import math
from collections.abc import Iterable
from html import escape

from llada.pages.document import palette, read

_CSP = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def sheet(title: str, body: str) -> str:
    """Return a whole page; `title` is text, `body` is markup."""
    style = "\n".join(
        [palette(), read("workflows.ui", "page.css"), read("workflows.report", "report.css")]
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_CSP}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{style}</style></head>"
        f"<body><main>{body}</main></body></html>\n"
    )


def table(
    heads: Iterable[str], rows: Iterable[Iterable[str]], *, label: str, look: str = ""
) -> str:
    """Return a table whose cells are already markup; the first column names the row."""
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in heads)
    lines = []
    for row in rows:
        first, *rest = row
        cells = "".join(f'<td class="number">{cell}</td>' for cell in rest)
        lines.append(f'<tr><th scope="row">{first}</th>{cells}</tr>')
    return (
        f'<div class="scroll"><table class="{look}" aria-label="{escape(label)}">'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table></div>"
    )


def short(value: float) -> str:
    """Return a number with the digits that fit into a cell; an infinite limit never drops."""
    if not math.isfinite(value):
        return "never"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
