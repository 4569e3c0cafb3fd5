"""The published layout: keys, names, shapes and every bit."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from llada.config import PRESETS, ModelConfig
from llada.errors import LladaError
from llada.layouts import published
from llada.model import MaskPredictor
from llada.weights import read_config

# The content of GSAI-ML/LLaDA-8B-Base/config.json, without the references to its own Python files.
LLADA_8B = json.loads("""{
  "activation_type": "silu", "alibi": false, "alibi_bias_max": 8.0,
  "architectures": ["LLaDAModelLM"], "attention_dropout": 0.0, "attention_layer_norm": false,
  "attention_layer_norm_with_affine": true, "bias_for_layer_norm": false, "block_group_size": 1,
  "block_type": "llama", "d_model": 4096, "embedding_dropout": 0.0, "embedding_size": 126464,
  "eos_token_id": 126081, "flash_attention": false, "include_bias": false,
  "include_qkv_bias": false, "init_cutoff_factor": null, "init_device": "meta",
  "init_fn": "mitchell", "init_std": 0.02, "input_emb_norm": false, "layer_norm_type": "rms",
  "layer_norm_with_affine": true, "mask_token_id": 126336, "max_sequence_length": 4096,
  "mlp_hidden_size": 12288, "mlp_ratio": 4, "model_type": "llada", "multi_query_attention": null,
  "n_heads": 32, "n_kv_heads": 32, "n_layers": 32, "pad_token_id": 126081,
  "precision": "amp_bf16", "residual_dropout": 0.0, "rms_norm_eps": 1e-05, "rope": true,
  "rope_full_precision": true, "rope_theta": 500000.0, "scale_logits": false,
  "transformers_version": "4.46.3", "use_cache": false, "vocab_size": 126464,
  "weight_tying": false
}""")
TINY = {"d_model": 16, "n_layers": 1, "n_heads": 2, "n_kv_heads": 1, "ffn_hidden": 24}


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    MaskPredictor(ModelConfig.preset("tiny", **TINY)).save_pretrained(tmp_path)
    return tmp_path


def change_config(folder: Path, **changes: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_the_published_config_is_read_and_written_key_by_key(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(LLADA_8B))
    assert read_config(tmp_path) == ModelConfig.preset("llada-8b")
    assert published(ModelConfig.preset("llada-8b")) == LLADA_8B


@pytest.mark.parametrize("name", PRESETS)
def test_every_config_survives_the_disk(name: str, tmp_path: Path) -> None:
    config = ModelConfig.preset(name)
    (tmp_path / "config.json").write_text(json.dumps(published(config)))
    assert read_config(tmp_path) == config


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_round_trip_keeps_every_bit(tmp_path: Path, tied: bool, dtype: torch.dtype) -> None:
    model = MaskPredictor(ModelConfig.preset("tiny", **TINY, tied_embeddings=tied)).to(dtype)
    model.save_pretrained(tmp_path)
    again = MaskPredictor.from_pretrained(tmp_path)
    assert again.config == model.config
    assert again.state_dict().keys() == model.state_dict().keys()
    for name, tensor in model.state_dict().items():
        assert again.state_dict()[name].dtype == dtype
        assert torch.equal(again.state_dict()[name], tensor), name
    ids = torch.tensor([[10, 4, 12]])
    assert torch.equal(again(ids), model(ids))
    again.save_pretrained(tmp_path / "again")
    for file in ("config.json", "model.safetensors"):
        assert (tmp_path / file).read_bytes() == (tmp_path / "again" / file).read_bytes()


def test_names_on_disk_are_the_published_ones(saved: Path) -> None:
    block = "q_proj k_proj v_proj attn_out ff_proj up_proj ff_out attn_norm ff_norm"
    names = {f"model.transformer.blocks.0.{part}.weight" for part in block.split()}
    names |= {f"model.transformer.{part}.weight" for part in ("wte", "ln_f", "ff_out")}
    assert load_file(saved / "model.safetensors").keys() == names


def test_whoever_may_read_the_folder_may_read_the_weights(saved: Path) -> None:
    saved.chmod(0o750)
    MaskPredictor.from_pretrained(saved).save_pretrained(saved)
    assert (saved / "model.safetensors").stat().st_mode & 0o777 == 0o640


def test_shards_are_read_through_their_index(saved: Path) -> None:
    whole = MaskPredictor.from_pretrained(saved).state_dict()
    (saved / "model.safetensors").unlink()
    where = {name: f"model-{i % 2}.safetensors" for i, name in enumerate(sorted(whole))}
    for file in set(where.values()):
        save_file({name: whole[name] for name in whole if where[name] == file}, saved / file)
    index = json.dumps({"weight_map": where})
    (saved / "model.safetensors.index.json").write_text(index)
    sharded = MaskPredictor.from_pretrained(saved).state_dict()
    assert all(torch.equal(sharded[name], whole[name]) for name in whole)
    (saved / "model-1.safetensors").unlink()
    with pytest.raises(LladaError, match=r"no model-1\.safetensors"):
        MaskPredictor.from_pretrained(saved)


def test_another_precision_on_request(saved: Path) -> None:
    model = MaskPredictor.from_pretrained(saved, dtype=torch.bfloat16, device="cpu")
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}


def test_a_missing_tensor_is_named_with_its_shape(saved: Path) -> None:
    tensors = load_file(saved / "model.safetensors")
    del tensors["model.transformer.blocks.0.k_proj.weight"]
    save_file(tensors, saved / "model.safetensors")
    with pytest.raises(LladaError, match=r"blocks\.0\.k_proj\.weight is missing.*\(8, 16\)"):
        MaskPredictor.from_pretrained(saved)


def test_a_misshaped_tensor_is_named_with_both_shapes(saved: Path) -> None:
    change_config(saved, mlp_hidden_size=32)
    with pytest.raises(LladaError, match=r"ff_out\.weight.*\(16, 24\).*expected \(16, 32\)"):
        MaskPredictor.from_pretrained(saved)


def test_a_left_over_tensor_is_named(saved: Path) -> None:
    change_config(saved, weight_tying=True)
    with pytest.raises(LladaError, match=r"unexpected tensor model\.transformer\.ff_out\.weight"):
        MaskPredictor.from_pretrained(saved)


@pytest.mark.parametrize(
    ("key", "value"),
    [("model_type", "llama"), ("alibi", True), ("include_bias", True), ("embedding_size", 5000)],
)
def test_another_architecture_is_refused(saved: Path, key: str, value: object) -> None:
    change_config(saved, **{key: value})
    with pytest.raises(LladaError, match=f"{key} is {value!r}"):
        MaskPredictor.from_pretrained(saved)


def test_what_is_not_there_is_named(saved: Path) -> None:
    with pytest.raises(LladaError, match=r"no config\.json"):
        MaskPredictor.from_pretrained(saved / "nowhere")
    content = json.loads((saved / "config.json").read_text())
    del content["n_layers"]
    (saved / "config.json").write_text(json.dumps(content))
    with pytest.raises(LladaError, match="no n_layers"):
        MaskPredictor.from_pretrained(saved)
