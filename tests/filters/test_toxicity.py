import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from filters.errors import FilterError
from filters.fasttext_models import one_line
from filters.quality import area_under_curve
from filters.toxicity import LabelScorer


def trained(folder: Path, rows: list[tuple[str, str]]) -> Path:
    """A model as others publish them: labels and text, one a line."""
    from fasttext import FastText

    (folder / "train.txt").write_text(
        "".join(f"__label__{label} {one_line(text)}\n" for label, text in rows)
    )
    model = FastText.train_supervised(
        str(folder / "train.txt"),
        epoch=15,
        lr=0.5,
        wordNgrams=2,
        bucket=20_000,
        dim=16,
        thread=1,
        seed=1,
        verbose=0,
    )
    model.save_model(str(folder / "model.bin"))
    return folder / "model.bin"


def test_a_model_scores_its_label_on_real_messages(shared_data: Path, tmp_path: Path) -> None:
    path = shared_data / "corpus" / "text" / "en_sms_spam.shared.parquet"
    table = pq.read_table(path, columns=["text", "meta"])
    labels = [json.loads(meta)["label"] for meta in table["meta"].to_pylist()]
    rows = list(zip(labels, table["text"].to_pylist(), strict=True))
    scorer = LabelScorer.from_file(trained(tmp_path, rows[::2]), "spam")
    scores = scorer.score(table["text"])[1::2]
    spam = np.array([label == "spam" for label in labels[1::2]])
    assert area_under_curve(scores, spam) > 0.97
    assert (scores >= 0).all()
    assert (scores <= 1).all()


def test_a_blank_text_scores_nothing_and_a_wrong_label_is_an_error(tmp_path: Path) -> None:
    path = trained(tmp_path, [("toxic", "you awful thing"), ("fine", "what a day")] * 20)
    scores = LabelScorer.from_file(path, "toxic").score(pa.array(["", " \n", "awful thing"]))
    assert scores[:2].tolist() == [0, 0]
    assert scores[2] > 0.5
    with pytest.raises(FilterError, match="unknown label 'toxicc'; allowed: fine, toxic"):
        LabelScorer.from_file(path, "toxicc")
