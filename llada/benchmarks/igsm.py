"""Graded arithmetic in words, modulo a small number: our small version of iGSM.

After Ye et al. 2024 (arXiv 2407.20311), the task of LLaDA's Table 12: quantities that depend on
each other, of which one is asked for. A program makes it, so nothing on the web contains it. At its
easiest (one operation) a model of a few million parameters can learn it in minutes on a CPU:

    Ann has 3 cups. Bob has 4 more cups than Ann. Count modulo 5. How many cups does Bob have?
    Ann = 3. Bob = 3 + 4 = 7 = 2. Answer: 2
"""

import hashlib
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from llada.errors import LladaError

Split = Literal["train", "eval"]
Operation = Literal["given", "more", "fewer", "times", "together"]

_EVAL_SHARE = 8
"""One prompt in so many belongs to the evaluation split, by a hash of the prompt."""
_PATIENCE = 20_000
"""Draws in a row without a new problem after which there are none left worth looking for."""
_ANSWER = re.compile(r"Answer:[ \t]*(\S*)")


class IgsmConfig(BaseModel):
    """How hard the problems are, and which words they use."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    max_operations: int = Field(default=1, ge=1)
    """A problem has between one and so many operations."""
    modulus: int = Field(default=5, ge=2)
    """All arithmetic is modulo this number; the paper uses 23."""
    names: tuple[str, ...] = ("Ann", "Bob", "Cid", "Dan", "Eve", "Fay", "Gus", "Hal", "Ida", "Jim")
    items: tuple[str, ...] = ("cups", "pens", "books", "coins", "hats", "keys", "eggs", "maps")

    @model_validator(mode="after")
    def _has_words_enough(self) -> Self:
        needed = self.max_operations + 1
        if len(set(self.names)) < max(needed, len(self.names)):
            raise ValueError(
                f"{len(set(self.names))} different names in {len(self.names)}; {needed} different "
                f"ones are needed for {self.max_operations} operations: add names"
            )
        if not self.items:
            raise ValueError("no items; a problem counts something: name at least one")
        return self


@dataclass(frozen=True)
class Quantity:
    """How many items one person has, and how it follows from what others have."""

    owner: str
    operation: Operation
    others: tuple[str, ...] = ()
    number: int = 0


@dataclass(frozen=True)
class Example:
    """A problem: quantities in an order in which they can be computed; the last is asked for."""

    quantities: tuple[Quantity, ...]
    told: tuple[int, ...]
    """The order in which the prompt tells them."""
    item: str
    modulus: int

    @property
    def answer(self) -> int:
        """The value of the last quantity."""
        return values(self)[self.quantities[-1].owner]


def examples(config: IgsmConfig, count: int, *, seed: int, split: Split) -> list[Example]:
    """Return `count` different problems; one seed gives one list, on any machine.

    The splits share no prompt whatever the seeds: a prompt's hash decides where it belongs.

    Raises:
        LladaError: the config does not allow for so many different problems.
    """
    rng = random.Random(f"igsm {split} {seed}")
    drawn: dict[str, Example] = {}
    in_vain = 0
    while len(drawn) < count:
        example = _draw(config, rng)
        text = prompt(example)
        if _split_of(text) == split and text not in drawn:
            drawn[text] = example
            in_vain = 0
        else:
            in_vain += 1
        if in_vain == _PATIENCE:
            raise LladaError(
                f"found only {len(drawn)} different problems for {split} of the {count} asked "
                "for; ask for fewer, or allow more operations, a larger modulus, more names or "
                "more items"
            )
    return list(drawn.values())


def _split_of(text: str) -> Split:
    digest = hashlib.blake2b(text.encode(), digest_size=4).digest()
    return "eval" if int.from_bytes(digest, "big") % _EVAL_SHARE == 0 else "train"


def _draw(config: IgsmConfig, rng: random.Random) -> Example:
    operations = rng.randint(1, config.max_operations)
    owners = rng.sample(config.names, operations + 1)
    quantities = [Quantity(owners[0], "given", number=rng.randrange(config.modulus))]
    for number, owner in enumerate(owners[1:], start=1):
        quantities.append(_follow(owner, owners[:number], config.modulus, rng))
    told = list(range(len(quantities)))
    if operations > 1:
        rng.shuffle(told)
    return Example(tuple(quantities), tuple(told), rng.choice(config.items), config.modulus)


def _follow(owner: str, known: list[str], modulus: int, rng: random.Random) -> Quantity:
    """Draw a quantity that follows from known ones."""
    kinds: list[Operation] = ["more", "fewer", "times"]
    if len(known) > 1:
        kinds.append("together")
    operation = rng.choice(kinds)
    if operation == "together":
        return Quantity(owner, operation, tuple(rng.sample(known, 2)))
    number = rng.randrange(2 if operation == "times" else 1, max(modulus, 3))
    return Quantity(owner, operation, (rng.choice(known),), number)


def values(example: Example) -> dict[str, int]:
    """Return what each person has, modulo the modulus."""
    found: dict[str, int] = {}
    for quantity in example.quantities:
        found[quantity.owner] = _raw(quantity, found) % example.modulus
    return found


def _raw(quantity: Quantity, found: dict[str, int]) -> int:
    terms = [found[other] for other in quantity.others]
    match quantity.operation:
        case "given":
            return quantity.number
        case "more":
            return terms[0] + quantity.number
        case "fewer":
            return terms[0] - quantity.number
        case "times":
            return terms[0] * quantity.number
        case "together":
            return sum(terms)


def prompt(example: Example) -> str:
    """Return the problem in words."""
    told = [_sentence(example.quantities[index], example.item) for index in example.told]
    asked = example.quantities[-1].owner
    question = f"How many {example.item} does {asked} have?"
    return " ".join([*told, f"Count modulo {example.modulus}.", question])


def _sentence(quantity: Quantity, item: str) -> str:
    owner, number = quantity.owner, quantity.number
    first = quantity.others[0] if quantity.others else ""
    match quantity.operation:
        case "given":
            return f"{owner} has {number} {item}."
        case "more" | "fewer":
            return f"{owner} has {number} {quantity.operation} {item} than {first}."
        case "times":
            return f"{owner} has {number} times as many {item} as {first}."
        case "together":
            return f"{owner} has as many {item} as {first} and {quantity.others[1]} together."


def response(example: Example) -> str:
    """Return the solution step by step, with nothing the question does not need."""
    found = values(example)
    steps = [_step(quantity, found) for quantity in _needed(example)]
    return " ".join([*steps, f"Answer: {example.answer}"])


def _needed(example: Example) -> Iterator[Quantity]:
    """Yield the quantities that the answer depends on, each after what it follows from."""
    needed = {example.quantities[-1].owner}
    for quantity in reversed(example.quantities):
        if quantity.owner in needed:
            needed.update(quantity.others)
    return (quantity for quantity in example.quantities if quantity.owner in needed)


def _step(quantity: Quantity, found: dict[str, int]) -> str:
    raw, value = _raw(quantity, found), found[quantity.owner]
    sign = {"more": "+", "fewer": "-", "times": "*", "together": "+"}.get(quantity.operation)
    parts = [quantity.owner]
    if sign is not None:
        terms = [found[other] for other in quantity.others]
        right = terms[1] if quantity.operation == "together" else quantity.number
        parts.append(f"{terms[0]} {sign} {right}")
    parts.append(str(raw))
    if raw != value:
        parts.append(str(value))
    return " = ".join(parts) + "."


def matches(answer: str | int, text: str) -> bool:
    """Whether the last "Answer: N" of a text is `answer`, digit for digit; False without one."""
    found = _ANSWER.findall(text)
    return bool(found) and found[-1].removesuffix(".") == str(answer)


def score(example: Example, text: str) -> bool:
    """Whether a text ends in the right answer to the example."""
    return matches(example.answer, text)
