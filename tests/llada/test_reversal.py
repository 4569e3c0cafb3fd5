"""The reversal world: one to one, told as promised, the same every time, one token a word."""

import pytest
from pydantic import ValidationError

from llada.reversal import ReversalConfig, filled_in, people, question, sentences
from llada.tokenizer import Tokenizer

CONFIG = ReversalConfig(people=60, seed=3)
WORLD = people(CONFIG)


def test_names_and_descriptions_belong_to_one_person_each() -> None:
    assert len({p.name for p in WORLD}) == len({p.description for p in WORLD}) == len(WORLD) == 60


def test_the_world_hangs_on_the_seed_alone() -> None:
    assert people(CONFIG) == WORLD
    assert people(ReversalConfig(people=60, seed=4)) != WORLD
    # A larger world begins with the smaller one: a sweep over sizes asks of the same people.
    assert people(ReversalConfig(people=80, seed=3))[:60] == WORLD


def test_half_of_the_people_are_told_of_in_one_order_only() -> None:
    text = sentences(WORLD)
    one_way = [p for p in WORLD if not p.told_backward]
    assert len(one_way) == 30
    assert len(text) == len(set(text)) == 90
    for person in WORLD:
        given, asked = question(person, "backward")
        assert (given + asked in text) == person.told_backward
        given, asked = question(person, "forward")
        assert given + asked in text
        assert "".join(filled_in(person)) in text


def test_a_word_is_the_same_token_wherever_it_stands() -> None:
    tokenizer = Tokenizer.train(sentences(WORLD), vocab_size=4096, min_frequency=1)
    for person in WORLD:
        name = tokenizer.encode(f" {person.name}")
        assert len(name) == 1
        assert tokenizer.encode(question(person, "backward").asked)[:1] == name
        assert tokenizer.encode(filled_in(person)[0]) == name


def test_a_world_without_enough_names_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"there are names for 144: take fewer"):
        ReversalConfig(people=145)
