"""How many tokens each step commits."""


def quota(tokens: int, steps: int) -> tuple[int, ...]:
    """Share the tokens evenly over the steps; the first steps take what is left over.

    The noise schedule is linear (Eq. 8), so every step is due the same number.
    """
    base, remainder = divmod(tokens, steps)
    return tuple(base + (step < remainder) for step in range(steps))
