"""Which blocks of a page are its main content, by their length, link share and neighbours.

The features are the shallow ones of Kohlschuetter, Fankhauser and Nejdl (Boilerplate Detection
using Shallow Text Features, WSDM 2010), which need no language; what decides on short blocks by
their surroundings follows Pomikalek (Removing Boilerplate and Duplicate Content from Web Corpora,
2011; jusText). A limit without another source below is one of theirs.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from resiliparse.parse.html import HTMLTree

from pipelines.reading.html_blocks import Block, html_blocks, text_of

_ROLES = (
    *("author", "breadcrumb", "byline", "cookie", "copyright", "footer", "license", "newsletter"),
    *("promo", "recommend", "related", "share-buttons", "sharing", "sidebar", "social", "sponsor"),
    *("subscribe", "teaser"),
)
"""Parts of class names that say what an element is for. Names of ids are no evidence: generators
make them from headings, and a chapter may be about cookies."""
_SKIPPED = [
    # What the HTML standard has it for: who wrote this, related documents, copyright.
    "footer:not(blockquote > footer)",
    # To log in, subscribe, comment or search; not the form that some servers put around a page.
    "form:not(body > form):not(:has(h1, main))"
    ':is(:not(:has(p)), :has(textarea, input[type="email" i], input[type="password" i]))',
    ":is(div, section, aside, nav, ul, p, span):is("
    + ", ".join(f'[class*="{role}" i]' for role in _ROLES)
    + "):not(:has(h1, main))",
]
_LINKED = 1 / 3
"""Share of link text above which a block is navigation, unless it holds a text of its own."""
_ALL_LINKED = 0.5556
"""Share of link text above which it is navigation in any case."""
_BUT_A_LINK = 0.9
"""Share of link text above which a sentence is no more than a link (our choice)."""
_FULL = 70
"""Letters outside of links that make a text of their own (the LENGTH_LOW of jusText)."""
_LEAST = 250
"""Letters that make a text worth taking alone (MIN_EXTRACTED_SIZE of trafilatura)."""
_LARGE = 0.2
"""Share of the largest run that makes a run large however short it is; chosen by us. A page of
little text has main content too, and a contact box is smaller yet."""
_TEASER = 500
"""Letters of the excerpt of another page (55 words in WordPress, unless told otherwise)."""
_NOTICE = 300
"""Letters of a notice of consent or copyright (our choice: three lines)."""
_NOTICES = re.compile(r"\bcookies?\b|(?:©|\(c\)|copyright)\W{0,3}(?:19|20)\d\d", re.IGNORECASE)
_SENTENCE_ENDS = (".", "!", "?", "…", "。", "！", "？", "।", "؟", "۔")


def main_text(tree: HTMLTree) -> str:
    """Return the main content of a page; all that resiliparse leaves where little else is found."""
    kept = main_blocks(html_blocks(tree, _SKIPPED))
    if sum(block.size for block in kept) < _LEAST:
        kept = html_blocks(tree)
    return text_of(kept)


def main_blocks(blocks: Sequence[Block]) -> list[Block]:
    """Return the blocks that are main content.

    Navigation goes wherever it is. It parts the rest into runs; from the first large run to the
    last all other text stays, short as it may be, and a heading stays where text below it does.
    """
    bad = [_is_linked(block) for block in blocks]
    _clear_sentences(blocks, bad)
    _mark_teasers(blocks, bad)
    _mark_notices(blocks, bad)
    _mark_labels(blocks, bad)
    runs = _runs(blocks, bad)
    enough = min(_LEAST, _LARGE * max((run.full for run in runs), default=0))
    large = [run for run in runs if run.full >= enough]
    if not large:
        return []
    kept = [False] * len(blocks)
    for at in range(large[0].begin, large[-1].end):
        kept[at] = not bad[at]
    return _with_headings(blocks, kept)


def _is_linked(block: Block) -> bool:
    """Whether a block is navigation; a sentence that is not all links never is."""
    if block.level or block.linked <= _LINKED * block.size:
        return False
    if block.linked > _ALL_LINKED * block.size:
        return True
    return block.size - block.linked < _FULL and not block.text.endswith(_SENTENCE_ENDS)


def _clear_sentences(blocks: Sequence[Block], bad: list[bool]) -> None:
    """Clear a sentence full of links between two texts of their own, unless it is but a link."""
    texts = [not bad[at] and _full(block) > 0 for at, block in enumerate(blocks)]
    for at in range(1, len(blocks) - 1):
        block = blocks[at]
        if bad[at] and texts[at - 1] and texts[at + 1] and block.text.endswith(_SENTENCE_ENDS):
            bad[at] = block.linked > _BUT_A_LINK * block.size


def _full(block: Block) -> int:
    """Return the letters of a block's own text; 0 for a heading or too short a text."""
    own = block.size - block.linked
    return own if not block.level and (own >= _FULL or block.verbatim) else 0


