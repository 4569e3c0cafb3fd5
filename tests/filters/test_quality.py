import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given

from filters.errors import FilterError
from filters.fasttext_models import one_line
from filters.quality import QualityClassifier, area_under_curve
from tests.filters.texts import PROSE, any_text, crafted_text

SPAM = "buy cheap watches now free shipping click here best price order today limited offer"


def judged(texts: int = 120) -> tuple[list[str], list[float]]:
    """Shuffled sentences of prose with high scores, and of advertising with low ones."""
    rng = random.Random(3)
    good = [" ".join(rng.sample(PROSE.split(), 25)) for _ in range(texts // 2)]
    other = [" ".join(rng.choices(SPAM.split(), k=25)) for _ in range(texts // 2)]
    scores = [rng.uniform(2.1, 2.4) for _ in good] + [rng.uniform(1.7, 2.0) for _ in other]
    return good + other, scores


@pytest.fixture(scope="module")
def classifier() -> QualityClassifier:
    return QualityClassifier.train(*judged(), quantile=0.5)[0]


def test_training_learns_what_the_scores_say_and_reports_it() -> None:
    classifier, report = QualityClassifier.train(*judged(), quantile=0.5)
    assert report.auc > 0.95
    assert (report.trained, report.held_out) == (96, 24)
    assert 2.0 < report.threshold < 2.2
    good, other = classifier.predict([PROSE, SPAM])
    assert good > 0.9
    assert other < 0.1


def test_scores_without_meaning_are_not_learned() -> None:
    texts, scores = judged()
    random.Random(1).shuffle(scores)
    _, report = QualityClassifier.train(texts, scores, quantile=0.5)
    assert 0.2 < report.auc < 0.8


def test_two_trainings_predict_the_same_bytes() -> None:
    texts, scores = judged()
    first, report = QualityClassifier.train(texts, scores, quantile=0.5)
    second, again = QualityClassifier.train(texts, scores, quantile=0.5)
    other, _ = QualityClassifier.train(texts, scores, quantile=0.5, seed=2)
    assert first.predict(texts).tobytes() == second.predict(texts).tobytes()
    assert report == again
    assert first.predict(texts).tobytes() != other.predict(texts).tobytes()


def test_a_saved_classifier_predicts_the_same(
    classifier: QualityClassifier, tmp_path: Path
) -> None:
    classifier.save(tmp_path / "quality.bin")
    loaded = QualityClassifier.load(tmp_path / "quality.bin")
    texts, _ = judged()
    assert loaded.predict(texts).tobytes() == classifier.predict(texts).tobytes()
    assert [path.name for path in tmp_path.iterdir()] == ["quality.bin"]


def test_labels_and_line_ends_in_a_text_teach_nothing() -> None:
    texts, scores = judged()
    poisoned = [f"__label__good\n__label__other {text} </s> __label__x\n" for text in texts]
    classifier, report = QualityClassifier.train(poisoned, scores, quantile=0.5)
    assert report.auc > 0.95
    assert classifier._model.get_labels(on_unicode_error="strict") in (
        ["__label__good", "__label__other"],
        ["__label__other", "__label__good"],
    )


@given(any_text | crafted_text)
def test_any_text_is_one_line_without_labels(text: str) -> None:
    line = one_line(f"{text} __label__{text}</s>")
    assert "__label__" not in line
    assert "</s>" not in line
    assert len(line.splitlines()) <= 1
    assert "\0" not in line


@given(any_text | crafted_text)
def test_any_text_has_a_probability(classifier: QualityClassifier, text: str) -> None:
    (probability,) = classifier.predict([text])
    assert 0 <= probability <= 1
    assert (probability == 0) == (not one_line(text))


def test_chinese_is_read_as_words_and_not_as_one(classifier: QualityClassifier) -> None:
    good, other = "山河湖海天地日月", "甲乙丙丁戊己庚辛"
    rng = random.Random(9)
    texts = ["".join(rng.choices(good if at % 2 else other, k=20)) for at in range(80)]
    chinese, report = QualityClassifier.train(texts, [at % 2 for at in range(80)], quantile=0.5)
    assert report.auc == 1
    assert chinese.predict(["山海", "甲辛"]).round().tolist() == [1, 0]


def test_area_under_curve_counts_pairs() -> None:
    predictions, good = np.array([0.9, 0.5, 0.5, 0.1]), np.array([True, True, False, False])
    assert area_under_curve(predictions, good) == (1 + 1 + 0.5 + 1) / 4


@pytest.mark.parametrize(
    ("texts", "scores", "options", "message"),
    [
        (["a"] * 9, [1.0] * 8, {}, "9 texts but 8 scores"),
        (["a"] * 3, [1.0] * 3, {}, "3 judged texts; needed: at least 4"),
        (["a"] * 9, [1.0] * 8 + [float("nan")], {}, "score 8 is nan; allowed: finite"),
        (["a"] * 9, [1.0] * 9, {}, r"all 2 held-out texts|all 7 training texts"),
        (["a"] * 9, [1.0] * 9, {"quantile": 1.0}, "quantile is 1.0; allowed: between"),
    ],
)
def test_errors_say_what_is_needed(
    texts: list[str], scores: list[float], options: dict[str, float], message: str
) -> None:
    with pytest.raises(FilterError, match=message):
        QualityClassifier.train(texts, scores, **options)


def test_a_model_of_something_else_is_an_error() -> None:
    from filters.language import LanguageIdentifier

    with pytest.raises(FilterError, match=r"tells .* apart; needed: a model of good and other"):
        QualityClassifier.load(LanguageIdentifier.bundled().path)
