"""The reversal experiment as stages: write a small world down, then ask a model about it both ways.

See llada/reversal.py for the world. A row of the training text is one sentence, filled
up with EOS: nothing beside a fact can give it away.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import product
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from llada import reversal as world
from pipelines import schemas, storage
from pipelines.ledger import Count, Ledger
from pipelines.local_copies import Bundle, scratch
from pipelines.shards import ShardFiles, ShardRecord, read_table, save_record, settle
from pipelines.tokenize import Packed
from pipelines.units import run_units, stage_output
from pipelines.workspace import Progress, StageOutput, Workspace

Way = Literal["forward", "backward", "filled_in"]
WAYS: tuple[Way, ...] = ("forward", "backward", "filled_in")
_ROOM = 2  # EOS after the longest sentence: a row always ends
_VOCABULARY = 4096  # more than the world's words need, so each of them is one token


class AskConfig(BaseModel):
    """How many people are asked about."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    people: int = Field(default=1000, ge=1)
    """At most so many, half of them told of in one order."""


def write_down(workspace: Workspace, config: world.ReversalConfig) -> StageOutput:
    """Write the sentences as token shards, with a tokenizer that has a token for every word."""
    from llada.tokenizer import Tokenizer

    workspace.on_progress(Progress(0, 1, "worlds"))
    text = world.sentences(world.people(config))
    tokenizer = Tokenizer.train(text, vocab_size=_VOCABULARY, min_frequency=1)
    encoded = tokenizer.encode_batch(text)
    length = max(map(len, encoded)) + _ROOM
    packed = Packed(length, tokenizer.special.eos)
    for number, ids in enumerate(encoded):
        row = np.full(length, tokenizer.special.eos, dtype=np.uint32)
        row[: len(ids)] = ids
        packed.rows.append(row)
        packed.doc_ids.append([f"sentence-{number}"])
        packed.offsets.append([0])
    files = ShardFiles(workspace.root, "00000", workspace.attempt)
    files.write_arrow(packed.table(tokenizer.vocab_size), "data")
    beside = workspace.root / "aside"
    tokenizer.save(scratch(beside))
    count = Count(rows=len(text))
    workspace.on_progress(Progress(1, 1, "worlds"))
    return StageOutput(
        files=(*files.entries, *settle(workspace.root, beside, "aside")),
        ledger=Ledger(unit="sentences", entered=count, kept=count),
        metrics={
            "tokens": sum(map(len, encoded)) + len(text),  # one EOS ends a sentence
            "sequences": len(text),
            "padding": len(text) * (length - 1) - sum(map(len, encoded)),
            "validation_tokens": 0,
            "validation_sequences": 0,
        },
        info={
            "sequence_length": length,
            "vocab_size": tokenizer.vocab_size,
            "world": config.model_dump(mode="json"),
            "example": text[0],
        },
        schema=schemas.token_shard(length, tokenizer.vocab_size).to_string(),
    )


class AskUnit(BaseModel):
    """One way of asking."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    shard: str
    way: Way


class AskWorker:
    """Loads the model once and asks it about everybody, one way at a time."""

    def __init__(
        self,
        root: str,
        attempt: str,
        model: Bundle,
        people: Sequence[world.Person],
        length: int,
    ) -> None:
        import torch

        from llada.model import MaskPredictor
        from llada.tokenizer import Tokenizer

        torch.set_num_threads(1)
        self._root, self._attempt, self._people = storage.at(root), attempt, people
        folder = model.folder()
        self._tokenizer, self._length = Tokenizer.load(folder), length
        self._model = MaskPredictor.from_pretrained(
            folder, dtype=torch.float32, device="cpu"
        ).eval()

    def __call__(self, unit: Mapping[str, Any]) -> ShardRecord:
        """Ask one way, write question and answer of every person, return the record."""
        todo = AskUnit.model_validate(unit)
        rows = [self._ask(todo.way, person) for person in self._people]
        files = ShardFiles(self._root, todo.shard, self._attempt)
        files.write_parquet(pa.Table.from_pylist(rows), "report")
        count = Count(rows=len(rows))
        record = ShardRecord(
            shard=todo.shard,
            files=files.entries,
            ledger=Ledger(unit="questions", entered=count, kept=count),
        )
        return save_record(self._root, record)

    def _ask(self, way: Way, person: world.Person) -> dict[str, Any]:
        if way == "filled_in":
            asked, follows = world.filled_in(person)
            given = ""
        else:
            given, asked = world.question(person, way)
            follows = ""
        before, gap, after = map(self._tokenizer.encode, (given, asked, follows))
        answer = self._answer(before, len(gap), after)
        return {
            "way": way,
            "name": person.name,
            "told_backward": person.told_backward,
            "asked": f"{given}_{follows}",
            "expected": asked,
            "answered": self._tokenizer.decode(answer),
            "right": answer == gap,
        }

    def _answer(self, before: list[int], gap: int, after: list[int]) -> list[int]:
        """Return `gap` tokens, the likeliest first: left to right, or by low-confidence remasking.

        Both are told how long the answer is; a mask predictor sees the row as it was trained on.
        """
        import torch

        from llada.sampling import SamplingConfig
        from llada.sampling.autoregressive import generate_autoregressive
        from llada.sampling.infill import infill

        if self._model.config.causal:
            done = generate_autoregressive(self._model, torch.tensor([before]), gap)
        else:
            row = [*before, *[self._tokenizer.special.mask] * gap, *after]
            row += [self._tokenizer.special.eos] * (self._length - len(row))
            sampling = SamplingConfig(steps=gap, gen_length=gap, block_length=gap)
            done = infill(self._model, torch.tensor([row]), sampling)
        ids: list[int] = done.ids_BT[0, len(before) : len(before) + gap].tolist()
        return ids


def ask(workspace: Workspace, config: AskConfig) -> StageOutput:
    """Ask the model of the slot `model` about the world in the slot `tokens`.

    Forward is NAME is ..., backward is DESCRIPTION is ..., filled in is ... is DESCRIPTION: the
    sentence as it was told, its name masked, which only a model that sees both sides can be asked.
    """
    model, tokens = workspace.input("model"), workspace.input("tokens")
    known = world.people(world.ReversalConfig.model_validate(tokens.info["world"]))
    causal = bool(model.info["model"]["causal"])
    units = [AskUnit(shard=way, way=way) for way in WAYS if not (causal and way == "filled_in")]
    factory = partial(
        AskWorker,
        str(workspace.root),
        workspace.attempt,
        model.bundle("model"),
        known[: config.people],
        tokens.info["sequence_length"],
    )
    records = run_units(workspace, units, factory, unit="ways of asking")
    output = stage_output(records, schema="one Parquet a way of asking", unit="questions")
    rows = [
        row
        for record in records
        for row in read_table(workspace.root / record.files[0].path).to_pylist()
    ]
    metrics, info = summary(rows)
    return StageOutput(output.files, output.ledger, metrics, info, output.schema)


def summary(rows: Sequence[Mapping[str, Any]]) -> tuple[dict[str, float], dict[str, Any]]:
    """Return the share of right answers by way and by how the person was told of."""
    metrics: dict[str, float] = {}
    shown: list[dict[str, Any]] = []
    for way, both in product(WAYS, (True, False)):
        own = [row for row in rows if row["way"] == way and row["told_backward"] == both]
        if own:
            told = "told_both_ways" if both else "told_one_way"
            metrics[f"{way}_{told}"] = sum(bool(row["right"]) for row in own) / len(own)
            shown += [dict(row) for row in own[:2]]
    return metrics, {"answers": shown}
