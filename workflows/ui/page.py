"""The page as one text: markup, styles and scripts joined, data embedded so that it stays data."""

from typing import Any

from llada.pages.document import FrontEnd, embedded
from workflows.ui.comparison import compare
from workflows.ui.index import Index
from workflows.ui.stage_view import stage_of
from workflows.ui.values import StageView
from workflows.ui.view import run_page, run_view, story_of

STYLES = ("page.css", "graph.css", "panel.css")
SCRIPTS = (
    "dom.js", "words.js", "source.js", "layout.js", "graph.js", "table.js", "sankey.js", "chart.js",
    "panel.js", "compare.js", "runs.js", "search.js", "run.js", "app.js",
)  # fmt: skip
"""The front end in reading order: later files use what earlier ones define."""
_FRONT_END = FrontEnd("page.html", STYLES, SCRIPTS, connect="self", package="workflows.ui")

_RUNS_EMBEDDED = 200


def served_page(index: Index, run_id: str | None, against: str | None) -> str:
    """Return the page that asks its server for what it shows."""
    boot = {"mode": "served", "run": run_id, "against": against, **_about(index)}
    return _page(boot)


def file_page(index: Index, run_id: str, against: str | None) -> str:
    """Return the page with one run inside: one file that needs neither server nor network.

    Raises:
        RefError: the store has no such run.
        StoreError: a manifest of the run cannot be read.
    """
    story = story_of(index, run_id)
    codes: dict[str, dict[str, str]] = {}
    stages = {name: _shared(stage_of(index, run_id, story, name), codes) for name in story.stages}
    boot = {
        "mode": "file",
        "run": run_id,
        "against": against,
        "runs": run_page(index, limit=_RUNS_EMBEDDED),
        "view": run_view(index, run_id),
        "stages": stages,
        "codes": codes,
        "comparison": compare(index, against, run_id) if against else None,
        **_about(index),
    }
    return _page(boot)


def _shared(view: StageView, codes: dict[str, dict[str, str]]) -> StageView:
    """Move the list of functions out: stages of one kind have it in common."""
    code = view["code"]
    if code is not None and "parts" in code:
        codes[code["hash"]] = code.pop("parts")
    return view


def _about(index: Index) -> dict[str, Any]:
    return {
        "store": str(index.store),
        "problems": index.problems[:20],
        "problems_total": len(index.problems),
        "runs_total": len(index.runs),
        "artifacts_total": len(index.artifacts),
    }


def policy() -> str:
    """Return the content security policy: our own script and styles, our own server, no more."""
    return _FRONT_END.policy


def _page(boot: dict[str, Any]) -> str:
    return _FRONT_END.page(_finite(boot)).html


def _finite(value: Any) -> Any:
    """Return a value without NaN and infinities, which JSON does not know."""
    if isinstance(value, float):
        return value if value - value == 0 else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value


def as_json(value: object) -> bytes:
    """Return an answer of the server."""
    return embedded(_finite(value)).encode()
