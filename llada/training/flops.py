"""How much arithmetic a model costs a token: the two counts that papers and planners use.

Both count multiplications and additions of the forward and the backward pass (2 + 4 for each
weight), never what activation checkpointing computes twice: MFU is about useful work.
"""

from llada.config import ModelConfig


def flops_per_token(model: ModelConfig) -> float:
    """Return 6 N, with N the weights outside embedding and head: the count of the paper's Figure 3.

    Source: LLaDA (arXiv 2502.09992), section 3.2; Kaplan et al. (arXiv 2001.08361), section 2.1.
    """
    return 6.0 * model.non_embedding_parameter_count()


def model_flops_per_token(model: ModelConfig, length: int, *, head_share: float = 1.0) -> float:
    """Return 6 N + attention + head: what an MFU should be counted with.

    Attention is 12 * layers * d * L a token, the products of queries with keys and of weights with
    values over a whole sequence of `length` L (PaLM, arXiv 2204.02311, appendix B); a causal model
    needs half of it. The head is 6 * d * V on `head_share` of the positions: 1 counts it everywhere
    as other code bases do; with a masked-rows head it is the share of masked positions, about half.
    """
    return (
        flops_per_token(model)
        + attention_flops_per_token(model, length)
        + head_flops_per_token(model, head_share)
    )


def attention_flops_per_token(model: ModelConfig, length: int) -> float:
    """Return the part of attention that grows with the length; a causal model sees half."""
    whole = 12.0 * model.n_layers * model.d_model * length
    return whole / 2 if model.causal else whole


def head_flops_per_token(model: ModelConfig, head_share: float = 1.0) -> float:
    """Return the output head's part."""
    return 6.0 * model.d_model * model.vocab_size * head_share
