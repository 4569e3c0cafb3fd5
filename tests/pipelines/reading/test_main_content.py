"""What of a page is its text: the article to the last short line, and nothing around it."""

import gzip
import json
import re
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.html import HTMLTree

from benchmarks.html_extraction import ours, quality
from pipelines.reading.html_blocks import html_blocks, text_of
from pipelines.reading.main_content import main_text

SENTENCE = "The tide comes in twice a day and takes the ships along when it goes. "
ARTICLE = f"<h1>Tides</h1><p>{SENTENCE * 4}</p>"


def text(body: str) -> str:
    return main_text(HTMLTree.parse(f"<html><body><div><div><div>{body}</div></div></div></body>"))


PAGE = f"""
<h2><a href="/">Harbour news</a></h2>
<div>Topics</div>
<p><a href="/a">Ships</a> | <a href="/b">Weather</a></p>
<h1>Tides</h1>
<div>By a harbour master</div>
<p>{SENTENCE * 4}</p>
<h2>Tools</h2>
<ul><li>a rope</li><li>a lamp<ol><li>oil</li><li>a <a href="/w">wick</a></li></ol></li></ul>
<pre>low  06:12\n  high 12:20 &lt;m&gt;</pre>
<p>Read also: <a href="/more">All about the moon and its pull</a></p>
<h3>Players</h3>
<h2>Sources</h2>
<p>Kant, Tides: <a href="https://example.org/kant-on-tides">https://example.org/kant-on-tides</a></p>
<p>Some more of it is in <a href="/faq">the list of questions</a>.</p>
<p>That was it!</p>
<div><a href="/t/1">tide</a><a href="/t/2">moon</a></div>
<div class="m-author"><h2>Author</h2><p>{SENTENCE}</p></div>
<h2>Read on</h2>
<h3><a href="/n1">Ebb and flow for beginners</a></h3><p>{SENTENCE}</p><a href="/n1">More</a>
<h3><a href="/n2">The longest night at sea</a></h3><p>{SENTENCE}</p><a href="/n2">More</a>
<h2>Write to us</h2><p>{SENTENCE}</p>
<form><p>{SENTENCE}</p><textarea></textarea></form>
<div>We use cookies to make this site better. <a href="/c">What they are</a></div>
<footer>{SENTENCE}</footer>
<p>Copyright 2020 by the harbour, all of it, and that means each of its ships and each lamp.</p>
"""


def test_the_article_stays_and_all_around_it_goes() -> None:
    assert text(PAGE).split("\n") == [
        *("Tides", "", "By a harbour master", "", (SENTENCE * 4).strip(), "", "Tools", ""),
        *("  • a rope", "  • a lamp", "    1. oil", "    2. a wick", ""),
        *("low  06:12", "  high 12:20 <m>", "", "Sources", ""),
        *("Kant, Tides: https://example.org/kant-on-tides", ""),
        *("Some more of it is in the list of questions.", "", "That was it!"),
    ]


KEPT = {
    "a heading that links to itself": '<h2><a href="#high">High water</a></h2><p>Twice a day.</p>',
    "one teaser, perhaps a series": f'<h2><a href="/2">Part two</a></h2><p>{SENTENCE}</p>',
    "a chapter about cookies": f'<section id="cookies"><h2>Cookies</h2><p>{SENTENCE}</p></section>',
    "cookies in the middle": f"<p>A sailor eats cookies.</p><p>{SENTENCE * 4}</p>",
    "a table whose first column links": "<table>"
    + "".join(f"<tr><td><a href='/{n}'>Pier {n}</a></td><td>{n} ships</td></tr>" for n in range(20))
    + "</table>",
    "a sentence full of links": f"<p>{SENTENCE * 2}</p><p>Ask <a href='/1'>the harbour master</a> "
    f"or in <a href='/2'>the house on the cliff</a>.</p><p>{SENTENCE * 2}</p>",
    "an anchor without a target": f'<p><a id="x">Ebb</a> is short.</p><p>{SENTENCE}</p>',
    "footnotes": '<ol><li><a href="#a">back</a></li><li><a href="#b">up</a></li></ol>',
    "a cited quotation": f"<blockquote>{SENTENCE}<footer>Kant</footer></blockquote><p>So!",
    "a box named after what is beside it": f'<div class="has-sidebar"><h1>A</h1>{SENTENCE}</div>',
}


@pytest.mark.parametrize("html", KEPT.values(), ids=KEPT)
def test_what_looks_like_boilerplate_and_is_none_stays(html: str) -> None:
    words = " ".join(re.sub("<[^>]*>", " ", html).split())
    found = re.sub(r"(•|\d\.) ", "", text(ARTICLE + html))
    assert "".join(words.split()) in "".join(found.split())


