"""Shards, damage, files that must not be trusted, and how much memory a load takes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from llada import weights
from llada.config import ModelConfig
from llada.errors import LladaError
from llada.layouts import LayoutName
from llada.model import MaskPredictor

TINY = {"d_model": 16, "n_layers": 3, "n_heads": 2, "n_kv_heads": 1, "ffn_hidden": 24}
INDEX = "model.safetensors.index.json"
BLOCK = "model.transformer.blocks.1"


@pytest.fixture
def model() -> MaskPredictor:
    return MaskPredictor(
        ModelConfig.preset("tiny", **TINY, vocab_size=32), rng=torch.Generator().manual_seed(0)
    )


@pytest.fixture
def sharded(model: MaskPredictor, tmp_path: Path) -> Path:
    model.save_pretrained(tmp_path, max_shard_bytes=6000)
    return tmp_path


def weight_map(folder: Path) -> dict[str, str]:
    found = json.loads((folder / INDEX).read_text())["weight_map"]
    assert isinstance(found, dict)
    return found


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("layout", ["llada", "llama"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_shards_keep_every_bit(
    model: MaskPredictor, tmp_path: Path, layout: LayoutName, dtype: torch.dtype
) -> None:
    model.to(dtype).save_pretrained(tmp_path, layout=layout, max_shard_bytes=5000)
    files = sorted(tmp_path.glob("*.safetensors"))
    assert [file.name for file in files] == [
        f"model-{i + 1:05}-of-{len(files):05}.safetensors" for i in range(len(files))
    ]
    assert len(files) > 2
    for file in files:
        tensors = load_file(file)
        assert sum(t.nbytes for t in tensors.values()) <= 5000 or len(tensors) == 1
        assert {name for name, place in weight_map(tmp_path).items() if place == file.name} == set(
            tensors
        )
    total = json.loads((tmp_path / INDEX).read_text())["metadata"]["total_size"]
    assert total == sum(t.nbytes for t in model.state_dict().values())
    again = MaskPredictor.from_pretrained(tmp_path)
    for name, tensor in model.state_dict().items():
        assert again.state_dict()[name].dtype == dtype
        assert torch.equal(again.state_dict()[name], tensor), name


def test_writing_over_a_model_leaves_nothing_of_it(model: MaskPredictor, sharded: Path) -> None:
    loaded = MaskPredictor.from_pretrained(sharded)  # mapped from the very files that go
    loaded.save_pretrained(sharded)
    assert names(sharded) == {"config.json", "model.safetensors"}
    loaded.save_pretrained(sharded, layout="llama", max_shard_bytes=10**9)
    assert names(sharded) == {"config.json", "model-00001-of-00001.safetensors", INDEX}
    again = MaskPredictor.from_pretrained(sharded).state_dict()
    assert all(torch.equal(again[name], tensor) for name, tensor in model.state_dict().items())


class CutError(Exception):
    """The power goes."""


@pytest.mark.parametrize("survived", range(6))
def test_a_crash_at_any_file_leaves_a_whole_model_or_none(
    model: MaskPredictor, sharded: Path, survived: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = MaskPredictor(model.config, rng=torch.Generator().manual_seed(1))
    publish, published = weights._publish, []

    def publish_some(folder: Path, name: str) -> None:
        if len(published) == survived:
            raise CutError
        published.append(name)
        publish(folder, name)

    monkeypatch.setattr(weights, "_publish", publish_some)
    try:
        other.save_pretrained(sharded, max_shard_bytes=12_000)
        finished = True
    except CutError:
        finished = False
    assert finished == (published[-2:] == [INDEX, "config.json"])
    if finished:
        found = MaskPredictor.from_pretrained(sharded).state_dict()
        assert all(torch.equal(found[name], t) for name, t in other.state_dict().items())
    else:
        with pytest.raises(LladaError, match=r"no config\.json"):
            MaskPredictor.from_pretrained(sharded)
    monkeypatch.undo()
    other.save_pretrained(sharded)  # and the way out is to write it again
    assert MaskPredictor.from_pretrained(sharded).config == model.config


def test_a_full_disk_leaves_the_old_model(
    model: MaskPredictor, sharded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(weights, "save_file", full)
    with pytest.raises(OSError, match="No space"):
        model.save_pretrained(sharded)
    state = MaskPredictor.from_pretrained(sharded).state_dict()
    assert all(torch.equal(state[name], tensor) for name, tensor in model.state_dict().items())


def test_a_tensor_in_two_shards_is_named_with_both(sharded: Path) -> None:
    one, two = sorted(sharded.glob("*.safetensors"))[:2]
    name = next(iter(load_file(one)))
    save_file({**load_file(two), name: load_file(one)[name]}, two)
    with pytest.raises(LladaError, match=rf"{name} is in {one.name} and in {two.name}"):
        MaskPredictor.from_pretrained(sharded)


def test_an_index_of_other_files_is_found_out(sharded: Path) -> None:
    where = weight_map(sharded)
    first, last = sorted(set(where.values()))[0], sorted(set(where.values()))[-1]
    name = next(name for name, file in where.items() if file == first)
    (sharded / INDEX).write_text(json.dumps({"weight_map": {**where, name: last}}))
    with pytest.raises(LladaError, match=rf"{name} should be in {last}, which lacks it"):
        MaskPredictor.from_pretrained(sharded)


@pytest.mark.parametrize(
    "place", ["../model.safetensors", "/etc/model.safetensors", "sub/a.safetensors", "x.bin", 3]
)
def test_an_index_cannot_lead_elsewhere(sharded: Path, place: object) -> None:
    where = weight_map(sharded)
    name = next(iter(where))
    (sharded / INDEX).write_text(json.dumps({"weight_map": {**where, name: place}}))
    with pytest.raises(LladaError, match=rf"{name} lies in .*files of this folder"):
        MaskPredictor.from_pretrained(sharded)


@pytest.mark.parametrize("text", ["{", "[]", '{"weight_map": {}}', '{"weight_map": 3}', "{}"])
def test_a_damaged_index_is_named(sharded: Path, text: str) -> None:
    (sharded / INDEX).write_text(text)
    with pytest.raises(LladaError, match=r"index\.json.*download it again"):
        MaskPredictor.from_pretrained(sharded)


@pytest.mark.parametrize("text", ["", "{", "[1]", '"model"'])
def test_a_damaged_config_is_named(sharded: Path, text: str) -> None:
    (sharded / "config.json").write_text(text)
    with pytest.raises(LladaError, match=r"config\.json.*download it again"):
        MaskPredictor.from_pretrained(sharded)


@pytest.mark.parametrize("kept", [0, 5, 200, -1])
def test_a_cut_file_is_named_with_its_size(sharded: Path, kept: int) -> None:
    file = sorted(sharded.glob("*.safetensors"))[1]
    content = file.read_bytes()[: kept if kept >= 0 else len(file.read_bytes()) + kept]
    file.write_bytes(content)
    with pytest.raises(LladaError, match=rf"{file.name}: its {len(content)} bytes are no whole"):
        MaskPredictor.from_pretrained(sharded)


def test_pickles_are_never_opened(model: MaskPredictor, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path)
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(LladaError, match=r"but pytorch_model\.bin; pickled.*never read: take"):
        MaskPredictor.from_pretrained(tmp_path)


def test_quantised_weights_are_refused(model: MaskPredictor, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    tensors[f"{BLOCK}.q_proj.weight"] = tensors[f"{BLOCK}.q_proj.weight"].to(torch.int8)
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(LladaError, match=r"q_proj\.weight is of type I8"):
        MaskPredictor.from_pretrained(tmp_path)


def test_mixed_precision_needs_a_choice(model: MaskPredictor, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    tensors[f"{BLOCK}.ff_norm.weight"] = tensors[f"{BLOCK}.ff_norm.weight"].bfloat16()
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(LladaError, match=r"mix BF16, F32.*dtype="):
        MaskPredictor.from_pretrained(tmp_path)
    loaded = MaskPredictor.from_pretrained(tmp_path, dtype=torch.bfloat16)
    assert loaded(torch.tensor([[1, 4, 2]])).dtype == torch.bfloat16


def test_all_is_checked_before_anything_is_read(
    sharded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault in the last shard must not cost the reading of the others."""
    last = sorted(sharded.glob("*.safetensors"))[-1]
    tensors = load_file(last)
    name = sorted(tensors)[-1]
    save_file({**tensors, name: torch.zeros(2, 3)}, last)
    opened, reading = weights.opened, []
    monkeypatch.setattr(weights, "opened", lambda *args: reading.append(args) or opened(*args))
    with pytest.raises(LladaError, match=rf"{name} has shape \(2, 3\), expected"):
        MaskPredictor.from_pretrained(sharded)
    assert not reading


