"""Turn listed dialogues into instruction pairs: an n-turn dialogue gives n (history, answer) pairs.

A line is {"messages": [{"role": ..., "content": ...}, ...]} or {"prompt": ..., "response": ...}.
All pairs of a dialogue share its doc_id, by which SFT draws one of them an epoch (appendix B.1).
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from pipelines import schemas, storage
from pipelines.errors import InputError
from pipelines.extract import listed
from pipelines.ledger import Count, Ledger
from pipelines.listed_files import SourceFile
from pipelines.local_copies import Bundle
from pipelines.reading.lines import lines_of
from pipelines.reading.portion import AS_USUAL, Portion
from pipelines.reading.records import Reject
from pipelines.shards import ShardFiles, ShardRecord, save_record
from pipelines.streams import BrokenStreamError
from pipelines.tokenize import copy_tokenizer, tokenizer_files
from pipelines.unchanged import check_unchanged
from pipelines.units import run_units, stage_output
from pipelines.workspace import StageOutput, Workspace

if TYPE_CHECKING:
    from llada.chat import Message

_ROLES = ("system", "user", "assistant")
_REJECT = pa.schema(
    [
        pa.field("doc_id", pa.string(), nullable=False),
        pa.field("rule", pa.string(), nullable=False),
        pa.field("value", pa.float64()),
        pa.field("text", pa.large_string(), nullable=False),
    ]
)


class DialoguesConfig(BaseModel):
    """Which pairs a model can learn from."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    max_length: int = Field(default=4096, ge=8)
    """Tokens of prompt and answer together; longer pairs are dropped, never cut."""


