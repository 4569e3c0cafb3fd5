"""The LLaMA-named layout and iLLaDA: keys, names, defaults of the published classes, every bit."""

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

SMALL = {"d_model": 16, "n_layers": 2, "n_heads": 4, "n_kv_heads": 2, "ffn_hidden": 24}
# A config.json with the keys that the class of iLLaDA reads, at a small size; as published, it does
# not hold the mask token.
ILLADA = json.loads("""{
  "architectures": ["ILLaDAForCausalLM"], "attention_bias": false, "attention_dropout": 0.0,
  "auto_map": {"AutoModel": "modeling_illada.ILLaDAForCausalLM"}, "bos_token_id": 1,
  "dtype": "bfloat16", "eos_token_id": 2, "hidden_act": "silu", "hidden_size": 16,
  "initializer_range": 0.02, "intermediate_size": 24, "layer_norm_eps": null,
  "max_position_embeddings": 8192, "mlp_bias": false, "model_type": "illada",
  "num_attention_heads": 4, "num_hidden_layers": 2, "num_key_value_heads": 2, "pad_token_id": 2,
  "resid_pdrop": 0.0, "rms_norm_eps": 1e-05, "rope_scaling": null, "rope_theta": 500000.0,
  "tie_word_embeddings": true, "transformers_version": "4.57.1", "vocab_size": 64
}""")


def write_config(folder: Path, content: dict[str, object], **changes: object) -> Path:
    (folder / "config.json").write_text(json.dumps({**content, **changes}))
    return folder


def without(*keys: str) -> dict[str, object]:
    return {key: value for key, value in ILLADA.items() if key not in keys}


@pytest.mark.parametrize("name", PRESETS)
def test_every_config_survives_the_other_layout(name: str, tmp_path: Path) -> None:
    config = ModelConfig.preset(name)
    write_config(tmp_path, published(config, "llama"))
    assert read_config(tmp_path) == config


def test_illada_is_read_with_the_mask_its_card_names(tmp_path: Path) -> None:
    config = read_config(write_config(tmp_path, ILLADA))
    expected = {**SMALL, "vocab_size": 64, "rope_theta": 500_000.0}
    assert config == ModelConfig.preset("illada-8b", **expected)
    assert (config.mask_token_id, config.eos_token_id, config.tied_embeddings) == (5, 2, True)
    # Whatever the published class reads is written back the same.
    ours = published(config, "llama")
    assert {key: value for key, value in ILLADA.items() if key in ours} == {
        key: value for key, value in ours.items() if key not in ("mask_token_id", "use_cache")
    }


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_llama_names_keep_every_bit(tmp_path: Path, tied: bool, dtype: torch.dtype) -> None:
    config = ModelConfig.preset("tiny", **SMALL, tied_embeddings=tied)
    model = MaskPredictor(config).to(dtype)
    model.save_pretrained(tmp_path, layout="llama")
    again = MaskPredictor.from_pretrained(tmp_path)
    assert again.config == config
    for name, tensor in model.state_dict().items():
        assert again.state_dict()[name].dtype == dtype
        assert torch.equal(again.state_dict()[name], tensor), name
    again.save_pretrained(tmp_path / "again", layout="llama")
    for file in ("config.json", "model.safetensors"):
        assert (tmp_path / file).read_bytes() == (tmp_path / "again" / file).read_bytes()


def test_the_name_map_is_the_published_one(tmp_path: Path) -> None:
    """Each tensor by its own shape or value: no two of a layer are alike here."""
    model = MaskPredictor(ModelConfig.preset("tiny", **SMALL))
    model.save_pretrained(tmp_path, layout="llama")
    stored = load_file(tmp_path / "model.safetensors")
    ours = model.state_dict()
    inside = {
        "input_layernorm": "attn_norm",
        "self_attn.q_proj": "q_proj",
        "self_attn.k_proj": "k_proj",
        "self_attn.v_proj": "v_proj",
        "self_attn.o_proj": "attn_out",
        "post_attention_layernorm": "ff_norm",
        "mlp.gate_proj": "ff_proj",
        "mlp.up_proj": "up_proj",
        "mlp.down_proj": "ff_out",
    }
    pairs = {
        f"model.layers.{i}.{theirs}.weight": f"model.transformer.blocks.{i}.{name}.weight"
        for i in range(2)
        for theirs, name in inside.items()
    }
    pairs |= {
        "model.embed_tokens.weight": "model.transformer.wte.weight",
        "model.norm.weight": "model.transformer.ln_f.weight",
        "lm_head.weight": "model.transformer.ff_out.weight",
    }
    assert stored.keys() == pairs.keys()
    assert all(torch.equal(stored[theirs], ours[name]) for theirs, name in pairs.items())


def test_the_two_layouts_hold_one_model(tmp_path: Path) -> None:
    model = MaskPredictor(ModelConfig.preset("tiny", **SMALL))
    ids = torch.tensor([[10, 4, 12]])
    model.save_pretrained(tmp_path / "a", layout="llama")
    MaskPredictor.from_pretrained(tmp_path / "a").save_pretrained(tmp_path / "b")
    assert torch.equal(MaskPredictor.from_pretrained(tmp_path / "b")(ids), model(ids))


def test_a_baseline_says_that_it_is_causal(tmp_path: Path) -> None:
    config = ModelConfig.preset("tiny", **SMALL, causal=True)
    MaskPredictor(config).save_pretrained(tmp_path, layout="llama")
    content = json.loads((tmp_path / "config.json").read_text())
    assert (content["model_type"], content["architectures"]) == ("llama", ["LlamaForCausalLM"])
    assert MaskPredictor.from_pretrained(tmp_path).config.causal


