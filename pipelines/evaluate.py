"""Measure a model: likelihood bound on held-out text, samples to read, exact match on a task.

The autoregressive baseline is measured on the same text, where its likelihood is exact: see
`likelihood` for what of a sequence it scores.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from math import log
from typing import TYPE_CHECKING, Any, Literal, Self

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field, model_validator

from pipelines import storage
from pipelines.errors import InputError
from pipelines.ledger import Count, Ledger
from pipelines.local_copies import Bundle
from pipelines.shards import ShardFiles, ShardRecord, read_table, save_record
from pipelines.units import run_units, stage_output
from pipelines.workspace import InputArtifact, StageOutput, Workspace

if TYPE_CHECKING:
    from llada.likelihood import Likelihood


class EvaluateConfig(BaseModel):
    """What is measured, and how long."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    sequences: int = Field(default=32, ge=1)
    """Held-out sequences whose likelihood bound is estimated (Eq. 6)."""
    monte_carlo: int = Field(default=16, ge=1)
    """Mask draws a sequence; the paper uses 128 for benchmarks (appendix B.5)."""
    samples: int = Field(default=8, ge=1)
    """Texts sampled from a held-out beginning by low-confidence remasking."""
    prompt_length: int = Field(default=16, ge=1)
    problems: int = Field(default=64, ge=1)
    """Held-out problems of the generated task, scored by exact match."""
    gen_length: int = Field(default=64, ge=1)
    block_length: int = Field(default=32, ge=1)
    steps: int = Field(default=64, ge=1)
    temperature: float = Field(default=0.0, ge=0)
    """0 takes the likeliest token, which in a model of few steps is often one and the same."""
    seed: int = 0

    @model_validator(mode="after")
    def _blocks_fit(self) -> Self:
        # SamplingConfig says the same, but it needs torch, and a recipe is checked without.
        blocks, rest = divmod(self.gen_length, self.block_length)
        if rest or self.steps % blocks:
            raise ValueError(
                f"gen_length {self.gen_length}, block_length {self.block_length}, steps "
                f"{self.steps}: block_length must divide gen_length, and steps must be a multiple "
                "of the number of blocks"
            )
        return self


Task = Literal["likelihood", "samples", "problems"]