def _mark_teasers(blocks: Sequence[Block], bad: list[bool]) -> None:
    """Mark two or more sections in a row, below some text, that each lead to another page.

    Such a section has a link for a heading, little text and more links ("read more", tags).
    """
    at = next((at for at, block in enumerate(blocks) if not bad[at] and _full(block)), len(blocks))
    teasers: list[range] = []
    while at < len(blocks):
        block, end = blocks[at], at + 1
        if block.level:
            while end < len(blocks) and not 0 < blocks[end].level <= block.level:
                end += 1
            own = sum(inner.size - inner.linked for inner in blocks[at + 1 : end])
            if block.linked > block.size / 2 and own < _TEASER and any(bad[at + 1 : end]):
                teasers.append(range(at, end))
                at = end
                continue
        if not bad[at]:
            _mark(teasers, bad)
            teasers = []
        at += 1
    _mark(teasers, bad)


def _mark(teasers: list[range], bad: list[bool]) -> None:
    for teaser in teasers if len(teasers) > 1 else ():
        for at in teaser:
            bad[at] = True


def _mark_notices(blocks: Sequence[Block], bad: list[bool]) -> None:
    """Mark notices of consent or copyright with little or no text between them and an edge."""
    for order in (range(len(blocks)), range(len(blocks) - 1, -1, -1)):
        passed = 0
        for at in order:
            block = blocks[at]
            if bad[at]:
                continue
            if block.size < _NOTICE and not block.level and _NOTICES.search(block.text):
                bad[at] = True
            else:
                passed += _full(block)
            if passed >= _LEAST:
                break


def _mark_labels(blocks: Sequence[Block], bad: list[bool]) -> None:
    """Mark short lines that are no sentence right above navigation: its title."""
    for at in range(len(blocks) - 1):
        block = blocks[at]
        if (
            bad[at + 1]
            and not blocks[at + 1].level
            and not block.level
            and not block.verbatim
            and not block.links
            and block.size < _FULL
            and not block.text.endswith(_SENTENCE_ENDS)
        ):
            bad[at] = True


class _Run(NamedTuple):
    """Blocks from `begin` up to `end` without navigation of two links or more."""

    begin: int
    end: int
    full: int


def _runs(blocks: Sequence[Block], bad: Sequence[bool]) -> list[_Run]:
    """Return the runs with text of their own; one link between paragraphs does not part them."""
    runs: list[_Run] = []
    begin = end = full = links = 0
    for at, block in enumerate(blocks):
        if bad[at]:
            links += max(1, block.links)
            continue
        if links > 1:
            runs.append(_Run(begin, end, full))
            begin, full = at, 0
        links, end, full = 0, at + 1, full + _full(block)
    runs.append(_Run(begin, end, full))
    return [run for run in runs if run.full]


def _with_headings(blocks: Sequence[Block], kept: list[bool]) -> list[Block]:
    """Return the kept blocks, and every heading with some of them before the next of its rank."""
    found: list[Block] = []
    highest = 0
    """Rank of the highest heading passed since the last text; 7 right after text."""
    for at in range(len(blocks) - 1, -1, -1):
        block = blocks[at]
        if not block.level:
            if kept[at]:
                found.append(block)
                highest = 7
        elif block.level < highest:
            found.append(block)
            highest = block.level
    return found[::-1]
