"""The verb of the HTTP endpoint: serve."""

import os
from typing import TYPE_CHECKING

import click

from workflows.cli import options
from workflows.errors import UsageError

if TYPE_CHECKING:
    from llada.serve.limits import Limits


@click.command()
@options.of_model
@click.option("--name", help="What clients call the model; default: its folder or artifact.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8000,
    show_default=True,
    help="0 takes any that is free.",
)
@click.option(
    "--api-key-env",
    metavar="VARIABLE",
    help="Ask for the key in this environment variable (Authorization: Bearer KEY); needed to "
    "listen anywhere but on this machine.",
)
@click.option(
    "--max-tokens", default=1024, show_default=True, help="Tokens of one answer, at most."
)
@click.option("--batch", default=8, show_default=True, help="Requests that share a pass, at most.")
@click.option("--queue", default=64, show_default=True, help="Requests that wait; then 429.")
@click.option("--timeout", default=300.0, show_default=True, help="Seconds a request may take.")
@click.option("--threads", type=click.IntRange(1), help="CPU threads of torch; default: its own.")
def serve(
    *,
    ref: str | None,
    store: str,
    device: str,
    dtype: str,
    name: str | None,
    host: str,
    port: int,
    api_key_env: str | None,
    max_tokens: int,
    batch: int,
    queue: int,
    timeout: float,
    threads: int | None,
) -> None:
    """Serve a model over HTTP as OpenAI's API does, with a page to chat and watch it denoise."""
    import torch

    from llada.serve.guard import Guard
    from llada.serve.run import run
    from workflows.models import load_model

    key = _key(api_key_env)
    Guard(host, port, key)  # refuses an open address before a large model is read
    limits = _limits(answer_tokens=max_tokens, batch=batch, queue=queue, request_seconds=timeout)
    if threads is not None:
        torch.set_num_threads(threads)
    pretrained = load_model(store, ref, name=name, device=device, dtype=dtype)

    def ready(address: str) -> None:
        click.echo(f"{address}  ({pretrained.name}; chat here, API below /v1; Ctrl-C ends)")

    run(pretrained, limits, host=host, port=port, key=key, ready=ready)


def _key(variable: str | None) -> str | None:
    if variable is None:
        return None
    key = os.environ.get(variable, "")
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        raise UsageError(
            f"--api-key-env {variable}: that variable holds no key; export {variable}=... with "
            "printable ASCII characters and no space, then start again"
        )
    return key


def _limits(**values: float) -> "Limits":
    from pydantic import ValidationError

    from llada.serve.limits import Limits

    options = {"answer_tokens": "max-tokens", "request_seconds": "timeout"}
    try:
        return Limits.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        field = str(first["loc"][0])
        raise UsageError(
            f"--{options.get(field, field)} {first['input']}: {first['msg'].lower()}"
        ) from error
