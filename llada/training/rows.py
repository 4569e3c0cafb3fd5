"""Which rows each objective reads: from the shards of a job to batches."""

from collections.abc import Mapping, Sequence

from llada.training.batch import Data, PretrainData, SftData, Vocabulary
from llada.training.config import NoiseConfig, TrainingConfig
from llada.training.errors import TrainingError
from llada.training.job import TrainingJob
from llada.training.next_token import NextTokenData
from llada.training.shards import Shard

OBJECTIVES: Mapping[str, type[PretrainData] | type[SftData]] = {
    "pretrain": PretrainData,
    "autoregressive": NextTokenData,
    "sft": SftData,
}


def open_data(job: TrainingJob) -> Data:
    """Map the shards that a job learns from.

    Raises:
        ShardError: they are missing, damaged, or made for another objective or model.
    """
    return open_shards(job, job.shards, job.training)


def open_held_out(job: TrainingJob) -> tuple[Data, int] | None:
    """Map the held-out shards, if the job asks for them; also return how many rows to measure.

    All of them are step 0 of a recipe whose draws depend on nothing else: see `validation`.

    Raises:
        TrainingError: it asks, and there are no held-out rows.
        ShardError: they are missing, damaged, or made for another objective or model.
    """
    training = job.training
    if training.validate_every is None:
        return None
    if not job.validation_shards:
        msg = (
            f"training.validate_every is {training.validate_every}, and nothing was held out; "
            "build the tokens with a validation_share above 0, or set validate_every to null"
        )
        raise TrainingError(msg)
    rows = min(training.validation_rows, sum(shard.rows for shard in job.validation_shards))
    fixed = {
        "seed": 0,
        "batch_size": rows,
        "random_length_fraction": 0.0,
        "noise": NoiseConfig(times="low_discrepancy", masks="exact_count"),
    }
    recipe = training.model_copy(update=fixed)
    return open_shards(job, job.validation_shards, recipe), rows


def open_shards(job: TrainingJob, shards: Sequence[Shard], training: TrainingConfig) -> Data:
    """Map some shards for the objective and the model of a job; raises ShardError as above."""
    vocabulary = Vocabulary(
        size=job.model.vocab_size,
        mask_id=job.model.mask_token_id,
        eos_id=job.model.eos_token_id,
    )
    return OBJECTIVES[job.objective](shards, job.model.max_sequence_length, training, vocabulary)
