"""The blocks of a page (headings, paragraphs, lists) and how much of each is link text.

They are read from the reduced HTML that resiliparse writes, so the tree is walked in compiled code
and Python sees blocks, never nodes. Every step is linear in that text.
"""

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.html import HTMLTree

_LINK, _END = "\ufdd0", "\ufdd1"
"""Where link text begins and ends: noncharacters, which Unicode keeps out of interchange."""
_ANCHOR = re.compile(r'<a href="(?:#[^"]*)?">')
"""A link within the page (a footnote, the permalink of a heading) is text like any other. So is an
anchor without a target: resiliparse gives it an empty one and no end."""
_EMPTY = re.compile(r'<a href="[^"]*">(?=[^<]*+(?:<(?!a |/a>)[^<]*+)*+(?:<a |\Z))')
"""A link around no text (an icon): resiliparse gives it no end, so another follows, or nothing."""
_LINK_TAG = re.compile(r'<a href="[^"]*">')
_LONG_LINK = re.compile(f"{_LINK}([^{_LINK}{_END}\n]*\n[^{_LINK}{_END}]*){_END}")
_LINE = re.compile(r"^([ ]*(?:<[^>]*>)*)([^<\s].*?)((?:<[^>]*>)*)$", re.MULTILINE)
_LINKED = re.compile(f"{_LINK}([^{_LINK}{_END}]*)")
_ADDRESS = re.compile(r"(?:https?://|ftp://|www\.)", re.IGNORECASE)
_BLOCK_TAG = re.compile(r"(</?(?:h[1-6]|p|pre|[uo]l)>)")
_OTHER_TAG = re.compile(r"</?(?:li|br)>")
_ESCAPES = (("&lt;", "<"), ("&gt;", ">"), ("&quot;", '"'), ("&amp;", "&"))
_BARE_ITEM = re.compile(r" *(?:•|\d+\.) ")
_MENU_DEPTH = 3
_SHALLOW = ", ".join("body > " + "* > " * depth + "ul" for depth in range(_MENU_DEPTH))
"""Where resiliparse drops a bulleted list, whatever it says."""
_SENTENCE = 40
"""Letters outside of links that an item has on average where a list is no menu (our choice)."""
_WIDE = re.compile("[\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff]")
_WIDE_WEIGHT = 3
"""Letters that a Han, kana or hangul sign stands for, so that a length means the same in every
script (a translation from English into Chinese has about a third of its characters)."""


class Block(NamedTuple):
    """A part of a page that is kept or dropped as one."""

    text: str
    level: int = 0
    """1 to 6 for a heading, 0 for other text."""
    apart: bool = False
    """Whether an empty line belongs before and after it."""
    verbatim: bool = False
    size: int = 0
    """Letters, with `_WIDE_WEIGHT`."""
    linked: int = 0
    """Letters of links that lead away from the page; a link that shows its address is a source that
    the text names, and none of them."""
    links: int = 0


def html_blocks(tree: HTMLTree, skipped: Sequence[str] = ()) -> list[Block]:
    """Return the blocks of what resiliparse takes for main content.

    Args:
        tree: The page.
        skipped: CSS selectors of elements to leave out.
    """
    _lower_lists(tree)
    html = extract_plain_text(
        tree,
        preserve_formatting="minimal_html",
        main_content=True,
        alt_texts=False,
        links=True,
        comments=False,
        post_meta=False,
        skip_elements=list(skipped),
    )
    html = html.replace(_LINK, "").replace(_END, "")
    html = _ANCHOR.sub("", _EMPTY.sub("", html))
    html = _LINK_TAG.sub(_LINK, html).replace("</a>", _END)
    return _Reader().read(_LONG_LINK.sub(_by_line, html))


def _lower_lists(tree: HTMLTree) -> None:
    """Move lists of sentences down to where resiliparse does not take every list for a menu."""
    for found in tree.body.query_selector_all(_SHALLOW) if tree.body else ():
        linked = sum(len(link.text or "") for link in found.query_selector_all("a"))
        own = len(found.text or "") - linked
        if own < _SENTENCE * max(1, len(found.query_selector_all("li"))):
            continue
        for _ in range(_MENU_DEPTH):
            box, above = tree.create_element("div"), found.parent
            if box is not None and above is not None:
                above.replace_child(box, found)
                box.append_child(found)