class EvaluateUnit(BaseModel):
    """A slice of one of the three measurements."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    shard: str
    task: Task
    path: str
    first: int
    rows: int


class EvaluateWorker:
    """Loads the model once and measures slices."""

    def __init__(self, root: str, attempt: str, model: Bundle, config: EvaluateConfig) -> None:
        import torch

        from llada.model import MaskPredictor
        from llada.tokenizer import Tokenizer

        torch.set_num_threads(1)
        self._root, self._attempt, self._config = storage.at(root), attempt, config
        folder = model.folder()
        self._tokenizer = Tokenizer.load(folder)
        self._model = MaskPredictor.from_pretrained(
            folder, dtype=torch.float32, device="cpu"
        ).eval()
        self._causal = self._model.config.causal

    def __call__(self, unit: Mapping[str, Any]) -> ShardRecord:
        """Measure one slice, write its rows as Parquet, return the record."""
        rows = _MEASURES[unit["task"]](self, EvaluateUnit(**unit))
        files = ShardFiles(self._root, unit["shard"], self._attempt)
        files.write_parquet(pa.Table.from_pylist(rows), "report")
        count = Count(rows=len(rows))
        record = ShardRecord(
            shard=unit["shard"],
            files=files.entries,
            ledger=Ledger(unit="measurements", entered=count, kept=count),
        )
        return save_record(self._root, record)

    def likelihood(self, unit: EvaluateUnit) -> list[dict[str, Any]]:
        """Return log p(sequence) in nats: a bound with its standard error (Eq. 6), or exact.

        The autoregressive baseline scores all tokens but the first, which it is given.
        """
        rows = []
        sequences = _sequences(unit)
        log_p = self._log_likelihoods([ids for _, ids in sequences], unit.first)
        for (number, ids), found in zip(sequences, log_p, strict=True):
            scored = ids[1:] if self._causal else ids
            rows.append(
                {
                    "row": number,
                    "tokens": len(scored),
                    "bytes": len(self._tokenizer.decode(scored).encode()),
                    "value": found.value,
                    "stderr": found.stderr,
                    "exact": self._causal,
                }
            )
        return rows

    def samples(self, unit: EvaluateUnit) -> list[dict[str, Any]]:
        """Return continuations of held-out beginnings."""
        rows = []
        for number, ids in _sequences(unit):
            prompt = ids[: self._config.prompt_length]
            rows.append(
                {
                    "row": number,
                    "prompt": self._tokenizer.decode(prompt),
                    "text": self._answer(prompt, number, may_end=False),
                }
            )
        return rows

    def problems(self, unit: EvaluateUnit) -> list[dict[str, Any]]:
        """Return the model's answers to held-out problems and whether they are right."""
        from llada.benchmarks.igsm import matches
        from llada.chat import Message, render

        table = read_table(unit.path).slice(unit.first, unit.rows)
        rows = []
        for number, problem in enumerate(table.to_pylist(), start=unit.first):
            message = Message(role="user", content=problem["prompt"])
            prompt = render([message], self._tokenizer, add_generation_prompt=True)
            text = self._answer(prompt, number, may_end=True)
            right = matches(problem["answer"], text)
            rows.append({**problem, "text": text, "right": right})
        return rows

    def _log_likelihoods(self, sequences: list[list[int]], first: int) -> list["Likelihood"]:
        from llada.autoregressive import arm_log_likelihood
        from llada.scoring import Question, ScoringConfig, score

        if self._causal:
            return [arm_log_likelihood(self._model, ids[:1], ids[1:]) for ids in sequences]
        found = score(
            self._model,
            [Question.of([], [ids]) for ids in sequences],
            ScoringConfig(samples=self._config.monte_carlo),
            mask_id=self._tokenizer.special.mask,
            rng=self._rng(first),
        )
        return [scores.answers[0] for scores in found]

    def _answer(self, prompt: Sequence[int], number: int, *, may_end: bool) -> str:
        import torch

        from llada.sampling import SamplingConfig, generate
        from llada.sampling.autoregressive import generate_autoregressive

        config = self._config
        if self._causal:
            eos = self._tokenizer.special.eos
            done = generate_autoregressive(
                self._model,
                torch.tensor([list(prompt)]),
                config.gen_length,
                eos_id=eos,
                temperature=config.temperature,
                rng=self._rng(number),
            )
            return done.answer_texts(self._tokenizer)[0]
        special = self._tokenizer.special
        sampling = SamplingConfig(
            steps=config.steps,
            gen_length=config.gen_length,
            block_length=config.block_length,
            temperature=config.temperature,
            forbidden_ids=() if may_end else (special.eos, special.eot),
        )
        ids_BP = torch.tensor([list(prompt)])
        done = generate(self._model, ids_BP, sampling, rng=self._rng(number))
        return done.answer_texts(self._tokenizer)[0]

    def _rng(self, number: int) -> Any:
        import torch

        return torch.Generator().manual_seed(self._config.seed * 1_000_003 + number)


_MEASURES = {
    "likelihood": EvaluateWorker.likelihood,
    "samples": EvaluateWorker.samples,
    "problems": EvaluateWorker.problems,
}


