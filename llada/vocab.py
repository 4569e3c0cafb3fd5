"""The special tokens of LLaDA, and the ids they have in a tokenizer trained by us."""

from collections.abc import Mapping
from typing import NamedTuple

BOS = "<|startoftext|>"
EOS = "<|endoftext|>"  # also the padding, and part of every answer
MASK = "<|mdm_mask|>"
START_HEADER = "<|start_header_id|>"
END_HEADER = "<|end_header_id|>"
EOT = "<|eot_id|>"

# In the order of the published vocabulary. Ours starts with them: in a small vocabulary the text
# tokens follow, so the special ids are the same for every size.
SPECIAL_TOKENS: tuple[str, ...] = (
    BOS,
    EOS,
    "[CLS]",
    "[gMASK]",
    MASK,
    "<role>",
    "</role>",
    START_HEADER,
    END_HEADER,
    EOT,
)

# The published base model has these rows but does not name them in its tokenizer.
PUBLISHED_MASK = 126_336
PUBLISHED_TURNS: Mapping[str, int] = {START_HEADER: 126_346, END_HEADER: 126_347, EOT: 126_348}


class SpecialIds(NamedTuple):
    """The ids that the model, the chat template and the sampler must know."""

    bos: int
    eos: int
    mask: int
    start_header: int
    end_header: int
    eot: int
