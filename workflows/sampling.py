"""Ask a trained artifact for text: find the model, render the prompt, sample, decode."""

from pipelines.pretrain import model_folder
from pipelines.storage import StorePath
from workflows.artifact import Artifact, all_artifacts
from workflows.errors import RefError
from workflows.lineage.refs import resolve


def answer(
    store: StorePath,
    ref: str | None,
    prompt: str,
    *,
    chat: bool,
    length: int,
    steps: int,
    block: int,
    temperature: float,
    seed: int,
) -> str:
    """Return the sampled continuation of a prompt; raises RefError where there is no model."""
    import torch

    from llada.chat import Message, render
    from llada.model import MaskPredictor
    from llada.sampling import SamplingConfig, generate
    from llada.tokenizer import Tokenizer

    sampling = SamplingConfig(
        steps=steps, gen_length=length, block_length=block, temperature=temperature
    )
    folder = model_folder(_model(store, ref).as_input())
    tokenizer = Tokenizer.load(folder)
    model = MaskPredictor.from_pretrained(folder, dtype=torch.float32, device="cpu").eval()
    ids = (
        render([Message(role="user", content=prompt)], tokenizer, add_generation_prompt=True)
        if chat
        else tokenizer.encode(prompt)
    )
    rng = torch.Generator().manual_seed(seed)
    done = generate(model, torch.tensor([ids]), sampling, rng=rng)
    return done.answer_texts(tokenizer)[0]


def _model(store: StorePath, ref: str | None) -> Artifact:
    if ref is not None:
        found = resolve(store, ref)
        if found.manifest.makes != "model":
            raise RefError(
                f"{ref!r} is a {found.manifest.kind} artifact; a model comes from the kinds "
                "pretrain and sft"
            )
        return found
    models = [a for a in all_artifacts(store) if a.manifest.makes == "model"]
    if not models:
        raise RefError(
            f"no trained model in {store}. Train one first: llada run workflows/recipes/demo.yaml"
        )
    return models[-1]