def test_lengths_mean_the_same_in_chinese() -> None:
    chinese = "潮水每天来两次，退去时把船只一起带走，所以港口里的人都看着月亮过日子。"
    end = f"<p>{chinese * 3}</p>"
    links = '<p><a href="/1">船</a> <a href="/2">月</a></p>'
    assert chinese in text(f"<h1>潮</h1><p>{chinese * 9}</p>{links}{end}")


def test_a_page_without_a_text_stays_as_it_is() -> None:
    links = "".join(f'<p><a href="/{at}">Harbour {at}</a></p>' for at in range(3))
    assert text(f"<h1>Harbours</h1>{links}<p>{SENTENCE}</p>").split("\n\n") == [
        *("Harbours", "Harbour 0", "Harbour 1", "Harbour 2"),
        SENTENCE.strip(),
    ]


def test_a_link_around_an_icon_makes_no_link_of_the_text_after_it() -> None:
    icon, note = '<a href="/x"><img src="x.png"></a>', '<a href="#n">note</a>'
    for page in (f"{icon} {SENTENCE}", f"{icon} {SENTENCE} {note} {SENTENCE}"):
        (block,) = html_blocks(HTMLTree.parse(f"<body><div><p>{page}</p></div></body>"))
        assert (block.linked, block.links) == (0, 0)
    (block,) = html_blocks(HTMLTree.parse(f'<p>{icon} <a href="/y">ships</a> {SENTENCE}</p>'))
    assert (block.linked, block.links) == (5, 1)


WORDS = st.sampled_from(["ebb", "flow & <i>", "x\ufdd0y", "潮", "©", "•"]).map(
    lambda word: word.replace("&", "&amp;").replace("<i>", "&lt;i>")
)
TAGS = ("div", "p", "ul", "ol", "li", "h2", "pre", "table", "tr", "td", "span", "br", "section")
LINKS = ('<a href="/x">{}</a>', '<a href="#x">{}</a>', '<a name="x">{}</a>', "<a href=''>{}</a>")
HTML = st.recursive(
    WORDS,
    lambda inner: st.tuples(
        st.sampled_from([f"<{tag}>{{}}</{tag}>" for tag in TAGS] + list(LINKS)),
        st.lists(inner, max_size=4).map("\n".join),
    ).map(lambda pair: pair[0].format(pair[1])),
    max_leaves=20,
)


@settings(max_examples=150)
@given(HTML)
@example('<div><a href="/x"></a>\nebb\n<br>ebb</br></div>')
def test_blocks_hold_every_word_that_resiliparse_finds(html: str) -> None:
    tree = HTMLTree.parse(f"<body><div><div><div>{html}</div></div></div></body>")
    plain = extract_plain_text(
        tree, main_content=True, alt_texts=False, comments=False, post_meta=False
    )
    blocks = html_blocks(tree)
    assert _letters(text_of(blocks)) == _letters(plain)
    assert all(0 <= block.linked <= block.size for block in blocks)


def _letters(text: str) -> str:
    return re.sub(r"[\s•\ufdd0]|\d\.", "", text)


def test_passages_of_real_pages(shared_data: Path) -> None:
    path = shared_data / "corpus" / "html_eval" / "cc_pages.shared.jsonl.gz"
    with gzip.open(path, "rt", encoding="utf-8") as handle:
        pages = [json.loads(line) for line in handle]
    extract = ours("resiliparse")
    precision, recall = quality(pages, [extract(page["html"]) for page in pages])
    assert precision >= 0.98, "trafilatura: 0.985"
    assert recall >= 0.98, "trafilatura: 0.901; resiliparse alone: 0.986 at a precision of 0.824"


@pytest.mark.parametrize("depth", range(4))
def test_a_list_of_sentences_stays_and_a_menu_goes_however_near_to_the_body(depth: int) -> None:
    menu = '<ul><li><a href="/a">Ships</a></li><li><a href="/b">Weather of the week</a></li></ul>'
    said = f"<ul><li>First: {SENTENCE}</li><li>Then: {SENTENCE}</li></ul>"
    body = f"{menu}{ARTICLE}{said}<p>That was it!</p>"
    page = f"<html><body>{'<div>' * depth}{body}{'</div>' * depth}</body></html>"
    found = main_text(HTMLTree.parse(page))
    assert "\u2022 First: " in found
    assert "\u2022 Then: " in found
    assert "Ships" not in found
    assert found.endswith("That was it!")