def run(workspace: Workspace, config: EvaluateConfig) -> StageOutput:
    """Measure the slot `model`: on held-out text of `tokens`, on the problems of `pairs`, or both.

    Raises:
        InputError: neither slot is filled, or nothing was held out.
    """
    units = _units(workspace.inputs, config)
    model = workspace.input("model").bundle("model")
    factory = partial(EvaluateWorker, str(workspace.root), workspace.attempt, model, config)
    records = run_units(workspace, units, factory, unit="slices")
    output = stage_output(records, schema="one Parquet a slice", unit="measurements")
    task_of = {unit.shard: unit.task for unit in units}
    tables: dict[Task, list[dict[str, Any]]] = {"likelihood": [], "samples": [], "problems": []}
    for record in records:
        table = read_table(workspace.root / record.files[0].path)
        tables[task_of[record.shard]] += table.to_pylist()
    metrics, info = summary(tables)
    # What compares measurements (the stage `scaling`) sees the artifacts it is given, not theirs.
    trained = workspace.input("model").info
    info["measured"] = metrics
    info["trained"] = {key: trained.get(key) for key in ("model", "objective", "tokens")}
    return StageOutput(output.files, output.ledger, metrics, info, output.schema)


def summary(
    tables: Mapping[Task, Sequence[Mapping[str, Any]]],
) -> tuple[dict[str, float], dict[str, Any]]:
    """Return the figures of what was measured (nats a token, accuracy) and what a person reads.

    A bound and an exact likelihood have names of their own: `bound_*` and `nll_*`, in nats a token
    and bits a byte of the decoded text.
    """
    metrics: dict[str, float] = {}
    info: dict[str, Any] = {"samples": [dict(row) for row in tables["samples"]]}
    if bounds := tables["likelihood"]:
        tokens = sum(row["tokens"] for row in bounds)
        nats, size = -sum(row["value"] for row in bounds), sum(row["bytes"] for row in bounds)
        name = "nll" if bounds[0]["exact"] else "bound"
        metrics[f"{name}_nats_per_token"] = nats / tokens
        metrics[f"{name}_bits_per_byte"] = nats / log(2) / max(1, size)
        if name == "bound":
            metrics["bound_stderr"] = sum(row["stderr"] ** 2 for row in bounds) ** 0.5 / tokens
        metrics["sequences"] = float(len(bounds))
    if problems := tables["problems"]:
        metrics["exact_match"] = sum(bool(row["right"]) for row in problems) / len(problems)
        metrics["problems"] = float(len(problems))
        shown = ("prompt", "answer", "text", "right")
        info["problems"] = [{key: row[key] for key in shown} for row in problems[:3]]
    return metrics, info


def _units(inputs: Mapping[str, InputArtifact], config: EvaluateConfig) -> list[EvaluateUnit]:
    units: list[EvaluateUnit] = []
    if "tokens" in inputs:
        units += _text_units(inputs["tokens"], "likelihood", config.sequences)
        units += _text_units(inputs["tokens"], "samples", config.samples)
    if "pairs" in inputs:
        entry = inputs["pairs"].entries("validation")[0]
        path = str(inputs["pairs"].path(entry))
        units += _slices("problems", "problems", path, min(config.problems, entry.rows))
    if not units:
        raise InputError(
            "evaluate: nothing to measure on; fill the slot `tokens` (with a validation_share "
            "above 0), the slot `pairs`, or both"
        )
    return units


def _text_units(tokens: InputArtifact, task: Task, rows: int) -> list[EvaluateUnit]:
    units: list[EvaluateUnit] = []
    held_out = zip(tokens.entries("validation"), tokens.paths("validation"), strict=True)
    for number, (entry, path) in enumerate(held_out):
        taken = min(rows, entry.rows)
        units += _slices(task, f"{task}-{number:03d}", str(path), taken)
        rows -= taken
    return units


def _slices(task: str, name: str, path: str, rows: int, size: int = 8) -> list[EvaluateUnit]:
    return [
        EvaluateUnit.model_validate(
            {
                "shard": f"{name}-{first:05d}",
                "task": task,
                "path": path,
                "first": first,
                "rows": min(size, rows - first),
            }
        )
        for first in range(0, rows, size)
    ]


def _sequences(unit: EvaluateUnit) -> list[tuple[int, list[int]]]:
    with storage.local(storage.at(unit.path)) as path, pa.memory_map(str(path)) as source:
        table = pa.ipc.open_stream(source).read_all().slice(unit.first, unit.rows)
        return list(enumerate(table["input_ids"].to_pylist(), start=unit.first))
