"""What sharing forward passes brings a server: CPU seconds of equal requests, alone and together.

    python benchmarks/serve_batching.py [--requests 16] [--tokens 32]

A random model of about 14 M parameters answers the same questions over HTTP, one client after the
other and all at once, in alternating rounds; the texts must be the same. CPU time, because the
machine may be busy; the ratio is what counts.
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from aiohttp.test_utils import TestClient, TestServer, unused_port

from llada.config import ModelConfig
from llada.model import MaskPredictor
from llada.pretrained import Pretrained
from llada.serve.app import application
from llada.serve.guard import Guard
from llada.serve.limits import Limits
from llada.tokenizer import Tokenizer

_TEXTS = ["The cat sat on the mat, and the dog sat on the log.", "A river runs to the sea."] * 4


def model(folder: Path) -> Pretrained:
    tokenizer = Tokenizer.train(_TEXTS, vocab_size=320)
    tokenizer.save(folder)
    sizes = {"d_model": 384, "n_layers": 8, "n_heads": 6, "n_kv_heads": 6, "ffn_hidden": 1024}
    ids = {
        "vocab_size": tokenizer.vocab_size,
        "mask_token_id": tokenizer.special.mask,
        "eos_token_id": tokenizer.special.eos,
    }
    config = ModelConfig.preset("tiny", **sizes, **ids)
    MaskPredictor(config, rng=torch.Generator().manual_seed(0)).save_pretrained(folder)
    return Pretrained.load(folder)


async def rounds(
    pretrained: Pretrained, bodies: list[dict[str, Any]], repeats: int
) -> tuple[list[float], list[float], bool]:
    """Return the CPU seconds of every round, alone and together, and whether all texts agreed."""
    port = unused_port()
    app = application(pretrained, Limits(gather_seconds=0.05), Guard("127.0.0.1", port))
    alone, together, same = [], [], True
    async with TestClient(TestServer(app, port=port)) as client:

        async def ask(body: dict[str, Any]) -> str:
            response = await client.post("/v1/completions", json=body)
            text: str = (await response.json())["choices"][0]["text"]
            return text

        for _ in range(repeats):
            started = time.process_time()
            one_by_one = [await ask(body) for body in bodies]
            alone.append(time.process_time() - started)
            started = time.process_time()
            at_once = await asyncio.gather(*map(ask, bodies))
            together.append(time.process_time() - started)
            same &= one_by_one == list(at_once)
    return alone, together, same


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--requests", type=int, default=16)
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=3)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    bodies = [
        {"prompt": f"{_TEXTS[n % 2]} {n}", "max_tokens": chosen.tokens, "forbid_eos": True}
        for n in range(chosen.requests)
    ]
    with tempfile.TemporaryDirectory() as folder:
        found = asyncio.run(rounds(model(Path(folder)), bodies, chosen.repeats))
    alone, together = map(statistics.median, found[:2])
    print(f"{chosen.requests} requests of {chosen.tokens} tokens, up to 8 in a batch, one thread")
    print(f"one by one  {alone:8.2f} s CPU")
    print(f"together    {together:8.2f} s CPU   {alone / together:.2f}x, same texts: {found[2]}")


if __name__ == "__main__":
    main()
