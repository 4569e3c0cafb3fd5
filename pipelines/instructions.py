"""Build instruction pairs for SFT: our own graded arithmetic problems in the chat form."""

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from pipelines import schemas
from pipelines.ledger import Count, Ledger
from pipelines.shards import ShardFiles
from pipelines.tokenize import copy_tokenizer, tokenizer_files
from pipelines.workspace import Progress, StageOutput, Workspace


class InstructionsConfig(BaseModel):
    """How many problems, how hard; training and evaluation problems never share a prompt."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    train: int = Field(default=2000, ge=1)
    evaluation: int = Field(default=64, ge=1)
    max_operations: int = Field(default=1, ge=1)
    modulus: int = Field(default=5, ge=2)
    seed: int = 0


def run(workspace: Workspace, config: InstructionsConfig) -> StageOutput:
    """Write pairs of ids (data) and the evaluation problems as text (validation)."""
    from llada.benchmarks.igsm import IgsmConfig, examples, prompt, response
    from llada.chat import Message, render_pair
    from llada.tokenizer import Tokenizer

    artifact = workspace.input("tokenizer")
    tokenizer = Tokenizer.load(tokenizer_files(artifact).folder())
    task = IgsmConfig(max_operations=config.max_operations, modulus=config.modulus)
    drawn = examples(task, config.train, seed=config.seed, split="train")
    held = examples(task, config.evaluation, seed=config.seed, split="eval")
    workspace.on_progress(Progress(0, 1, "shards"))
    turns = [
        [Message(role="user", content=prompt(e)), Message(role="assistant", content=response(e))]
        for e in drawn
    ]
    prompts, responses = zip(*(render_pair(pair, tokenizer) for pair in turns), strict=True)
    names = [f"igsm-train-{config.seed}-{number}" for number in range(len(drawn))]
    pairs = pa.table(
        {"prompt_ids": prompts, "response_ids": responses, "doc_id": names},
        schema=schemas.pair_shard(tokenizer.vocab_size),
    )
    problems = pa.Table.from_pylist(
        [
            {
                "doc_id": f"igsm-eval-{config.seed}-{number}",
                "prompt": prompt(e),
                "response": response(e),
                "answer": str(e.answer),
            }
            for number, e in enumerate(held)
        ],
        schema=schemas.PAIRS_TEXT,
    )
    files = ShardFiles(workspace.root, "00000", workspace.attempt)
    files.write_arrow(pairs, "data")
    files.write_parquet(problems, "validation")
    count = Count(rows=pairs.num_rows)
    workspace.on_progress(Progress(1, 1, "shards"))
    return StageOutput(
        files=(*files.entries, *copy_tokenizer(artifact, workspace.root)),
        ledger=Ledger(unit="pairs", entered=count, kept=count),
        metrics={
            "pairs": pairs.num_rows,
            "evaluation_pairs": problems.num_rows,
            "longest_response": max(map(len, responses)),
        },
        info={"task": task.model_dump(mode="json"), "vocab_size": tokenizer.vocab_size},
        schema=schemas.pair_shard(tokenizer.vocab_size).to_string(),
    )
