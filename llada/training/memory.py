"""What a training keeps on each GPU, in bytes, by ZeRO stage: weights, their state, activations.

Counted from what this code allocates; `tests/llada_training/test_memory.py` holds the count of the
activations against what autograd really saves. An estimate all the same: fragmentation and
communication libraries take some more, hence the room that `accelerators.py` leaves.
"""

from collections.abc import Mapping
from typing import Literal, NamedTuple

from llada.config import ModelConfig

ZeroStage = Literal[1, 2, 3]
Precision = Literal["fp32", "bf16"]

ZERO_STAGES: tuple[ZeroStage, ...] = (1, 2, 3)
# As in llada.diffusion, which needs torch; a test holds them together.
CHUNK_ROWS = 1024
_WORD: Mapping[Precision, int] = {"fp32": 4, "bf16": 2}
_SHARDS_GRADIENTS, _SHARDS_WEIGHTS = 2, 3
# Elements; DeepSpeed's defaults of reduce_bucket_size and stage3_max_live_parameters.
_BUCKET, _LIVE = 500_000_000, 1_000_000_000


class Setting(NamedTuple):
    """What of a training decides how much memory it needs."""

    workers: int
    micro_batch_size: int
    zero_stage: ZeroStage
    precision: Precision = "bf16"
    activation_checkpointing: bool = False
    offload_optimizer: bool = False


class Memory(NamedTuple):
    """Bytes on one GPU at the peak of a step."""

    weights: float
    gradients: float
    optimizer: float
    buffers: float
    activations: float
    logits: float

    @property
    def total(self) -> float:
        """Everything together."""
        return sum(self)


def memory_per_gpu(model: ModelConfig, setting: Setting, length: int) -> Memory:
    """Return what `setting` needs on each GPU for rows of `length` tokens.

    With P weights over W workers, in words of w bytes (ZeRO, arXiv 1910.02054, section 5):
    weights w P, gradients w P, and 12 P for the float32 master copy and both Adam moments. Stage 1
    divides the 12 P by W, stage 2 also the gradients, stage 3 also the weights. Beside them stand
    the bucket in which gradients travel and, at stage 3, the weights that are gathered for use.
    """
    parameters, word = model.parameter_count(), _WORD[setting.precision]
    share, stage = parameters / setting.workers, setting.zero_stage
    buffers = min(parameters, _BUCKET) * word
    if stage >= _SHARDS_WEIGHTS:
        buffers += min(parameters, _LIVE) * word
    return Memory(
        weights=word * (share if stage >= _SHARDS_WEIGHTS else parameters),
        gradients=word * (share if stage >= _SHARDS_GRADIENTS else parameters),
        optimizer=0.0 if setting.offload_optimizer else 12 * share,
        buffers=buffers,
        activations=activations(model, setting, length),
        logits=logits(model, setting, length),
    )


def activations(model: ModelConfig, setting: Setting, length: int) -> float:
    """Return the bytes that wait for the backward pass, of one micro-batch.

    With activation checkpointing a block keeps its input (w d a token) and is computed again, one
    block at a time; without it every block keeps all of `block_activations`. The last norm and the
    rows picked for the head come on top.
    """
    tokens, word = setting.micro_batch_size * length, _WORD[setting.precision]
    block = block_activations(model, setting.precision)
    if setting.activation_checkpointing:
        blocks = model.n_layers * word * model.d_model + block
    else:
        blocks = model.n_layers * block
    last_norm = (4 + word) * model.d_model
    picked = 2 * word * model.d_model
    return float(tokens * (blocks + last_norm + picked))


def block_activations(model: ModelConfig, precision: Precision) -> int:
    """Return the bytes a token that one block keeps for its backward pass.

    Counted as in arXiv 2205.05198, section 4.1, for this block: no dropout, no L x L matrix (the
    attention kernel recomputes it), SwiGLU. In words of w bytes, with K the width of the keys and
    F the hidden width: two norms, each its float32 input, its result before and after the scale
    (2 (4 d + 2 w d)); queries, keys, values, mixed values (w (2 d + 2 K)) and a float32 a head;
    gate before and after SiLU, up and their product (4 w F).
    """
    width, word = model.d_model, _WORD[precision]
    norms = 2 * (4 * width + 2 * word * width)
    attention = word * (2 * width + 2 * model.kv_dim) + 4 * model.n_heads
    return norms + attention + 4 * word * model.ffn_hidden


def logits(model: ModelConfig, setting: Setting, length: int) -> float:
    """Return the bytes of the logits alive at once, at worst: every position masked.

    Stages 1 and 2 take masked rows through the head `CHUNK_ROWS` at a time, and take the gradients
    of the head and of its rows along (llada/head_loss.py), which wait for the backward pass. Stage
    3, where a call of the head is a collective, takes all rows at once. Each logit exists as the
    head's word and, in float32, as logit, log-probability and gradient.
    """
    rows, word, gradients = setting.micro_batch_size * length, _WORD[setting.precision], 0
    if setting.zero_stage < _SHARDS_WEIGHTS:
        gradients = (rows + model.vocab_size) * model.d_model * word
        rows = min(rows, CHUNK_ROWS)
    return float(rows * model.vocab_size * (word + 12) + gradients)
