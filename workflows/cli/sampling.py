"""The options of every verb that samples."""

from collections.abc import Callable
from functools import wraps

import click

from workflows.sampling import Denoising

_OPTIONS = (
    click.option("--length", default=64, show_default=True, help="Tokens of an answer."),
    click.option("--steps", type=int, help="Denoising steps; default: one a token."),
    click.option(
        "--block",
        type=int,
        help="Tokens a block; blocks go left to right. Default: up to 32, so that they fill the "
        "length.",
    ),
    click.option(
        "--temperature",
        type=click.FloatRange(0, 10),
        default=0.0,
        show_default=True,
        help="0 takes the likeliest token.",
    ),
    click.option(
        "--cfg",
        type=click.FloatRange(0, 100),
        default=0.0,
        show_default=True,
        help="Guidance away from what the model says without the prompt; doubles the passes.",
    ),
    click.option(
        "--remasking",
        type=click.Choice(["low_confidence", "random"]),
        default="low_confidence",
        show_default=True,
        help="Which guesses of a step are kept: the surest, or any.",
    ),
    click.option("--forbid-eos", is_flag=True, help="Never end early: fill the whole length."),
    click.option("--defer-eos", is_flag=True, help="Fix ends last: write before ending."),
    click.option(
        "--cache",
        type=click.Choice(["none", "prefix", "dual"]),
        default="none",
        show_default=True,
        help="Keep keys and values of what a block does not change; faster, not exact.",
    ),
    click.option(
        "--cache-refresh",
        type=click.IntRange(1),
        metavar="STEPS",
        help="Renew what is kept after so many steps, too.",
    ),
    click.option(
        "--threshold",
        type=click.FloatRange(0, 1, min_open=True),
        help="Fix every guess more probable than this; --steps is then a limit. 0.9 is usual.",
    ),
    click.option(
        "--entropy",
        type=click.FloatRange(0),
        metavar="NATS",
        help="Fix the surest guesses while their entropies add up to no more; instead of "
        "--threshold.",
    ),
    click.option("--early-exit", is_flag=True, help="Stop when the end of the text is certain."),
)


def of_sampling(command: Callable[..., None]) -> Callable[..., None]:
    """Give a verb the options of `Denoising`, as one argument `denoising`."""

    @wraps(command)  # keeps what other options have noted on it
    def gathered(**arguments: object) -> None:
        chosen = {name: arguments.pop(name) for name in Denoising.__dataclass_fields__}
        command(denoising=Denoising(**chosen), **arguments)  # type: ignore[arg-type]

    wrapped: Callable[..., None] = gathered
    for option in reversed(_OPTIONS):
        wrapped = option(wrapped)
    return wrapped
