"""The way of one document through the stages, as values for the page."""

from typing import TYPE_CHECKING

from workflows.ui.index import Index
from workflows.ui.values import DocumentStep, DocumentView

if TYPE_CHECKING:
    from workflows.lineage.trace import Step

_TEXT_SHOWN = 4000


def document_view(index: Index, doc_id: str) -> DocumentView:
    """Return what each stage did with a document; RefError where no stage has met it."""
    from workflows.lineage.documents import way_of  # Parquet: only who asks waits for it

    steps = way_of(doc_id, index.store)
    first = steps[0].row
    return {
        "doc_id": doc_id,
        "source": str(first.get("source") or ""),
        "text": str(first.get("text") or "")[:_TEXT_SHOWN],
        "steps": [_step(step) for step in steps],
    }


def _step(step: "Step") -> DocumentStep:
    row = step.row if step.fate == "dropped" else {}
    return {
        "stage": step.node.name,
        "kind": step.node.kind,
        "artifact": f"{step.node.name}@{step.node.digest[:12]}",
        "kept": step.fate != "dropped",
        "rule": row.get("rule"),
        "feature": row.get("feature"),
        "value": row.get("value"),
        "limit": row.get("limit"),
        "duplicate_of": row.get("duplicate_of"),
    }
