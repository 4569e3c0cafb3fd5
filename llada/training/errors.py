"""What can go wrong in training, for people: found, allowed, what to do."""

from llada.errors import LladaError


class ShardError(LladaError):
    """A data shard is not what the job says it is."""


class CheckpointError(LladaError):
    """The checkpoint folder belongs to another job or another number of workers."""


class TrainingError(LladaError):
    """The run cannot start as asked, or its workers gave up (then: the last lines of one)."""


class DivergedError(TrainingError):
    """The run met NaN or a spike once more than its guard may roll back."""


class TrainingStopped(LladaError):  # noqa: N818  nothing went wrong
    """The run was asked to end early; it left a checkpoint from which the next one goes on."""
