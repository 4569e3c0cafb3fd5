"""The page of a denoising, in a real browser, from a file: it plays, and no text can script it."""

import json
import re
from pathlib import Path

import pytest

from llada.course import Course, Token
from llada.pages.trace import trace_page
from tests.support.browsing import Watched

HOSTILE = (
    "</script><script>window.pwned=1</script>",
    '"><img src=x onerror="window.pwned=1">',
    "<!--<script>",
    "\u2028 ' ` ${window.pwned=1}",
)
TOKENS = [
    Token("Once ", -1, 0.0, False),
    Token(HOSTILE[0], 2, 0.5, False),
    Token(HOSTILE[1], 0, 0.9, False),
    Token(HOSTILE[2], 1, 0.8, False),
    Token("", 3, 0.7, True),
    Token("after", 4, 0.6, False),
]
COURSE = Course(HOSTILE[0], TOKENS, steps=5, passes=10, settings=HOSTILE[3])


@pytest.fixture
def url(tmp_path: Path) -> str:
    (tmp_path / "t.html").write_text(trace_page(COURSE).html, encoding="utf-8")
    return (tmp_path / "t.html").as_uri()


def test_the_data_ends_no_element() -> None:
    html = trace_page(COURSE).html
    [data] = re.findall(
        r'<script type="application/json" id="boot">(.*?)</script>', html, re.DOTALL
    )
    assert [token[0] for token in json.loads(data)["tokens"]] == [token.text for token in TOKENS]
    assert html.count("<script") == 2
    assert "unsafe" not in html
    assert "http://" not in html.replace("http://www.w3.org", "")


def test_it_steps_by_keys_and_shows_what_stood(watched: Watched, url: str) -> None:
    page = watched.open(url, "#text .token")
    assert page.text_content("#at") == "step 5 of 5"
    assert page.text_content("#text") == f"Once {HOSTILE[0]}{HOSTILE[1]}{HOSTILE[2]}∎after"
    page.keyboard.press("Home")
    assert page.text_content("#text") == "Once "
    assert page.locator("#text .mask").count() == 5
    page.keyboard.press("ArrowRight")
    assert page.text_content("#text") == f"Once {HOSTILE[1]}"
    assert page.text_content("#text .new") == HOSTILE[1]
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowLeft")
    assert page.text_content("#at") == "step 1 of 5"
    page.locator("#step").focus()
    page.keyboard.press("ArrowRight")
    assert page.text_content("#at") == "step 2 of 5"
    page.keyboard.press("End")
    assert page.text_content("#at") == "step 5 of 5"
    assert page.evaluate("window.pwned") is None
    assert set(watched.requests) <= {"about:blank", url}


def test_it_plays_to_the_end_and_can_be_paused(watched: Watched, url: str) -> None:
    page = watched.open(url, "#text .token")
    page.select_option("#speed", "2")
    page.keyboard.press("Home")
    page.locator("h1").click()
    page.keyboard.press("Space")
    page.wait_for_selector("#play:text('Pause')")
    page.wait_for_selector("#text .mask >> nth=3")
    page.keyboard.press("Space")
    page.wait_for_selector("#play:text('Play')")
    paused = page.text_content("#at")
    assert f"Paused at {paused}" in page.text_content("#live")
    page.select_option("#speed", "30")
    page.locator("#play").click()
    page.wait_for_selector("#play:text('Play')")
    page.wait_for_selector("#live:text('Finished')", state="attached")
    assert page.text_content("#at") == "step 5 of 5"


def test_later_tokens_are_darker(watched: Watched, url: str) -> None:
    page = watched.open(url, "#text .token")
    classes = page.eval_on_selector_all("#text .token", "all => all.map(t => t.classList[1])")
    shades = {c for c in classes if re.fullmatch("s[0-7]", c)}
    assert len(shades) == 4
    colours = page.eval_on_selector_all(
        ".legend .strip span", "all => all.map(t => getComputedStyle(t).backgroundColor)"
    )
    assert len(set(colours)) == 8
