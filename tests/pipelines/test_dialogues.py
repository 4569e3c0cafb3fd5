"""Dialogues become pairs that share a doc_id; what is no dialogue is kept aside with its reason."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from llada.chat import render
from llada.tokenizer import Tokenizer
from pipelines import source
from pipelines.dialogues import DialoguesConfig, Rejected, messages_of, run
from pipelines.errors import InputError
from pipelines.pretrain import rows_an_epoch
from pipelines.shards import settle
from pipelines.source import SourceConfig
from pipelines.workspace import InputArtifact, StageOutput
from tests.support.stages import rows_of, workspace

TWO_TURNS = [
    {"role": "system", "content": "be brief"},
    {"role": "user", "content": "two and two?"},
    {"role": "assistant", "content": "four"},
    {"role": "user", "content": "and one?"},
    {"role": "assistant", "content": "five"},
]
LINES = [
    json.dumps({"messages": TWO_TURNS}),
    json.dumps({"prompt": "who?", "response": "me"}),
    json.dumps({"prompt": "long?", "response": "very " * 60}),
    "{broken",
    json.dumps({"text": "a web page"}),
    json.dumps({"messages": [{"role": "robot", "content": "beep"}]}),
    json.dumps({"messages": [{"role": "user", "content": "anyone?"}]}),
    json.dumps({"prompt": "empty?", "response": " "}),
]


def made(folder: Path, lines: list[str], name: str = "a.jsonl") -> tuple[StageOutput, Tokenizer]:
    data = folder / "data"
    data.mkdir()
    (data / name).write_text("\n".join(lines) + "\n")
    at = workspace(folder / "listing", {})
    listed = source.run(at, SourceConfig(paths=(str(data),)))
    listing = InputArtifact("files", "source", "0" * 64, at.root, listed.files, listed.info)
    tokenizer = Tokenizer.train(["two and two is four"] * 2, vocab_size=290)
    root = folder / "bpe"
    tokenizer.save(root / "data")
    files = settle(root, root / "data", "data")
    bpe = InputArtifact("bpe", "tokenizer", "1" * 64, root, files, {"vocab_size": 290})
    here = workspace(folder, {"source": listing, "tokenizer": bpe})
    return run(here, DialoguesConfig(max_length=200)), tokenizer


def pairs_of(folder: Path, output: StageOutput) -> list[dict[str, Any]]:
    path = next(entry.path for entry in output.files if entry.role == "data")
    with pa.memory_map(str(folder / "out" / path)) as mapped:
        rows: list[dict[str, Any]] = pa.ipc.open_stream(mapped).read_all().to_pylist()
    return rows


def test_every_answer_is_a_pair_and_the_dialogue_stays_together(tmp_path: Path) -> None:
    output, tokenizer = made(tmp_path, LINES)
    pairs = pairs_of(tmp_path, output)
    assert [pair["doc_id"] for pair in pairs] == [
        "a.jsonl:0",
        "a.jsonl:0",
        f"a.jsonl:{len(LINES[0]) + 1}",
    ]
    whole = render(TWO_TURNS, tokenizer, add_generation_prompt=False)  # type: ignore[arg-type]
    first, second = (pair["prompt_ids"] + pair["response_ids"] for pair in pairs[:2])
    assert second == [*whole, tokenizer.special.eos]
    assert first[:-1] == whole[: len(first) - 1]
    assert output.info["dialogues"] == 2
    artifact = InputArtifact("p", "dialogues", "2" * 64, tmp_path, output.files, output.info)
    assert rows_an_epoch(artifact) == 2


def test_what_is_not_learned_from_is_counted_by_reason_and_kept(tmp_path: Path) -> None:
    output, _ = made(tmp_path, LINES)
    dropped = {rule: count.rows for rule, count in output.ledger.dropped.items()}
    assert dropped == {
        "empty_message": 1, "no_answer": 1, "no_messages": 1, "not_json": 1, "too_long": 1,
        "unknown_role": 1,
    }  # fmt: skip
    output.ledger.balance("dialogues")
    rejects = {row["rule"]: row for row in rows_of(tmp_path, output, "rejects")}
    assert rejects.keys() == dropped.keys()
    assert rejects["too_long"]["value"] > 200
    assert rejects["not_json"]["text"] == "{broken"


def test_a_file_of_another_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"dialogues are read from JSON lines, this is text"):
        made(tmp_path, ["hello"], "a.txt")


def test_files_without_a_pair_say_what_was_found(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"found 1 no_messages\. A line is"):
        made(tmp_path, [json.dumps({"text": "a web page"})])


@pytest.mark.parametrize("line", [b"[1, 2]", b'{"messages": "hi"}', b'{"prompt": "only"}'])
def test_other_json_is_no_dialogue(line: bytes) -> None:
    assert messages_of(line) == Rejected("no_messages")
