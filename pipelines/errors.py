"""The errors of the pipelines that a person reads: what was found, what is allowed, what to do.

PipelineError
|-- InputError      what was handed in cannot be read: a path, a file, a record, a setting
|   `-- UnreachableError  it lies on a server that does not answer; worth another try
|-- StoreError      the store cannot be written or read: full, read-only, damaged
|-- LedgerError     a stage's books do not balance: rows were lost or doubled
`-- WorkerError     a worker failed on one unit; carries the unit and the worker's traceback
"""


class PipelineError(Exception):
    """Base of every pipeline error that is meant for a person."""


class InputError(PipelineError):
    """What was handed in cannot be read."""


class UnreachableError(InputError):
    """What was handed in lies on a server that does not answer: another try can help."""


class StoreError(PipelineError):
    """The store cannot be written or read."""


class LedgerError(PipelineError):
    """Rows were lost or doubled: the stage must not be published."""


class WorkerError(PipelineError):
    """A worker failed on one unit of work."""

    def __init__(self, message: str, *, worker_traceback: str = "", may_pass: bool = False) -> None:
        super().__init__(message)
        self.worker_traceback = worker_traceback
        self.may_pass = may_pass
        """Whether trying again can help: a lost worker, not a wrong document."""
