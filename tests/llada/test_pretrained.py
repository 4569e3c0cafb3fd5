"""A model folder as others publish it: their tokenizer file, their ids, and files that disagree."""

import json
from pathlib import Path

import pytest
import tokenizers
import torch
from tokenizers import decoders, models, pre_tokenizers, processors

from llada.chat import render
from llada.config import ModelConfig
from llada.errors import LladaError
from llada.model import MaskPredictor
from llada.pretrained import Pretrained
from llada.vocab import BOS, EOS, MASK, SPECIAL_TOKENS
from tests.support.talkers import save_talker

ROWS = 300  # of the model: more than there are tokens, as published


def save_published(
    folder: Path, special: tuple[str, ...] = SPECIAL_TOKENS, **config: object
) -> Path:
    """Write a folder as published: text first, special ids behind it, unused rows at the end."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    inner = tokenizers.Tokenizer(models.BPE({c: i for i, c in enumerate(alphabet)}, []))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    inner.add_special_tokens(list(special))
    ids = inner.get_vocab()
    inner.enable_truncation(3)
    inner.enable_padding()
    # Theirs puts a first token before every text when it is asked to add special ones.
    inner.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", special_tokens=[(BOS, ids[BOS])]
    )
    sizes = {"d_model": 16, "n_layers": 1, "n_heads": 2, "n_kv_heads": 2, "ffn_hidden": 24}
    made = ModelConfig.preset(
        "tiny",
        **{**sizes, "vocab_size": ROWS, "mask_token_id": ids[MASK], "eos_token_id": ids[EOS]},
        **config,
    )
    MaskPredictor(made, rng=torch.Generator().manual_seed(0)).save_pretrained(folder)
    (folder / "tokenizer.json").write_text(inner.to_str(), encoding="utf-8")
    return folder


def test_a_published_folder_is_read(tmp_path: Path) -> None:
    found = Pretrained.load(save_published(tmp_path / "llada"))
    assert found.name == "llada"
    special = found.tokenizer.special
    assert special.bos == 256  # the text comes first
    assert found.tokenizer.decode(found.tokenizer.encode("a longer text")) == "a longer text"
    assert found.tokenizer.encode("a") == [found.tokenizer.encode("ba")[1]]
    ids = render([{"role": "user", "content": "hé"}], found.tokenizer, add_generation_prompt=True)
    assert ids[:2] == [special.bos, special.start_header]
    assert found.tokenizer.decode(ids) == "user\n\nhéassistant\n\n"
    assert found.ends == (special.eos, special.eot)
    assert set(range(266, ROWS)) < set(found.reserved)
    assert special.start_header in found.reserved
    assert not {special.eos, special.eot, special.mask} & set(found.reserved)


def test_a_tokenizer_without_the_tokens_of_a_dialogue_is_refused(tmp_path: Path) -> None:
    base = tuple(token for token in SPECIAL_TOKENS if "header" not in token)
    with pytest.raises(LladaError, match=r"no <\|start_header_id\|>, <\|end_header_id\|>"):
        Pretrained.load(save_published(tmp_path, base))


def test_files_of_two_models_are_refused(tmp_path: Path) -> None:
    save_talker(tmp_path / "ours")
    save_published(tmp_path / "theirs")
    for name in ("ours", "theirs"):
        other = {"ours": "theirs", "theirs": "ours"}[name]
        text = (tmp_path / other / "tokenizer.json").read_text()
        mixed = tmp_path / f"{name}-mixed"
        Pretrained.load(tmp_path / name).model.save_pretrained(mixed)
        (mixed / "tokenizer.json").write_text(text)
        with pytest.raises(LladaError, match="take both files from the same model"):
            Pretrained.load(mixed)


def test_a_tokenizer_larger_than_its_model_is_refused(tmp_path: Path) -> None:
    small = save_published(tmp_path, (*SPECIAL_TOKENS, *[f"<extra{i}>" for i in range(40)]))
    with pytest.raises(LladaError, match="ids up to 305, the model 0 to 299"):
        Pretrained.load(small)


def test_a_model_that_reads_to_the_left_alone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LladaError, match="autoregressive baseline"):
        Pretrained.load(save_published(tmp_path, causal=True))


def test_a_broken_tokenizer_file_is_named(tmp_path: Path) -> None:
    folder = save_published(tmp_path)
    (folder / "tokenizer.json").write_text(json.dumps({"model": None}))
    with pytest.raises(LladaError, match=r"tokenizer\.json"):
        Pretrained.load(folder)
