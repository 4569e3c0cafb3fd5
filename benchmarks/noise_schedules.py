"""How much of the gradient's noise comes from t and masks, and what less of it is worth.

Compares the paper's sampling (t drawn for each row, tokens masked one by one) with t spread over
the batch and exact mask counts (Eq. 14): the variance of loss and gradient at the same weights, and
the held-out bound after equal steps. On one core in a few minutes:

    python -m benchmarks.noise_schedules --html noise.html

The text is the manual that lies in every Python installation, as bytes; --text takes another.
"""

import argparse
import pydoc_data.topics
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from llada.config import ModelConfig
from llada.model import MaskPredictor
from llada.training.batch import Batch, Data
from llada.training.config import NoiseConfig, TrainingConfig
from llada.training.gradient_noise import SCHEDULES, Spread, on_rows, spread
from llada.training.job import TrainingJob
from llada.training.objective import Objective
from llada.training.rows import open_data, open_held_out
from llada.training.schedule import ScheduleConfig, warmup_stable_decay
from llada.training.shards import Shard
from workflows.report.curves import Curve, Point, figure
from workflows.report.sheet import sheet

LENGTH, HELD_OUT, SPECIAL = 64, 256, 2
MODEL = ModelConfig(
    d_model=96,
    n_layers=3,
    n_heads=3,
    n_kv_heads=3,
    ffn_hidden=256,
    vocab_size=256 + SPECIAL,
    max_sequence_length=LENGTH,
    mask_token_id=0,
    eos_token_id=1,
    rope_theta=10_000.0,
)
TRAINED = ("paper", "both")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--text", type=Path, help="a text file of 200 kB or more")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--draws", type=int, default=96, help="gradients a variance is made of")
    parser.add_argument("--html", type=Path, help="write the curves as one page")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        shards = _shards(Path(folder), _text(asked.text))
        started = time.perf_counter()
        print(f"{'':<14}{'same rows':>24}{'other rows':>24}")
        print(f"{'sampling':<14}" + f"{'loss sd':>12}{'grad noise':>12}" * 2)
        model = _trained(_job(shards, NoiseConfig(), asked.steps, seed=100), asked.steps // 4)[0]
        for name, noise in SCHEDULES.items():
            found = [_spread(model, shards, noise, asked.draws, rows) for rows in (True, False)]
            cells = "".join(f"{each.loss:>12.2%}{each.gradient:>12.3f}" for each in found)
            print(f"{name:<14}{cells}")
        curves = _compare(shards, asked.steps, asked.seeds)
        print(f"{time.perf_counter() - started:.0f} s")
    if asked.html:
        asked.html.write_text(sheet("Noise schedules", _page(curves)), encoding="utf-8")


def _compare(shards: Sequence[Shard], steps: int, seeds: int) -> dict[str, list[list[Point]]]:
    """Train with both from the same weights on the same rows; print the held-out bound."""
    found: dict[str, list[list[Point]]] = {name: [] for name in TRAINED}
    for seed in range(seeds):
        for name in TRAINED:
            found[name].append(_trained(_job(shards, SCHEDULES[name], steps, seed), steps)[1])
    print(f"\nheld-out bound, nats a byte ({seeds} seeds)")
    print(f"{'step':>6}" + "".join(f"{name:>16}" for name in TRAINED) + f"{'difference':>14}")
    for place, point in enumerate(found[TRAINED[0]][0]):
        values = [[run[place].value for run in found[name]] for name in TRAINED]
        means = [sum(each) / len(each) for each in values]
        cells = "".join(f"{mean:>16.4f}" for mean in means)
        print(f"{point.step + 1:>6}{cells}{means[1] - means[0]:>14.4f}")
    return found


def _spread(
    model: MaskPredictor, shards: Sequence[Shard], noise: NoiseConfig, draws: int, same_rows: bool
) -> Spread:
    """Return the noise of one batch's loss and gradient: of its draws alone, or of its rows too."""

    def batches() -> Iterator[Batch]:
        fixed = open_data(_job(shards, noise, 1, seed=0)).batch(0, range(16))
        for number in range(draws):
            # A new seed draws other times, masks and rows; rows are put back where asked.
            batch = open_data(_job(shards, noise, 1, seed=number)).batch(0, range(16))
            yield on_rows(batch, fixed, MODEL.mask_token_id) if same_rows else batch

    return spread(model, batches())


def _trained(job: TrainingJob, steps: int) -> tuple[MaskPredictor, list[Point]]:
    """Train plainly; return the model and its held-out bound at eight points."""
    training = job.training
    model = MaskPredictor(job.model, rng=torch.Generator().manual_seed(training.seed))
    objective, data = Objective(model, chunk_rows=4096), open_data(job)
    held_out = open_held_out(job)
    assert held_out is not None
    optimizer = torch.optim.AdamW(model.parameters(), betas=training.betas, weight_decay=0.1)
    curve = []
    for step, batch in _batches(data, steps):
        for group in optimizer.param_groups:
            group["lr"] = warmup_stable_decay(step, training.steps, training.schedule)
        optimizer.zero_grad()
        objective(*batch)[0].backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), training.gradient_clip)
        optimizer.step()
        if (step + 1) % max(1, steps // 8) == 0:
            with torch.no_grad():
                bound = objective(*held_out[0].batch(0, range(held_out[1])))[0].item()
            curve.append(Point(step, bound))
    return model, curve


def _batches(data: Data, steps: int) -> Iterator[tuple[int, Batch]]:
    for step in range(steps):
        yield step, data.batch(step, range(16))


def _job(shards: Sequence[Shard], noise: NoiseConfig, steps: int, seed: int) -> TrainingJob:
    schedule = ScheduleConfig(
        peak=2e-3, warmup_steps=min(20, steps), lower=None, decay_last=0.2, final=1e-4
    )
    training = TrainingConfig(
        steps=steps,
        batch_size=16,
        micro_batch_size=16,
        seed=seed,
        random_length_fraction=0.0,
        noise=noise,
        validate_every=1,
        validation_rows=HELD_OUT,
        schedule=schedule,
    )
    return TrainingJob(
        objective="pretrain",
        model=MODEL,
        training=training,
        shards=tuple(shards[1:]),
        validation_shards=tuple(shards[:1]),
        checkpoint_dir="unused",
        output_dir="unused",
    )


def _text(path: Path | None) -> bytes:
    if path is not None:
        return path.read_bytes()
    return "\n".join(pydoc_data.topics.topics.values()).encode()


def _shards(folder: Path, text: bytes) -> list[Shard]:
    """Cut a text into rows of bytes; every 16th row, HELD_OUT of them at most, is held out."""
    rows = np.frombuffer(text, dtype=np.uint8)[: len(text) // LENGTH * LENGTH].reshape(-1, LENGTH)
    ids = rows.astype(np.uint16) + SPECIAL
    aside = np.arange(len(ids)) % 16 == 0
    shards = []
    for name, part in (("held-out", ids[aside][:HELD_OUT]), ("train", ids[~aside])):
        column = pa.FixedSizeListArray.from_arrays(pa.array(part.reshape(-1)), LENGTH)
        table = pa.table({"input_ids": column})
        path = folder / f"{name}.arrow"
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
            writer.write_table(table)
        shards.append(Shard(path=str(path), rows=len(part)))
    return shards


def _page(curves: Mapping[str, list[list[Point]]]) -> str:
    looks = dict(zip(TRAINED, ("other", "one"), strict=True))
    drawn = [
        Curve(f"{name}, seed {seed}", points, looks[name])
        for name, runs in curves.items()
        for seed, points in enumerate(runs)
    ]
    shown = figure("held-out bound", drawn, note="nats a byte, fixed noise")
    return f'<h1>Noise schedules</h1><div class="curves">{shown}</div>'


if __name__ == "__main__":
    main()
