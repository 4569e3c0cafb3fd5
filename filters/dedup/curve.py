"""The S-curve of MinHash-LSH: how likely a pair of a given similarity becomes a candidate."""

import numpy as np

from filters.errors import FilterError

_STEPS = 1000
_BAR = 40


def match_probability(similarity: float, bands: int, rows: int) -> float:
    """Return 1 - (1 - s**rows)**bands (Leskovec et al., Mining of Massive Datasets, 3.4)."""
    return float(1 - (1 - similarity**rows) ** bands)


def bands_for(
    threshold: float, permutations: int, *, missed_weight: float = 0.8
) -> tuple[int, int]:
    """Return the (bands, rows) within `permutations` whose curve errs least at a threshold.

    The error is missed_weight x (area above the curve right of the threshold: copies missed) +
    (1 - missed_weight) x (area under it left of the threshold: strangers compared in vain). As
    candidates are verified, a stranger costs time and a missed copy stays: hence 0.8.

    Raises:
        FilterError: a threshold outside (0, 1), no permutation, or a weight outside [0, 1].
    """
    if not (0 < threshold < 1 and permutations >= 1 and 0 <= missed_weight <= 1):
        raise FilterError(
            f"found threshold {threshold}, {permutations} permutations, missed_weight "
            f"{missed_weight}; allowed: a threshold between 0 and 1, at least 1 permutation, a "
            "weight from 0 to 1; name bands and rows yourself for a threshold of 1"
        )
    grid = (np.arange(_STEPS) + 0.5) / _STEPS
    copies = grid >= threshold
    best = (np.inf, 0, 0)
    for rows in range(1, permutations + 1):
        for bands in range(1, permutations // rows + 1):
            curve = 1 - (1 - grid**rows) ** bands
            missed = (1 - curve[copies]).sum() / _STEPS
            in_vain = curve[~copies].sum() / _STEPS
            error = missed_weight * missed + (1 - missed_weight) * in_vain
            best = min(best, (float(error), bands, rows))
    return best[1], best[2]


def draw_curve(bands: int, rows: int, threshold: float) -> str:
    """Return the curve as lines to print, one a similarity of 0.05 to 1, the threshold marked."""
    lines = [f"{bands} bands x {rows} rows = {bands * rows} permutations"]
    marked = False
    for step in range(1, 21):
        similarity = step / 20
        chance = match_probability(similarity, bands, rows)
        mark = ""
        if not marked and similarity >= threshold - 1e-9:
            mark, marked = f"  <- threshold {threshold:g}", True
        bar = "#" * round(chance * _BAR)
        lines.append(f"{similarity:.2f} {chance:6.3f} {bar:<{_BAR}}{mark}".rstrip())
    return "\n".join(lines)
