"""Tokens a step."""

from hypothesis import given, settings
from hypothesis import strategies as st

from llada.sampling.quota import quota


@settings(deadline=None)
@given(tokens=st.integers(0, 300), steps=st.integers(1, 300))
def test_quota_is_complete_even_and_largest_first(tokens: int, steps: int) -> None:
    shares = quota(tokens, steps)
    assert len(shares) == steps
    assert sum(shares) == tokens
    assert max(shares) - min(shares) <= 1
    assert list(shares) == sorted(shares, reverse=True)
