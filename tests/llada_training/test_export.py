"""Any intact checkpoint becomes a model that loads and computes what the training computed."""

import json
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import tokenizers
import torch
from click.testing import CliRunner
from jinja2.sandbox import ImmutableSandboxedEnvironment
from torch import distributed as dist
from torch._C._distributed_c10d import HashStore

from llada.chat import Message, render
from llada.model import MaskPredictor
from llada.tokenizer import Tokenizer
from llada.training.checkpoint import Checkpoints, claim_folder, complete_checkpoints
from llada.training.errors import CheckpointError
from llada.training.export import load_checkpoint
from llada.training.retention import RetentionConfig
from llada.training.state_files import PARTS, Fragment, write_state
from pipelines import storage
from pipelines.checkpoint_mirror import mirrored
from pipelines.shards import ShardFiles
from tests.llada_training import tiny
from tests.support.stores import publish
from workflows.cli import cli
from workflows.errors import RefError, UsageError
from workflows.exporting import export_in_training, export_model

KEY = "0123456789ab"


@pytest.fixture(scope="module", autouse=True)
def process_group() -> Iterator[None]:
    dist.init_process_group("gloo", store=HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store whose stage `base` has three checkpoints and was never published."""
    store = tmp_path_factory.mktemp("store")
    job = tiny.job(store / "pretrain" / f"base-{KEY}", tiny.training())
    root = Path(job.checkpoint_dir)
    claim_folder(root, job.identity())
    kept = Checkpoints(root, RetentionConfig(last=3))
    for step in (4, 8, 12):
        kept.save(step, partial(partial, write_cut, step), tokens=step)
        kept.wait()
    texts = ["a text to learn a few merges from, and another one"] * 3
    Tokenizer.train(texts, vocab_size=290).save(root)
    return store


def model_after(step: int) -> MaskPredictor:
    return MaskPredictor(tiny.MODEL, rng=torch.Generator().manual_seed(step)).eval()


def write_cut(step: int, folder: Path) -> list[Path]:
    """Write the state as two ranks would, each parameter cut at a third of it."""
    halves: tuple[list[Fragment], list[Fragment]] = ([], [])
    for name, parameter in model_after(step).named_parameters():
        flat = parameter.detach().reshape(-1)
        cut = len(flat) // 3
        for half, start, end in ((halves[0], 0, cut), (halves[1], cut, len(flat))):
            tensors = {part: flat[start:end].clone() for part in PARTS}
            half.append(Fragment(f"predictor.{name}", tuple(parameter.shape), start, tensors))
    return [
        path
        for rank, half in enumerate(halves)
        for path in write_state(folder, rank, half, updates=step)
    ]


def logits(model: MaskPredictor) -> torch.Tensor:
    return model(torch.tensor([[4, 9, 4, 12, 30, 4]]))


def loaded(folder: Path) -> MaskPredictor:
    return MaskPredictor.from_pretrained(folder).eval()


def checkpoints(store: Path) -> Path:
    return store / "pretrain" / f"base-{KEY}" / "checkpoints"


def test_the_newest_checkpoint_computes_what_the_training_did(store: Path, tmp_path: Path) -> None:
    done = export_in_training(store, "base", tmp_path / "out", None)
    assert done.origin == f"base-{KEY}, step 12"
    assert torch.equal(logits(loaded(tmp_path / "out")), logits(model_after(12)))
    assert Tokenizer.load(tmp_path / "out").vocab_size == 290


def test_the_command_exports_an_earlier_step(store: Path, tmp_path: Path) -> None:
    arguments = ["export", "model", "base", "--store", str(store), "--step", "8"]
    result = CliRunner().invoke(cli, [*arguments, "--out", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    assert torch.equal(logits(loaded(tmp_path / "out")), logits(model_after(8)))


@pytest.mark.parametrize(("layout", "dtype"), [("llama", "float32"), ("llada", "bfloat16")])
def test_other_forms_load_just_as_well(
    store: Path, tmp_path: Path, layout: str, dtype: str
) -> None:
    arguments = ["export", "model", "base", "--store", str(store), "--step", "newest"]
    form = ["--layout", layout, "--dtype", dtype]
    result = CliRunner().invoke(cli, [*arguments, *form, "--out", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    expected = model_after(12).to(getattr(torch, dtype))
    assert torch.equal(logits(loaded(tmp_path / "out")), logits(expected))
    names = (tmp_path / "out" / "config.json").read_text()
    assert ('"hidden_size"' in names, '"d_model"' in names) == (
        layout == "llama",
        layout == "llada",
    )


def test_a_finished_model_is_written_whole(store: Path, tmp_path: Path) -> None:
    made = tmp_path / "made"
    model_after(3).save_pretrained(made)
    files = ShardFiles(tmp_path / "store" / "pretrain" / "base-x", "00000", "hand")
    for path in made.iterdir():
        files.write_bytes(path.read_bytes(), "model", name=path.name)
    publish(tmp_path / "store", "base", "pretrain", "model", files=files.entries, key="x")
    done = export_model(tmp_path / "store", "base", tmp_path / "out")
    assert done.origin.startswith("base@")
    assert torch.equal(logits(loaded(tmp_path / "out")), logits(model_after(3)))


def test_a_damaged_checkpoint_is_named_and_the_one_before_taken(
    store: Path, tmp_path: Path
) -> None:
    root = tmp_path / "checkpoints"
    shutil.copytree(checkpoints(store), root)
    newest = complete_checkpoints(root)[0]
    state = max(newest.folder.iterdir(), key=lambda path: path.stat().st_size)
    content = bytearray(state.read_bytes())
    content[-1] ^= 1
    state.write_bytes(content)
    model, done = load_checkpoint(root)
    assert torch.equal(logits(model.eval()), logits(model_after(8)))
    assert done.step == 8
    assert done.passed_over == (f"{newest.folder.name}: {state.name} changed after it was written",)
    with pytest.raises(CheckpointError, match=r"step 12: complete are those of step 4, 8, 12; dam"):
        load_checkpoint(root, step=12)


def test_a_checkpoint_in_a_bucket_is_exported_from_any_machine(
    store: Path, s3_store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = storage.store_root(s3_store)
    there = bucket / "pretrain" / f"base-{KEY}" / "checkpoints"
    with mirrored(checkpoints(store), there, RetentionConfig()):
        pass
    for path in checkpoints(store).glob("tokenizer*"):
        storage.write_bytes(there / path.name, path.read_bytes())
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "another machine"))
    done = export_in_training(bucket, "base", tmp_path / "out", None)
    assert done.origin.endswith("step 12")
    assert torch.equal(logits(loaded(tmp_path / "out")), logits(model_after(12)))
    assert Tokenizer.load(tmp_path / "out").vocab_size == 290


def test_a_folder_with_something_in_it_is_refused(store: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep me")
    with pytest.raises(UsageError, match=r"holds mine.txt already"):
        export_in_training(store, "base", tmp_path, None)


def test_what_is_not_there_names_what_is(store: Path, tmp_path: Path) -> None:
    with pytest.raises(RefError, match=r"no training of a stage 'bass'.*unfinished there: base"):
        export_in_training(store, "bass", tmp_path / "out", None)
    with pytest.raises(RefError, match="no artifact answers to 'base'"):
        export_model(store, "base", tmp_path / "out")


def test_the_chat_template_says_what_the_ids_say(store: Path) -> None:
    folder = checkpoints(store)
    written = json.loads((folder / "tokenizer_config.json").read_text())["chat_template"]
    messages = [
        Message(role="system", content="be brief "),
        Message(role="user", content="two and two?"),
        Message(role="assistant", content="four"),
        Message(role="user", content="and\n\none?"),
    ]
    template = ImmutableSandboxedEnvironment().from_string(written)
    text = template.render(messages=messages, add_generation_prompt=True)
    tokenizer = Tokenizer.load(folder)
    assert encoded_as_others_do(folder, text) == render(
        messages, tokenizer, add_generation_prompt=True
    )


def encoded_as_others_do(folder: Path, text: str) -> list[int]:
    """Encode a text in which special tokens are spelled out, as readers of the file do."""
    ids: list[int] = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json")).encode(text).ids
    return ids
