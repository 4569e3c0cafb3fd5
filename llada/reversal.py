"""A small world of people and what they do, to ask whether a model learns a fact both ways.

The paper's section 3.3 asks for the line before or after a line of a poem; here it is a name and a
description, one to one. Half of the people are told of in both orders, which teaches both forms of
sentence; the others only as NAME is DESCRIPTION. Asked for the name of those, a model that reads to
the left only has never seen the name follow (the reversal curse, arXiv 2309.12288).

A name is one word, a description two that others share: neither of them alone gives a name away.

Everything is a function of the config. Names and descriptions are ours.
"""

from collections.abc import Sequence
from itertools import product
from typing import Literal, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator


def _words(text: str) -> list[str]:
    return text.split()


_BEGINNINGS = _words("Abr Ber Cald Dim Elv For Ger Han Ilm Jar Kel Lam")
_ENDINGS = _words("a en or ula imo eth und ist ano ery os ik")
_TRAITS = _words("quiet eager clever gentle stern merry humble bold weary curious proud patient")
_TRADES = _words(
    "baker weaver miller sailor mason potter hunter glover cooper tanner fiddler gardener"
)

Direction = Literal["forward", "backward"]


class ReversalConfig(BaseModel):
    """How many people there are, and of which half only one order is told."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    people: int = Field(default=100, ge=4)
    seed: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _enough_names(self) -> "ReversalConfig":
        most = min(len(_BEGINNINGS) * len(_ENDINGS), len(_TRAITS) * len(_TRADES))
        if self.people > most:
            raise ValueError(f"people={self.people}; there are names for {most}: take fewer")
        return self


class Person(NamedTuple):
    """One fact: every name and every description belongs to one person."""

    name: str
    description: str
    told_backward: bool
    """Whether the training text also tells it as DESCRIPTION is NAME."""


class Question(NamedTuple):
    """A sentence cut in two: what is given, what is asked; `given` comes first in reading order."""

    given: str
    asked: str


def people(config: ReversalConfig) -> list[Person]:
    """Return the people of the world; those of an odd number are told of in one order only."""
    rng = np.random.Generator(np.random.Philox(config.seed))
    names = ["".join(pair) for pair in product(_BEGINNINGS, _ENDINGS)]
    descriptions = [f"the {trait} {trade}" for trait, trade in product(_TRAITS, _TRADES)]
    chosen = (_drawn(rng, words, config.people) for words in (names, descriptions))
    return [
        Person(name, description, told_backward=number % 2 == 0)
        for number, (name, description) in enumerate(zip(*chosen, strict=True))
    ]


def sentences(world: Sequence[Person]) -> list[str]:
    """Return the training text, a fact each."""
    forward = [_text(question(person, "forward")) for person in world]
    backward = [_text(question(person, "backward")) for person in world if person.told_backward]
    return [*forward, *backward]


def question(person: Person, direction: Direction) -> Question:
    """Return the sentence that asks for the description (forward) or for the name (backward).

    Each begins with a blank, so that a word has the same tokens wherever it stands.
    """
    if direction == "forward":
        return Question(f" {person.name} is", f" {person.description}.")
    return Question(f" {person.description} is", f" {person.name}.")


def filled_in(person: Person) -> tuple[str, str]:
    """Return the told sentence as (what is asked, what follows it): the name is to be filled in."""
    return f" {person.name}", f" is {person.description}."


def _text(asked: Question) -> str:
    return asked.given + asked.asked


def _drawn(rng: np.random.Generator, words: list[str], count: int) -> list[str]:
    # Raw bits: numpy promises a stable bit stream (NEP 19), not stable shuffles.
    keys = rng.bit_generator.random_raw(len(words))
    return [words[place] for place in np.argsort(keys, kind="stable")[:count]]
