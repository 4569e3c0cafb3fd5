"""Settings that do not go together are refused in words."""

from typing import Any

import pytest
from pydantic import ValidationError

from filters.dedup import MinHash
from pipelines.deduplicate import DedupConfig


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"permutations": 128, "bands": 4, "rows": 2}, "not both"),
        ({"bands": 4}, "give both"),
        ({"permutations": 128, "threshold": 1.0}, "no curve is best"),
        ({"level": "line"}, "write method: exact"),
        ({"keep": "score"}, "score and score_column go together"),
        ({"score_column": "quality"}, "score and score_column go together"),
        ({"preferred_sources": ["a"]}, "go together"),
        ({"level": "line", "method": "exact", "keep": "earliest"}, "the first line by doc_id"),
        ({"treshold": 0.8}, "Extra inputs"),
    ],
)
def test_what_is_refused(config: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        DedupConfig.model_validate(config)


def test_the_family_of_a_config() -> None:
    assert DedupConfig().minhash() == MinHash(14, 8, 5)
    chosen = DedupConfig(permutations=112, threshold=0.8).minhash()
    assert (chosen.bands, chosen.rows) == (11, 10)
    assert DedupConfig.model_validate(DedupConfig().model_dump()) == DedupConfig()
