"""The figures of trainings as lines to read."""

from collections.abc import Mapping

from llada.training.sizing import Sizing

_WHOLE = 100  # GPU-hours from which a fraction says nothing
_SMALL = 1e9  # bytes; a model below fits everywhere


def described(found: Mapping[str, Sizing]) -> str:
    """Return a paragraph a training, '' for none."""
    return "".join(f"\n{name}\n" + _paragraph(sizing) for name, sizing in found.items())


def _paragraph(sizing: Sizing) -> str:
    rows = {
        "weights": f"{sizing.parameters:,}, {sizing.non_embedding_parameters:,} "
        "without embedding and head",
        "length": _length(sizing),
        "FLOPs": _flops(sizing),
        "GB each": _memory(sizing),
        "time": _time(sizing),
    }
    return "".join(f"  {label:<9} {text}\n" for label, text in rows.items() if text)


def _length(sizing: Sizing) -> str:
    most = "at most " if sizing.rows_may_be_shorter else ""
    each = f"{most}{sizing.tokens_per_step:,} tokens a step"
    if sizing.steps is None or sizing.tokens is None:
        return f"{each}; the number of steps is known once its data is"
    return f"{sizing.steps:,} steps of {each}: {_short(sizing.tokens)} tokens"


def _flops(sizing: Sizing) -> str:
    each, whole = f"{sizing.flops_per_token:.4g}", f"{sizing.model_flops_per_token:.4g}"
    if sizing.flops is None or sizing.model_flops is None:
        return f"{each} a token as 6 N, {whole} with attention and head"
    return (
        f"{sizing.flops:.4g} as 6 N D ({each} a token), {sizing.model_flops:.4g} with attention "
        f"and head ({whole})"
    )


def _memory(sizing: Sizing) -> str:
    stages = ", ".join(
        f"{size / 1e9:.1f} at ZeRO-{stage}" for stage, size in sizing.memory_by_stage.items()
    )
    if sizing.gpu_memory is None:
        return stages if max(sizing.memory_by_stage.values()) > _SMALL else ""
    parts = ", ".join(f"{name} {size / 1e9:.1f}" for name, size in sizing.memory.items())
    return f"{stages}; of {sizing.gpu_memory / 1e9:,.0f}. ZeRO-{sizing.zero_stage}: {parts}"


def _time(sizing: Sizing) -> str:
    if sizing.gpu is None:
        return ""
    if sizing.gpu_hours is None or sizing.days is None:
        return "known once its steps are"
    hours = f"{sizing.gpu_hours:,.0f}" if sizing.gpu_hours >= _WHOLE else f"{sizing.gpu_hours:.3g}"
    return (
        f"{hours} GPU-hours, {sizing.days:.3g} days on {sizing.workers} x {sizing.gpu} "
        f"at {sizing.mfu:.1%} MFU (an assumption: --mfu)"
    )


def _short(count: float) -> str:
    """Return a count with three decimals of its unit: 8.015 B."""
    for unit, size in (("T", 1e12), ("B", 1e9), ("M", 1e6)):
        if count >= size:
            return f"{count / size:.3f} {unit}"
    return f"{count:,.0f}"
