"""The page as a text: data stays data, nothing comes from elsewhere, contrast is enough."""

import json
import re
from importlib.resources import files
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llada.pages.document import embedded, palette
from tests.support.commands import llada
from tests.support.made_up_runs import START, Made, write_run
from tests.workflows.ui.conftest import HOSTILE, IMAGE_NAME
from workflows.ui.index import Index
from workflows.ui.page import SCRIPTS, STYLES, file_page, policy

FOLDER = Path(str(files("workflows.ui")))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.sampled_from(HOSTILE),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.sampled_from(HOSTILE), inner),
    max_leaves=20,
)


@given(JSON)
def test_embedded_json_is_the_value_and_no_markup(value: object) -> None:
    text = embedded(value)
    assert json.loads(text) == value
    assert not set("<>&\u2028\u2029") & set(text)


def test_half_a_character_does_not_stop_the_page() -> None:
    assert json.loads(embedded("a\ud800b")) == "a?b"


def test_a_number_that_json_does_not_know_becomes_none(tmp_path: Path) -> None:
    write_run(tmp_path, "a", [Made("x", metrics={"loss": 1.0})])
    journal = tmp_path / "_runs" / "a" / "events.jsonl"
    journal.write_text(journal.read_text().replace('{"loss":1.0}', '{"loss":NaN}'))
    index = Index(tmp_path)
    index.refresh()
    assert "NaN" not in file_page(index, "a", None).split('id="boot">')[1].split("</script>")[0]


def test_the_file_has_two_scripts_and_no_address(hostile_store: Path) -> None:
    index = Index(hostile_store)
    index.refresh()
    page = file_page(index, f"run{IMAGE_NAME}", "earlier")
    assert len(re.findall(r"<script", page)) == 2
    assert len(re.findall(r"</script", page)) == 2
    assert "<img" not in page
    assert not re.search(r"""(src|href)=["'](https?:)?//""", page)
    assert f'content="{policy()}"' in page


@pytest.mark.parametrize("name", [*SCRIPTS, *STYLES, "page.html"])
def test_the_front_end_makes_no_markup_from_text(name: str) -> None:
    source = (FOLDER / name).read_text(encoding="utf-8")
    for way in (
        "innerHTML", "outerHTML", "insertAdjacent", "document.write", "eval(", "new Function",
        "DOMParser", "createContextualFragment", "setHTML", "import(", "@import",
    ):  # fmt: skip
        assert way not in source, way
    assert "@@" not in source or name == "page.html"
    assert source.count("\n") <= 300


def test_every_file_of_the_front_end_is_used() -> None:
    there = {path.name for path in FOLDER.iterdir() if path.suffix in (".js", ".css")}
    assert there == {*SCRIPTS, *STYLES}


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_contrast_is_aa(theme: int) -> None:
    blocks = re.findall(r":root \{(.*?)\}", palette(), re.DOTALL)
    colours = dict(re.findall(r"--([\w-]+): (#\w{6});", blocks[theme]))
    texts = {
        "ink": ["ground", "raised", "sunken", "accent-soft", "bad-soft", "warn-soft"],
        "soft": ["ground", "raised", "sunken", "accent-soft", "bad-soft", "warn-soft"],
        "accent": ["ground", "raised", "sunken", "accent-soft"],
        "bad": ["ground", "raised", "sunken", "bad-soft"],
        "warn": ["ground", "raised", "sunken", "warn-soft"],
        "on-accent": ["accent"],
    }
    for text, grounds in texts.items():
        for ground in grounds:
            assert contrast(colours[text], colours[ground]) >= 4.5, (text, ground)
    for edge in ("strong-line", "accent", "bad", "warn"):  # what is not text needs 3
        for ground in ("ground", "raised"):
            assert contrast(colours[edge], colours[ground]) >= 3, (edge, ground)


def test_the_verb_writes_one_file(tmp_path: Path) -> None:
    write_run(tmp_path / "store", "one", [Made("x")])
    write_run(tmp_path / "store", "two", [Made("x", config={"a": 1})], at=START + 60)
    done = llada("ui", "--store", "store", "--html", "page.html", "--against", "one", cwd=tmp_path)
    assert done.stdout.startswith("page.html: run two, ")
    boot = (tmp_path / "page.html").read_text().split('id="boot">')[1].split("</script>")[0]
    assert json.loads(boot)["comparison"]["changes"]["x"]["change"] == "changed"


def test_the_verb_names_what_it_does_not_find(tmp_path: Path) -> None:
    write_run(tmp_path / "store", "one", [Made("x")])
    done = llada("ui", "--store", "store", "--run", "two", cwd=tmp_path, check=2)
    assert "no run 'two'" in done.stderr
    done = llada("ui", "--store", "none", "--html", "p.html", cwd=tmp_path, check=2)
    assert "run a recipe first" in done.stderr
    assert not (tmp_path / "none").exists()
