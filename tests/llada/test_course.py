"""The course of a generation: every token with its step, and the text they make."""

from pathlib import Path

import torch

from llada.course import course_of
from llada.sampling import SamplingConfig, Trace, generate
from tests.support.talkers import talker


def test_every_token_of_the_answer_has_its_step(tmp_path: Path) -> None:
    pretrained = talker(tmp_path)
    prompt = pretrained.tokenizer.encode("The cat 猫")
    config = SamplingConfig(
        steps=4, gen_length=8, block_length=4, forbidden_ids=(pretrained.ends[0],)
    )
    trace = Trace()
    done = generate(pretrained.model, torch.tensor([prompt]), config, on_step=trace)
    course = course_of(pretrained, done.ids_BT[0].tolist(), trace, "told")
    assert (course.steps, course.passes, course.model) == (4, 4, "tiny")
    steps = [token.step for token in course.tokens]
    assert steps[: len(prompt)] == [-1] * len(prompt)
    first, second = steps[len(prompt) :][:4], steps[len(prompt) :][4:]
    assert (sorted(first), sorted(second)) == ([0, 0, 1, 1], [2, 2, 3, 3])
    assert all(0 < token.confidence <= 1 for token in course.tokens[len(prompt) :])
    assert "".join(token.text for token in course.tokens[: len(prompt)]) == "The cat 猫"
