"""The table of benchmarks that make their own problems: a new one is a file and a row here."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from llada.benchmarks import igsm


@dataclass(frozen=True)
class Benchmark:
    """How problems are made, asked, solved and graded."""

    config: type[BaseModel]
    examples: Callable[..., list[Any]]
    """(config, count, *, seed, split) -> examples; the splits share no prompt"""
    prompt: Callable[[Any], str]
    response: Callable[[Any], str]
    score: Callable[[Any, str], bool]


BENCHMARKS: Mapping[str, Benchmark] = {
    "igsm": Benchmark(igsm.IgsmConfig, igsm.examples, igsm.prompt, igsm.response, igsm.score),
}
