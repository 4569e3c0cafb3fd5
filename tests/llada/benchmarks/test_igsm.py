"""Problems are right, graded strictly, the same everywhere, and never in both splits."""

import re
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from llada.benchmarks import BENCHMARKS
from llada.benchmarks.igsm import IgsmConfig, examples, matches, prompt, response, score
from llada.errors import LladaError

GIVEN = re.compile(r"(\w+) has (\d+) \w+\.")
CHANGED = re.compile(r"(\w+) has (\d+) (more|fewer) \w+ than (\w+)\.")
TIMES = re.compile(r"(\w+) has (\d+) times as many \w+ as (\w+)\.")
TOGETHER = re.compile(r"(\w+) has as many \w+ as (\w+) and (\w+) together\.")


def solve(text: str) -> int:
    """Solve a problem from its words alone: substitute until the asked person is known."""
    modulus = int(re.findall(r"Count modulo (\d+)\.", text)[0])
    asked = re.findall(r"does (\w+) have\?", text)[0]
    known = {owner: int(n) for owner, n in GIVEN.findall(text)}
    while asked not in known:
        before = len(known)
        for owner, n, change, other in CHANGED.findall(text):
            if other in known:
                known[owner] = known[other] + (int(n) if change == "more" else -int(n))
        for owner, n, other in TIMES.findall(text):
            if other in known:
                known[owner] = known[other] * int(n)
        for owner, one, other in TOGETHER.findall(text):
            if {one, other} <= known.keys():
                known[owner] = known[one] + known[other]
        assert len(known) > before, f"unsolvable: {text}"
    return known[asked] % modulus


@settings(deadline=None, max_examples=40)
@given(
    st.integers(1, 8), st.integers(2, 23), st.integers(0, 10**6), st.sampled_from(["train", "eval"])
)
def test_an_independent_solver_agrees_with_answer_and_response(
    operations: int, modulus: int, seed: int, split: str
) -> None:
    config = IgsmConfig(max_operations=operations, modulus=modulus)
    for example in examples(config, 5, seed=seed, split=split):  # type: ignore[arg-type]
        assert solve(prompt(example)) == example.answer
        assert score(example, response(example))


def test_every_step_of_a_response_is_true_modulo_the_modulus() -> None:
    config = IgsmConfig(max_operations=6, modulus=7)
    steps = 0
    for example in examples(config, 200, seed=1, split="train"):
        *solution, answer = response(example).split(". ")
        assert answer == f"Answer: {example.answer}"
        for step in solution:
            owner, *sides = step.split(" = ")
            assert owner in prompt(example)
            for side in sides:
                left, sign, right = (*side.split(), "+", "0")[:3]
                value = {"+": int.__add__, "-": int.__sub__, "*": int.__mul__}[sign]
                assert (value(int(left), int(right)) - int(sides[-1])) % 7 == 0
                steps += 1
    assert steps > 1000


def test_a_response_holds_nothing_the_question_does_not_need() -> None:
    for example in examples(IgsmConfig(max_operations=6), 100, seed=2, split="train"):
        owners = {step.split(" = ")[0] for step in response(example).split(". ")[:-1]}
        asked = example.quantities[-1].owner
        for owner in owners - {asked}:
            sentence = next(q for q in example.quantities if q.owner == owner)
            assert any(owner in q.others for q in example.quantities if q.owner in owners), sentence


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("Answer: 3", True),
        ("Ann = 3. Answer: 3.", True),
        ("Answer: 1 ... no. Answer: 3", True),
        ("Answer: 3 and then it rambles", True),
        ("Answer: 2", False),
        ("Answer: 3 no, Answer: 4", False),
        ("Answer: 30", False),
        ("Answer: 3.5", False),
        ("Answer: -3", False),
        ("Answer: 03", False),
        ("Answer: ３", False),
        ("Answer: three", False),
        ("Answer:", False),
        ("Answer:\n3", False),
        ("answer 3", False),
        ("3", False),
        ("", False),
        ("\0\ud800", False),
    ],
)
def test_only_the_last_answer_counts_and_only_digit_for_digit(text: str, right: bool) -> None:
    assert matches(3, text) is right
    assert matches("3", text) is right


@pytest.mark.parametrize("name", BENCHMARKS)
def test_right_wrong_and_malformed_answers(name: str) -> None:
    benchmark = BENCHMARKS[name]
    example, *others = benchmark.examples(benchmark.config(), 50, seed=0, split="eval")
    assert benchmark.score(example, benchmark.response(example))
    other = next(e for e in others if e.answer != example.answer)
    assert not benchmark.score(example, benchmark.response(other))
    assert not benchmark.score(example, "")
    assert not benchmark.score(example, benchmark.prompt(example))


@pytest.mark.parametrize("name", BENCHMARKS)
def test_the_splits_share_no_prompt_whatever_the_seeds(name: str) -> None:
    benchmark = BENCHMARKS[name]
    drawn = {
        split: {
            benchmark.prompt(example)
            for seed in (0, 1)
            for example in benchmark.examples(benchmark.config(), 1500, seed=seed, split=split)
        }
        for split in ("train", "eval")
    }
    assert len(drawn["train"]) > 2000
    assert not drawn["train"] & drawn["eval"]


def test_problems_of_one_draw_differ_and_seeds_matter() -> None:
    one, two = (examples(IgsmConfig(), 500, seed=seed, split="train") for seed in (0, 1))
    assert len({prompt(example) for example in one}) == 500
    assert one != two


def test_one_seed_gives_one_list_in_every_process() -> None:
    code = (
        "from llada.benchmarks.igsm import *\n"
        "for e in examples(IgsmConfig(max_operations=3), 50, seed=7, split='eval'):\n"
        "    print(prompt(e), response(e))"
    )
    seen = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    }
    assert len(seen) == 1
    assert len(seen.pop().splitlines()) == 50


def test_the_first_problem_is_frozen() -> None:
    example = examples(IgsmConfig(), 1, seed=0, split="train")[0]
    assert f"{prompt(example)} {response(example)}" == (
        "Ann has 1 eggs. Jim has 2 times as many eggs as Ann. Count modulo 5. "
        "How many eggs does Jim have? Ann = 1. Jim = 1 * 2 = 2. Answer: 2"
    )


def test_asking_for_more_problems_than_there_are_says_what_to_do() -> None:
    config = IgsmConfig(modulus=2, names=("Ann", "Bob"), items=("cups",))
    with pytest.raises(LladaError, match=r"different problems for train of the 1000 .* more names"):
        examples(config, 1000, seed=0, split="train")


@pytest.mark.parametrize(
    "impossible",
    [
        {"max_operations": 2, "names": ("Ann", "Bob")},
        {"names": ("Ann", "Ann", "Bob")},
        {"items": ()},
        {"modulus": 1},
        {"max_operations": 0},
        {"level": 1},
    ],
)
def test_impossible_configs_are_refused(impossible: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        IgsmConfig.model_validate(impossible)
