"""Values as MLflow takes them; MLflow's own validation is the oracle."""

import math
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from workflows.tracking import values

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@settings(deadline=None)  # the first example imports mlflow
@given(st.text(max_size=400))
@example("")
@example("..")
@example("/")
@example("a//b")
@example("a/./b")
@example("tail/")
@example("x" * 251)
@example("\u00fcml\u00e4ut/\u6587")
@example("line\n")
def test_mlflow_accepts_every_name(text: str) -> None:
    from mlflow.entities import Metric
    from mlflow.utils import validation

    oracle: Any = validation
    named = values.name(text)
    oracle._validate_batch_log_data([Metric(named, 1.0, 0, 0)], [], [])
    oracle._validate_param(named, "")
    assert values.name(named) == named


@given(st.lists(st.text("a/{}.. ", max_size=6), unique=True))
def test_names_that_differ_stay_different(texts: list[str]) -> None:
    assert len({values.name(text) for text in texts}) == len(texts)


@pytest.mark.parametrize("text", ["loss", "gopher/short doc", "c4:curly", "a.b-c_d"])
def test_an_allowed_name_is_left_as_it_is(text: str) -> None:
    assert values.name(text) == text


@given(st.text(max_size=40), st.integers(1, 40))
def test_a_cut_text_fits_and_says_that_it_was_cut(text: str, limit: int) -> None:
    found = values.cut(text, limit)
    assert len(found) <= limit
    assert found == text or found.endswith("\N{HORIZONTAL ELLIPSIS}")


def test_null_metrics_are_nan_and_numbers_floats() -> None:
    found = values.metrics({"lost": None, "flag": True, "count": 3})
    assert math.isnan(found.pop("lost"))
    assert found == {"flag": 1.0, "count": 3.0}
