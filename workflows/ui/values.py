"""The plain JSON values that the page is drawn from; what the front end may rely on."""

from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict  # pydantic reads no other on Python 3.11

State = Literal[
    "REUSED",
    "RAN",
    "RESUMED",
    "FAILED",
    "RUNNING",
    "INTERRUPTED",
    "DRIFT",
    "QUARANTINED",
    "NOT_BEGUN",
]
Status = Literal["FINISHED", "FAILED", "KILLED", "RUNNING", "INTERRUPTED", "UNREADABLE"]


class RunRow(TypedDict):
    """One line of the run list."""

    run_id: str
    recipe: str
    status: Status
    started: float
    seconds: float
    stages: int
    counts: dict[str, int]
    command: str
    commit: str | None


class ArtifactRow(TypedDict):
    """What the index knows of an artifact; `path` is relative to the store."""

    path: str
    name: str
    kind: str
    makes: str
    digest: str
    created: str
    run_id: str
    recipe: str
    rows: int
    unit: str
    inputs: list[str]


class RunPage(TypedDict):
    """Some rows of the run list, newest first."""

    total: int
    offset: int
    rows: list[RunRow]


class Node(TypedDict):
    """One stage of a run."""

    name: str
    kind: str
    makes: str
    state: State
    why: str
    error: str | None
    started: float | None
    seconds: float | None
    path: str | None
    digest: str | None
    ledger: dict[str, Any] | None
    tokens: float | None


class Edge(TypedDict):
    """What flows from one stage to another; `assumed` where only earlier runs tell."""

    source: str
    target: str
    slot: str
    assumed: bool
    makes: str
    unit: str | None
    rows: int | None
    bytes: int | None
    tokens: float | None
    drop_share: float | None


class RunView(TypedDict):
    """A run as a graph; nodes stand in an order in which each follows what it needs."""

    run: RunRow
    dirty: bool
    nodes: list[Node]
    edges: list[Edge]


class InputView(TypedDict):
    """Which artifact filled a slot."""

    slot: str
    name: str
    kind: str
    digest: str
    path: str
    there: bool


class Series(TypedDict):
    """A loss curve, thinned: each point is the mean, least and most of `every` steps."""

    steps: int
    every: int
    mean: list[float]
    low: list[float]
    high: list[float]


class CodeView(TypedDict):
    """The code a stage reaches."""

    hash: str
    policy: str
    version: int
    parts: NotRequired[dict[str, str]]
    commit: str | None
    dirty_diff: str | None


class StageView(TypedDict):
    """Everything the panel shows of one stage in one run."""

    node: Node
    key: str | None
    config: dict[str, Any]
    inputs: list[InputView]
    used_by: list[ArtifactRow]
    used_by_total: int
    folder: str | None
    created: str | None
    producer: str | None
    build_seconds: float | None
    code: CodeView | None
    files: list[dict[str, Any]]
    files_total: int
    files_bytes: int
    checks: list[dict[str, Any]]
    metrics: dict[str, float]
    series: Series | None
    samples: list[dict[str, Any]]
    schema: str
    packages: dict[str, str]
    refs: list[str]
    mlflow: str | None
    rerun: str
    gone: str | None


class Change(TypedDict):
    """One value that differs between two runs; None where a side lacks it."""

    what: str
    old: Any
    new: Any


class StageChange(TypedDict):
    """How one stage differs between two runs; `follows`: only because what it reads does."""

    name: str
    change: Literal["same", "changed", "follows", "added", "removed"]
    config: list[Change]
    code: list[Change]
    inputs: list[Change]
    ledger: list[Change]
    metrics: list[Change]


class Comparison(TypedDict):
    """Two runs side by side on the union of their graphs."""

    a: RunRow
    b: RunRow
    nodes: list[Node]
    edges: list[Edge]
    changes: dict[str, StageChange]


class Found(TypedDict):
    """What a search found."""

    runs: list[RunRow]
    runs_total: int
    artifacts: list[ArtifactRow]
    artifacts_total: int


class DocumentStep(TypedDict):
    """What one stage did with a document."""

    stage: str
    kind: str
    artifact: str
    kept: bool
    rule: str | None
    feature: str | None
    value: float | None
    limit: float | None
    duplicate_of: str | None


class DocumentView(TypedDict):
    """The way of one document."""

    doc_id: str
    source: str
    text: str
    steps: list[DocumentStep]