def text_of(blocks: Iterable[Block]) -> str:
    """Return blocks as plain text."""
    pieces: list[str] = []
    apart = False
    for block in blocks:
        pieces += ["\n\n" if apart or block.apart else "\n", block.text]
        apart = block.apart
    return "".join(pieces[1:])


def _by_line(link: re.Match[str]) -> str:
    """Make a link around several blocks one link in each."""
    return _LINE.sub(rf"\1{_LINK}\2{_END}\3", link[1])


class _Reader:
    """Puts tags and texts together to blocks; a list with all the lists in it is one block."""

    def __init__(self) -> None:
        self._found: list[Block] = []
        self._items: list[str] = []
        """Lines of the list that is being read."""
        self._numbers: list[int] = []
        """Next number in each open list, outermost first; 0 in a list with bullets."""

    def read(self, html: str) -> list[Block]:
        parts = _BLOCK_TAG.split(html)
        self._loose(parts[0])
        element = ""
        for tag, text in zip(parts[1::2], parts[2::2], strict=True):
            if tag in {"<ul>", "<ol>"}:
                self._numbers.append(int(tag == "<ol>"))
            elif tag in {"</ul>", "</ol>"}:
                del self._numbers[-1:]
                if not self._numbers:
                    self._end_list()
            element = "" if tag.startswith("</") else tag
            if element == "<p>" and not self._numbers:
                self._add(text, apart=True)
            elif element == "<pre>":
                self._end_list()
                self._add(text, apart=True, verbatim=True)
            elif element.startswith("<h"):
                self._end_list()
                self._add(text, level=int(tag[2]), apart=True)
            else:
                self._loose(text)
        self._end_list()
        return self._found

    def _loose(self, text: str) -> None:
        """Take text outside of paragraphs: items of a list, or lines of which each is a block.

        A line that a `<br>` ends goes on in the next; rows of a table are one block, for their
        links say what they list and only all of them together whether it says anything about it.
        """
        if not text or text.isspace():
            return
        if self._numbers or "<li>" in text:
            self._list_lines(text)
            if not self._numbers:
                self._end_list()
            return
        group: list[str] = []
        apart = False
        for line in text.split("\n"):
            follows = group and (
                group[-1].endswith("<br>") or ("\t\t" in line and "\t\t" in group[-1])
            )
            if not follows and group:
                self._add("\n".join(group), apart=apart)
                group, apart = [], False
            if follows or (line and not line.isspace()):
                group.append(line)
            else:
                apart = True
        self._add("\n".join(group), apart=apart)

    def _list_lines(self, text: str) -> None:
        indent = "  " * max(1, len(self._numbers))
        for line in text.split("\n"):
            for at, piece in enumerate(line.split("<li>")):
                words = piece.strip()
                if at:
                    self._items.append(indent + self._bullet() + words)
                elif words and self._items and _BARE_ITEM.fullmatch(self._items[-1]):
                    self._items[-1] += words
                elif words:
                    self._items.append(indent + "  " + words)

    def _bullet(self) -> str:
        number = self._numbers[-1] if self._numbers else 0
        if not number:
            return "• "
        self._numbers[-1] += 1
        return f"{number}. "

    def _end_list(self) -> None:
        items = [item for item in self._items if not _BARE_ITEM.fullmatch(item)]
        self._items = []
        self._add("\n".join(items), indented=True)

    def _add(
        self,
        html: str,
        *,
        level: int = 0,
        apart: bool = False,
        verbatim: bool = False,
        indented: bool = False,
    ) -> None:
        """Add a block, unless it holds no text."""
        text = _OTHER_TAG.sub("", html)
        if "&" in text:
            for escaped, sign in _ESCAPES:
                text = text.replace(escaped, sign)
        links: list[str] = []
        if _LINK in text:
            links = [words for found in _LINKED.findall(text) if (words := found.strip())]
            text = text.replace(_LINK, "")
        text = text.replace(_END, "")
        if not verbatim:
            lines = [line.rstrip() if indented else line.strip() for line in text.split("\n")]
            text = "\n".join(filter(None, lines))
        if text and not text.isspace():
            linked = sum(_size(words) for words in links if not _ADDRESS.match(words))
            self._found.append(Block(text, level, apart, verbatim, _size(text), linked, len(links)))


def _size(text: str) -> int:
    wide = 0 if text.isascii() else len(_WIDE.findall(text))
    return len(text) + (_WIDE_WEIGHT - 1) * wide
