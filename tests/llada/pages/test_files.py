"""What the files of the pages must keep: one palette, readable shades, no text that is markup."""

import json
import re
from importlib.resources import files
from pathlib import Path

import pytest

from llada.course import Course
from llada.pages.chat import chat_page
from llada.pages.document import embedded
from llada.pages.trace import trace_page
from workflows.ui.index import Index
from workflows.ui.page import served_page

FOLDER = files("llada.pages")
NAMES = sorted(f.name for f in FOLDER.iterdir() if f.name.endswith((".js", ".css", ".html")))
PAGES = (
    chat_page("m", 8, needs_key=False).html,
    trace_page(Course("m", [], steps=1, passes=1, settings="")).html,
)


def read(name: str) -> str:
    return FOLDER.joinpath(name).read_text(encoding="utf-8")


def palettes(css: str) -> list[dict[str, str]]:
    blocks = re.findall(r":root \{(.*?)\}", css, re.DOTALL)
    return [dict(re.findall(r"--([\w-]+): (#\w{6});", block)) for block in blocks]


def rgb(colour: str) -> list[float]:
    return [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]


def luminance(parts: list[float]) -> float:
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_all_pages_have_the_colours_of_the_lineage_page(tmp_path: Path) -> None:
    theirs = palettes(served_page(Index(tmp_path), None, None))
    assert theirs
    for page in PAGES:
        assert palettes(page) == theirs


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_text_is_readable_on_every_shade(theme: int) -> None:
    colours = palettes(read("palette.css"))[theme]
    shares = [int(s) / 100 for s in re.findall(r"var\(--accent\) (\d+)%", read("tokens.css"))]
    assert len(shares) == 8
    assert shares == sorted(shares)
    ink, accent, raised = (rgb(colours[name]) for name in ("ink", "accent", "raised"))
    for share in shares:
        ground = [share * a + (1 - share) * r for a, r in zip(accent, raised, strict=True)]
        low, high = sorted((luminance(ink), luminance(ground)))
        assert (high + 0.05) / (low + 0.05) >= 4.5, share


@pytest.mark.parametrize("name", NAMES)
def test_every_file_is_used_and_makes_no_markup_of_text(name: str) -> None:
    text = read(name)
    assert any(text in page for page in PAGES) or name.endswith(".html")
    for way in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "http:"):
        assert way not in text, way
    assert "https:" not in text


@pytest.mark.parametrize("page", PAGES)
def test_the_policy_allows_its_own_script_alone(page: str) -> None:
    [policy] = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]+)"', page)
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy
    assert "*" not in policy
    assert "@@" not in page


def test_embedded_data_is_the_value() -> None:
    value = {"</script>": ["<!--", "&amp;", "\u2028\u2029", None, 1.5]}
    assert json.loads(embedded(value)) == value
    assert not re.search("[<>&\u2028\u2029]", embedded(value))
    with pytest.raises(ValueError, match="JSON"):
        embedded(float("nan"))
