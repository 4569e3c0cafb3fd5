"""The errors of recipes and runs that a person reads: what was found, what is allowed, what to do.

WorkflowError         exit code 1
|-- UsageError        exit code 2: the command or the recipe is wrong; nothing was started
|   `-- RecipeError   names file, line, key, value and the nearest known key
|-- RefError          no artifact, run or document answers to that name
|-- TrackingError     MLflow does not answer, or does not have what was asked for
|-- DriftError        pinned code changed since the artifact was built
|-- ClusterError      a Ray cluster's job server does not answer, refuses, or a job failed there
|-- InterruptedRun    someone asked the run to end; what was finished is kept
`-- StageError        a stage did not finish; says what is kept and how to go on
    `-- QuarantineError   its result failed a check and was kept aside
"""


class WorkflowError(Exception):
    """Base of every workflow error that is meant for a person."""

    exit_code = 1


class UsageError(WorkflowError):
    """The command or the recipe is wrong; nothing was started."""

    exit_code = 2


class RecipeError(UsageError):
    """A recipe says something that cannot be."""


class RefError(UsageError):
    """No artifact, run or document answers to that name."""


class TrackingError(WorkflowError):
    """MLflow does not answer, or does not have what was asked for."""


class DriftError(WorkflowError):
    """Pinned code changed since the artifact was built."""


class StageError(WorkflowError):
    """A stage did not finish."""

    def __init__(self, stage: str, message: str, *, details: str = "") -> None:
        super().__init__(message)
        self.stage = stage
        self.details = details


class ClusterError(WorkflowError):
    """A Ray cluster's job server does not answer, refuses, or a job failed there."""


class InterruptedRun(WorkflowError):  # noqa: N818  no fault of the run's
    """Someone asked the run to end."""


class QuarantineError(StageError):
    """A result failed a check; it was kept aside with its evidence."""

    def __init__(self, stage: str, folder: str, reason: str) -> None:
        super().__init__(
            stage,
            f"its result failed a check and was put into quarantine, not published: {reason}. "
            f"Look at it, then publish it as it is with `llada accept {folder}`, or mend the stage "
            "(or its `checks:`) and run again.",
        )
