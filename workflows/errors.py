"""The errors of recipes and runs that a person reads: what was found, what is allowed, what to do.

WorkflowError         exit code 1
|-- UsageError        exit code 2: the command or the recipe is wrong; nothing was started
|   `-- RecipeError   names file, line, key, value and the nearest known key
|-- RefError          no artifact, run or document answers to that name
|-- DriftError        pinned code changed since the artifact was built
`-- StageError       a stage did not finish; says what is kept and how to go on
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


class DriftError(WorkflowError):
    """Pinned code changed since the artifact was built."""


class StageError(WorkflowError):
    """A stage did not finish."""

    def __init__(self, stage: str, message: str, *, details: str = "") -> None:
        super().__init__(message)
        self.stage = stage
        self.details = details