class DialogueUnit(BaseModel):
    """One listed file."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    shard: str
    file: SourceFile


class Rejected(NamedTuple):
    """A line or a pair that is not learned from; `value` is what was measured, if anything."""

    rule: str
    value: float | None = None


class DialoguesWorker:
    """Reads one file of dialogues and writes its pairs."""

    def __init__(self, root: str, attempt: str, tokenizer: Bundle, config: DialoguesConfig) -> None:
        from llada.tokenizer import Tokenizer

        self._root, self._attempt, self._config = storage.at(root), attempt, config
        self._tokenizer = Tokenizer.load(tokenizer.folder())

    def __call__(self, unit: Mapping[str, Any]) -> ShardRecord:
        """Read the file, write pairs and rejects, return the record."""
        todo = DialogueUnit.model_validate(unit)
        pairs: list[dict[str, Any]] = []
        rejects: list[dict[str, Any]] = []
        for doc_id, text, found in _lines(todo.file):
            for each in [found] if isinstance(found, Rejected) else self._pairs(found):
                if isinstance(each, Rejected):
                    rejects.append({"doc_id": doc_id, "text": text, **each._asdict()})
                else:
                    pairs.append({"prompt_ids": each[0], "response_ids": each[1], "doc_id": doc_id})
        files = ShardFiles(self._root, todo.shard, self._attempt)
        if pairs:
            schema = schemas.pair_shard(self._tokenizer.vocab_size)
            files.write_arrow(pa.Table.from_pylist(pairs, schema=schema), "data")
        if rejects:
            files.write_parquet(pa.Table.from_pylist(rejects, schema=_REJECT), "rejects")
        dropped = Counter(reject["rule"] for reject in rejects)
        record = ShardRecord(
            shard=todo.shard,
            files=files.entries,
            ledger=Ledger(
                unit="pairs",
                entered=Count(rows=len(pairs) + len(rejects)),
                kept=Count(rows=len(pairs)),
                dropped={rule: Count(rows=count) for rule, count in sorted(dropped.items())},
            ),
            metrics={
                "dialogues": len({pair["doc_id"] for pair in pairs}),
                "tokens": sum(len(p["prompt_ids"]) + len(p["response_ids"]) for p in pairs),
            },
        )
        return save_record(self._root, record)

    def _pairs(
        self, messages: "Sequence[Message]"
    ) -> Iterator[tuple[list[int], list[int]] | Rejected]:
        from llada.chat import render_pair

        for turns in histories(messages):
            prompt, response = render_pair(turns, self._tokenizer)
            length = len(prompt) + len(response)
            if length > self._config.max_length:
                yield Rejected("too_long", float(length))
            else:
                yield prompt, response


def histories(messages: "Sequence[Message]") -> "list[Sequence[Message]]":
    """Return the dialogue cut after each of its answers."""
    answers = [place for place, each in enumerate(messages) if each["role"] == "assistant"]
    return [messages[: place + 1] for place in answers]


def run(workspace: Workspace, config: DialoguesConfig) -> StageOutput:
    """Make pairs of the dialogues in the slot `source`, encoded with the slot `tokenizer`.

    Raises:
        InputError: a file is no JSON lines, or no pair is left to learn from.
    """
    tokenizer = workspace.input("tokenizer")
    files = listed(workspace.input("source"))
    for file in files:
        if file.format != "jsonl":
            raise InputError(
                f"{file.uri}: dialogues are read from JSON lines, this is {file.format}; list "
                "*.jsonl files (or compressed ones), or set format: jsonl in the source stage"
            )
    units = [DialogueUnit(shard=f"{n:05d}", file=file) for n, file in enumerate(files)]
    source = tokenizer_files(tokenizer)
    factory = partial(DialoguesWorker, str(workspace.root), workspace.attempt, source, config)
    records = run_units(workspace, units, factory, unit="files")
    output = stage_output(
        records,
        schema=schemas.pair_shard(tokenizer.info["vocab_size"]).to_string(),
        info={
            "vocab_size": tokenizer.info["vocab_size"],
            "dialogues": round(sum(record.metrics["dialogues"] for record in records)),
        },
        extra_files=copy_tokenizer(tokenizer, workspace.root),
        unit="pairs",
    )
    if not output.ledger.kept.rows:
        rules = ", ".join(f"{count.rows:,} {rule}" for rule, count in output.ledger.dropped.items())
        raise InputError(
            f"no pair in {len(files)} files, first {files[0].uri}: found {rules or 'nothing'}. A "
            'line is {"messages": [{"role": "user", "content": "..."}, ...]} or {"prompt": "...", '
            '"response": "..."}'
        )
    return output


def _lines(file: SourceFile) -> "Iterator[tuple[str, str, list[Message] | Rejected]]":
    """Yield (doc_id, the line, its messages or why there are none)."""
    portion = Portion(file=file)
    check_unchanged(portion)
    try:
        for line in lines_of(portion, AS_USUAL):
            if isinstance(line, Reject):
                yield line.doc_id, line.text, Rejected(line.rule)
            else:
                content = line.content or b""
                text = content.decode(errors="replace")
                yield f"{file.name}:{line.offset}", text, messages_of(content)
    except BrokenStreamError as error:
        raise InputError(
            f"{file.uri}: the file is broken: {error.reason}. Replace it: a dialogue cut in two "
            "teaches answers that end in the middle"
        ) from error


def messages_of(line: bytes) -> "list[Message] | Rejected":
    """Return the messages of one line, or why it is no dialogue."""
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError):
        return Rejected("not_json")
    if isinstance(fields, dict) and {"prompt", "response"} <= fields.keys():
        fields = {
            "messages": [
                {"role": "user", "content": fields["prompt"]},
                {"role": "assistant", "content": fields["response"]},
            ]
        }
    messages = fields.get("messages") if isinstance(fields, dict) else None
    if not isinstance(messages, list):
        return Rejected("no_messages")
    for each in messages:
        if not isinstance(each, dict) or each.get("role") not in _ROLES:
            return Rejected("unknown_role")
        if not isinstance(each.get("content"), str) or not each["content"].strip():
            return Rejected("empty_message")
    if not any(each["role"] == "assistant" for each in messages):
        return Rejected("no_answer")
    return [{"role": each["role"], "content": each["content"]} for each in messages]
