"""Text to ids and back: a byte-level BPE whose special ids no text can spell."""

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Self

import tokenizers
from tokenizers import decoders, models, pre_tokenizers, trainers

from llada import vocab
from llada.chat_template import CHAT_TEMPLATE
from llada.errors import LladaError
from llada.vocab import SPECIAL_TOKENS, SpecialIds

_FILE = "tokenizer.json"
_NEEDED = (vocab.BOS, vocab.EOS, vocab.MASK, vocab.START_HEADER, vocab.END_HEADER, vocab.EOT)


class Tokenizer:
    """A trained tokenizer; `special` holds the ids that carry structure."""

    def __init__(self, inner: tokenizers.Tokenizer) -> None:
        """Wrap a tokenizer that has the special tokens of LLaDA.

        Raises:
            LladaError: some are missing. Those of turns may be missing in the published
                vocabulary: its base model keeps their rows (126346 to 126348) without a name.
        """
        vocabulary = inner.get_vocab(with_added_tokens=True)
        if vocabulary.get(vocab.MASK) == vocab.PUBLISHED_MASK:
            vocabulary = {**vocab.PUBLISHED_TURNS, **vocabulary}
        missing = [token for token in _NEEDED if token not in vocabulary]
        if missing:
            raise LladaError(
                f"the tokenizer has no {', '.join(missing)}; LLaDA needs {', '.join(_NEEDED)}: "
                f"add them, or train one with Tokenizer.train"
            )
        # Special tokens written out in a text are encoded as the bytes they are.
        inner.encode_special_tokens = True
        # A published file may tell to cut or to pad what is encoded: texts stay whole here.
        inner.no_truncation()
        inner.no_padding()
        self._inner = inner
        self.special = SpecialIds(
            bos=vocabulary[vocab.BOS],
            eos=vocabulary[vocab.EOS],
            mask=vocabulary[vocab.MASK],
            start_header=vocabulary[vocab.START_HEADER],
            end_header=vocabulary[vocab.END_HEADER],
            eot=vocabulary[vocab.EOT],
        )

    @classmethod
    def train(cls, texts: Iterable[str], *, vocab_size: int, min_frequency: int = 2) -> Self:
        """Learn merges from texts; the same texts give the same tokenizer, byte for byte.

        A small corpus may run out of pairs seen `min_frequency` times: ask `vocab_size` afterwards.
        """
        alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
        smallest = len(SPECIAL_TOKENS) + len(alphabet)
        if vocab_size < smallest:
            raise LladaError(
                f"vocab_size={vocab_size}; {len(SPECIAL_TOKENS)} special tokens and "
                f"{len(alphabet)} bytes need {smallest} at least: raise it"
            )
        inner = tokenizers.Tokenizer(models.BPE())
        inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        inner.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=vocab_size,
            min_frequency=min_frequency,
            special_tokens=list(SPECIAL_TOKENS),
            initial_alphabet=alphabet,
            show_progress=False,
        )
        inner.train_from_iterator(texts, trainer)
        return cls(inner)

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Read the `tokenizer.json` of a folder."""
        path = Path(folder) / _FILE
        if not path.is_file():
            raise LladaError(
                f"no {_FILE} in {folder}; give a folder that Tokenizer.save has written, "
                f"or a published model's"
            )
        try:
            inner = tokenizers.Tokenizer.from_file(str(path))
        except Exception as error:  # the library knows nothing narrower
            raise LladaError(
                f"{path} is no tokenizer that can be read ({error}); fetch it again"
            ) from error
        return cls(inner)

    def save(self, folder: str | Path) -> None:
        """Write `tokenizer.json`, and `tokenizer_config.json` for other readers."""
        Path(folder).mkdir(parents=True, exist_ok=True)
        roles = {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "add_bos_token": False,
            "add_eos_token": False,
            "bos_token": vocab.BOS,
            "eos_token": vocab.EOS,
            "pad_token": vocab.EOS,
            "cls_token": "[CLS]",
            "mask_token": vocab.MASK,
            "padding_side": "left",
            "chat_template": CHAT_TEMPLATE,
            "clean_up_tokenization_spaces": False,
        }
        _replace(Path(folder) / "tokenizer_config.json", json.dumps(roles, indent=2) + "\n")
        _replace(Path(folder) / _FILE, self._inner.to_str(pretty=True))

    @property
    def vocab_size(self) -> int:
        """How many ids there are, the special ones included."""
        return self._inner.get_vocab_size(with_added_tokens=True)

    def reserved_ids(self, vocab_size: int) -> tuple[int, ...]:
        """Return the ids of a model with so many that no answer should hold, in order.

        They are the special ids but those of the mask, which no sampler emits anyway, and of the
        two ends; and ids beyond this vocabulary, which embeddings of a round size have. Give them
        to `SamplingConfig.forbidden_ids`.
        """
        headers = (self.special.start_header, self.special.end_header)
        kept = (self.special.mask, self.special.eos, self.special.eot)
        special = (
            i for i, token in self._inner.get_added_tokens_decoder().items() if token.special
        )
        beyond = range(self.vocab_size, vocab_size)
        return tuple(sorted({*special, *headers, *beyond}.difference(kept)))

    def digest(self) -> str:
        """Return a hash that is equal for tokenizers that encode and decode alike."""
        content = json.dumps(json.loads(self._inner.to_str()), sort_keys=True, ensure_ascii=True)
        return hashlib.sha256(content.encode()).hexdigest()

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text; none of them is special, whatever the text says."""
        return self._inner.encode(text, add_special_tokens=False).ids

    def encode_batch(self, texts: list[str]) -> list[list[int]]:
        """Return the ids of many texts, on all cores."""
        encodings = self._inner.encode_batch_fast(texts, add_special_tokens=False)
        return [encoding.ids for encoding in encodings]

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of ids; special ids are structure, not text, and leave no trace."""
        return self._inner.decode(ids, skip_special_tokens=True)


def _replace(path: Path, text: str) -> None:
    """Write a file that is never seen half-written."""
    unfinished = path.with_name(f".{path.name}.unfinished")
    unfinished.write_text(text, encoding="utf-8")
    os.replace(unfinished, path)