def test_changing_loaded_weights_leaves_the_file(model: MaskPredictor, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path)
    before = (tmp_path / "model.safetensors").read_bytes()
    loaded = MaskPredictor.from_pretrained(tmp_path)
    with torch.no_grad():
        for parameter in loaded.parameters():
            parameter.add_(1)
    assert (tmp_path / "model.safetensors").read_bytes() == before


@pytest.mark.parametrize(
    ("wrong", "message"),
    [({"layout": "gpt"}, r"no layout named 'gpt'.*llada"), ({"max_shard_bytes": 0}, "=0; use 1")],
)
def test_wrong_choices_are_refused_before_writing(
    model: MaskPredictor, tmp_path: Path, wrong: dict[str, object], message: str
) -> None:
    with pytest.raises(LladaError, match=message):
        model.save_pretrained(tmp_path / "new", **wrong)
    assert not (tmp_path / "new").exists()


MEASURE = """
import sys, threading, torch
from llada.model import MaskPredictor
def now(field):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith(field))
def watch():
    while not done.wait(0.002):
        peak[0] = max(peak[0], now("RssAnon"))
for dtype in (None, None, torch.bfloat16):  # the first also loads modules
    model = None
    own, peak, done = now("RssAnon"), [0], threading.Event()
    watcher = threading.Thread(target=watch)
    watcher.start()
    model = MaskPredictor.from_pretrained(sys.argv[1], dtype=dtype)
    done.set()
    watcher.join()
    print(max(peak[0], now("RssAnon")) - own)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_loading_needs_no_second_copy(tmp_path: Path) -> None:
    """Own memory, not counting mapped pages of the file, which the system may drop at any time."""
    config = ModelConfig.preset(
        "tiny", d_model=1024, n_layers=4, n_heads=8, n_kv_heads=8, ffn_hidden=4096, vocab_size=4096
    )
    with torch.device("meta"):
        shapes = MaskPredictor(config).state_dict()
    state = {name: torch.zeros(tensor.shape) for name, tensor in shapes.items()}
    size = sum(tensor.nbytes for tensor in state.values())
    assert size > 300e6
    weights.write(tmp_path, config, state)
    del state
    command = [sys.executable, "-c", MEASURE, str(tmp_path)]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    _, as_stored, halved = (int(line) / size for line in printed.split())
    assert as_stored < 0.1  # mapped
    assert halved < 0.6  # the halves, and one tensor at a time