def test_a_tied_head_stored_twice_passes_and_another_head_does_not(tmp_path: Path) -> None:
    config = ModelConfig.preset("tiny", **SMALL, tied_embeddings=True)
    MaskPredictor(config).save_pretrained(tmp_path, layout="llama")
    tensors = load_file(tmp_path / "model.safetensors")
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].clone()
    save_file(tensors, tmp_path / "model.safetensors")
    state = MaskPredictor.from_pretrained(tmp_path).state_dict()
    assert torch.equal(state["model.transformer.wte.weight"], tensors["model.embed_tokens.weight"])
    assert "model.transformer.ff_out.weight" not in state
    tensors["lm_head.weight"][3, 3] += 1
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(LladaError, match=r"lm_head\.weight.*ties the head.*differs"):
        MaskPredictor.from_pretrained(tmp_path)


def test_what_is_not_the_language_model_is_left_alone(tmp_path: Path) -> None:
    """LLaDA-V carries its eyes; old LLaMA files carry rotary angles."""
    model = MaskPredictor(ModelConfig.preset("tiny", **SMALL))
    model.save_pretrained(tmp_path, layout="llama")
    tensors = load_file(tmp_path / "model.safetensors")
    tensors["model.vision_tower.patch.weight"] = torch.zeros(3)
    tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.zeros(2)
    save_file(tensors, tmp_path / "model.safetensors")
    assert len(MaskPredictor.from_pretrained(tmp_path).state_dict()) == 21
    tensors["model.layers.0.self_attn.q_proj.bias"] = torch.zeros(16)
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(LladaError, match=r"unexpected tensor .*q_proj\.bias"):
        MaskPredictor.from_pretrained(tmp_path)


def test_the_mask_token_can_be_given(tmp_path: Path) -> None:
    content = {**without("model_type"), "model_type": "llava_llada"}
    with pytest.raises(LladaError, match=r"config\.json: no mask_token_id.*126336"):
        read_config(write_config(tmp_path, content))
    assert read_config(tmp_path, mask_token_id=7).mask_token_id == 7
    write_config(tmp_path, content, eos_token_id=[2, 3])
    with pytest.raises(LladaError, match=r"eos_token_id is \[2, 3\].*give eos_token_id"):
        read_config(tmp_path, mask_token_id=7)
    assert read_config(tmp_path, mask_token_id=7, eos_token_id=3).eos_token_id == 3


def test_the_mask_token_can_be_given_to_the_model(tmp_path: Path) -> None:
    model = MaskPredictor(ModelConfig.preset("tiny", **SMALL))
    model.save_pretrained(tmp_path, layout="llama")
    content = json.loads((tmp_path / "config.json").read_text())
    del content["mask_token_id"]
    write_config(tmp_path, content, model_type="llama")
    assert MaskPredictor.from_pretrained(tmp_path, mask_token_id=4).config == model.config


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("attention_bias", True),
        ("mlp_bias", True),
        ("hidden_act", "gelu"),
        ("layer_norm_eps", 1e-5),
        ("rope_scaling", {"rope_type": "yarn", "factor": 4.0}),
        ("rope_parameters", {"rope_type": "linear", "factor": 2.0}),
        ("partial_rotary_factor", 0.5),
        ("head_dim", 8),
        ("use_qk_norm", True),
        ("sliding_window", 4096),
        ("quantization_config", {"bits": 4}),
        ("model_type", "Dream"),
    ],
)
def test_another_function_is_refused(tmp_path: Path, key: str, value: object) -> None:
    with pytest.raises(LladaError, match=rf"config\.json: {key} is "):
        read_config(write_config(tmp_path, ILLADA, **{key: value}))


def test_rotary_keys_of_newer_writers_are_read(tmp_path: Path) -> None:
    rotary = {"rope_type": "default", "rope_theta": 1e6}
    content = without("rope_theta", "rope_scaling")
    config = read_config(write_config(tmp_path, content, rope_parameters=rotary))
    assert config.rope_theta == 1e6
    with pytest.raises(LladaError, match="no rope_theta"):
        read_config(write_config(tmp_path, content))


def test_llama_files_take_the_defaults_of_their_classes(tmp_path: Path) -> None:
    content = without("num_key_value_heads", "tie_word_embeddings")
    config = read_config(write_config(tmp_path, content))
    assert (config.n_kv_heads, config.tied_embeddings) == (4, False)


def test_llada_files_take_the_defaults_of_their_class(tmp_path: Path) -> None:
    full = published(ModelConfig.preset("tiny", **SMALL))
    absent = ("n_kv_heads", "mlp_hidden_size", "rope_theta", "rms_norm_eps", "weight_tying")
    content = {key: value for key, value in full.items() if key not in absent}
    write_config(tmp_path, content, n_kv_heads=None, mlp_hidden_size=None, mlp_ratio=3)
    config = read_config(tmp_path)
    assert (config.n_kv_heads, config.ffn_hidden) == (4, 48)  # every head its own; mlp_ratio
    assert (config.rope_theta, config.rms_norm_eps) == (10_000.0, 1e-5)
    assert config.tied_embeddings
    assert read_config(write_config(tmp_path, content, multi_query_attention=True)).n_kv_heads == 1


@pytest.mark.parametrize(
    ("key", "default"),
    [
        ("rope", "False"),
        ("layer_norm_type", "'default'"),
        ("block_type", "'sequential'"),
        ("activation_type", "'swiglu'"),
    ],
)
def test_a_default_that_this_code_does_not_compute_is_refused(
    tmp_path: Path, key: str, default: str
) -> None:
    """A file without these keys makes the published class build another model than ours."""
    content = published(ModelConfig.preset("tiny", **SMALL))
    del content[key]
    with pytest.raises(LladaError, match=rf"{key} is {default} \(the default of the published"):
        read_config(write_config(tmp_path, content))
