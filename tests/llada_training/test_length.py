"""A length in steps, tokens or epochs, and the shares of a schedule as the paper counts them."""

from typing import Any

import pytest
from pydantic import ValidationError

from llada.training.length import Length
from llada.training.schedule import ScheduleConfig


def steps_of(length: dict[str, Any], **changes: Any) -> int | None:
    given = {"batch_size": 1280, "sequence_length": 4096, "rows": None} | changes
    return Length.model_validate(length).steps_for(**given)


def test_the_papers_tokens_are_its_steps() -> None:
    # LLaDA, section 2.2: 2.3 T tokens in batches of 1280 x 4096 are 438.7 k steps.
    assert steps_of({"tokens": "2.3T"}) == steps_of({"tokens": 2_300_000_000_000}) == 438_690


def test_the_papers_epochs_are_its_steps() -> None:
    # 4.5 M pairs, 3 epochs, batch 256: about 52.7 k steps.
    assert steps_of({"epochs": 3}, batch_size=256, rows=4_500_000) == 52_734
    assert steps_of({"epochs": 3}) is None


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("580B", 580_000_000_000),
        ("37.75B", 37_750_000_000),
        ("20m", 20_000_000),
        ("2e6", 2 * 10**6),
    ],
)
def test_tokens_are_read_as_people_write_them(text: str, tokens: int) -> None:
    assert Length.model_validate({"tokens": text}).tokens == tokens


@pytest.mark.parametrize("length", [{}, {"steps": 3, "tokens": "1B"}, {"steps": 1, "epochs": 1}])
def test_the_length_is_given_once(length: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="give the length once, as steps, tokens or epochs"):
        Length.model_validate(length)


@pytest.mark.parametrize("tokens", ["2.3 trillion", "many", "-1B", 0])
def test_other_texts_are_refused(tokens: object) -> None:
    with pytest.raises(ValidationError):
        Length.model_validate({"tokens": tokens})


def test_shares_may_be_written_as_the_paper_counts() -> None:
    written = ScheduleConfig.model_validate({"lower_after": "1.2/2.3", "decay_last": "0.3/2.3"})
    assert written == ScheduleConfig()


@pytest.mark.parametrize("share", ["1.2/0", "half", "3/2"])
def test_a_share_that_cannot_be_is_refused(share: str) -> None:
    with pytest.raises(ValidationError):
        ScheduleConfig.model_validate({"lower_after": share})
