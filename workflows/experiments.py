"""What an experiment found, on the page at the end of its run: scaling, reversal and variance."""

from collections.abc import Iterable, Mapping
from typing import Any

from workflows.artifact import Manifest

_WAYS: Mapping[str, str] = {
    "forward": "NAME is ...",
    "backward": "DESCRIPTION is ...",
    "filled_in": "... is DESCRIPTION",
}
_ONE_WAY, _BOTH_WAYS = "told_one_way", "told_both_ways"


def experiments(manifests: Iterable[Manifest]) -> Iterable[str]:
    """Yield one table an experiment of the run."""
    for manifest in manifests:
        if manifest.kind == "scaling":
            yield _scaling(manifest.name, manifest.info)
        if manifest.kind == "reversal_test":
            yield _reversal(manifest.name, manifest.metrics)
        if manifest.kind == "variance":
            yield _variance(manifest.name, manifest.info)


def _scaling(name: str, info: Mapping[str, Any]) -> str:
    measure = str(info["measure"]).replace("_", " ")
    lines = [f"SCALING         {name}: {measure} over 6 N D; a bound where it is diffusion"]
    lines.append(f"    {'objective':<16}{'N':>14}{'D':>18}{'6 N D':>12}{measure:>18}")
    lines += [
        f"    {run['objective']:<16}{run['weights']:>14,}{run['tokens']:>18,}"
        f"{run['compute']:>12.3g}{run['value']:>18.4f}"
        for run in sorted(info["runs"], key=lambda run: (run["objective"], run["compute"]))
    ]
    lines += [
        f"    {objective}: {law['scale']:.4g} * C^-{law['exponent']:.4f}, {law['runs']} best runs"
        for objective, law in info["laws"].items()
    ]
    return "\n".join(lines)


def _reversal(name: str, metrics: Mapping[str, float]) -> str:
    lines = [
        f"REVERSAL        {name}: right answers",
        f"    {'':<24}{'told one way':>16}{'both':>8}",
    ]
    for way, asked in _WAYS.items():
        if f"{way}_{_ONE_WAY}" in metrics:
            one, both = metrics[f"{way}_{_ONE_WAY}"], metrics[f"{way}_{_BOTH_WAYS}"]
            lines.append(f"    {asked:<24}{one:>16.1%}{both:>8.1%}")
    return "\n".join(lines)


def _variance(name: str, info: Mapping[str, Any]) -> str:
    lines = [
        f"VARIANCE        {name}: held-out nats a token at equal steps",
        f"    {'steps':<24}{'paper':>12}{'other':>12}{'difference':>12}",
    ]
    held_out = info["held_out"]
    chosen = held_out[:: max(1, len(held_out) // 4)]
    lines += [
        f"    {step:<24,}{paper:>12.4f}{other:>12.4f}{other - paper:>+12.4f}"
        for step, paper, other in chosen + [each for each in held_out[-1:] if each not in chosen]
    ]
    lines.append(f"    {'gradient noise':<24}{'same rows':>18}{'other rows':>18}")
    for schedule in info["schedules"]:
        cells = (_with_error(info["noise"], schedule, rows) for rows in ("same_rows", "other_rows"))
        lines.append(f"    {schedule:<24}" + "".join(f"{cell:>18}" for cell in cells))
    return "\n".join(lines)


def _with_error(noise: Mapping[str, float], schedule: str, rows: str) -> str:
    found = f"{noise[f'{schedule}_gradient_noise_{rows}']:.3f}"
    error = noise.get(f"{schedule}_gradient_error_{rows}")  # artifacts of before do not have it
    return found if error is None else f"{found} +- {error:.3f}"
