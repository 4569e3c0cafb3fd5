"""The main text of an HTML page, by resiliparse (default) or trafilatura, and what it declares."""

import re
from bisect import bisect_left
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from resiliparse.parse.html import HTMLTree, Node

from pipelines.errors import InputError
from pipelines.reading.main_content import main_text

_MOST_DEPTH = 2_000
"""Elements within elements; extraction is quadratic in it (10,000 cost 1.5 s, browsers stop at
512)."""
_MOST_ATTRIBUTES = 5_000
"""Attributes of one element; parsing is quadratic in them (200,000 cost 266 s)."""
_LONGEST_FACT = 500
_DECLARED = (
    ("license", 'a[rel~="license"]', "href"),
    ("license", 'link[rel~="license"]', "href"),
    ("license", 'meta[name="dcterms.license" i]', "content"),
)
"""Key of the metadata, where a page declares it, the attribute; the first that is there wins."""
_VOID = "area|base|br|col|embed|hr|img|input|link|meta|param|source|track|wbr"
_CLOSED_BY_OTHERS = "p|li|dt|dd|option|tr|td|th|thead|tbody|tfoot"
_TAG_NAME = re.compile(r"<[a-z][^\s/>]*", re.IGNORECASE)
_ATTRIBUTE = re.compile(r"""[\s/]*=?[^\s/>=]+(?:\s*=\s*(?:"[^"]*"|'[^']*'|[^\s>]*))?""")
_TAG = re.compile(rf"<(?!(?:{_VOID}|{_CLOSED_BY_OTHERS})\b)(/?)[a-z]", re.IGNORECASE)


_RAW = tuple(
    (re.compile(begin, re.IGNORECASE), re.compile(end, re.IGNORECASE))
    for begin, end in (("<script", "</script"), ("<style", "</style"), ("<!--", "-->"))
)


class TooComplexError(Exception):
    """A page built so that reading it would take minutes."""


class Page(NamedTuple):
    """A parsed page and what it declares about itself."""

    tree: HTMLTree
    facts: dict[str, str]


def parsed(html: str) -> Page:
    """Return a page as a tree; TooComplexError where its structure is beyond any real page's."""
    _check_attributes(html)
    tree = HTMLTree.parse(html)
    if _seems_deep(html):
        _check_depth(tree)
    return Page(tree, _facts(tree))


def _check_attributes(html: str) -> None:
    """Refuse a tag of too many attributes; only a tag without an end nearby is looked into."""
    codes = np.frombuffer(html.encode("utf-8", "surrogatepass"), np.uint8)
    closes = np.flatnonzero(codes == ord(">"))
    if np.diff(closes, prepend=0, append=len(codes)).max() <= 2 * _MOST_ATTRIBUTES:
        return  # text has no fewer bytes than characters, and they are a quarter of the work
    codes = np.frombuffer(html.encode("utf-32-le", "surrogatepass"), np.uint32)
    opens, closes = np.flatnonzero(codes == ord("<")), np.flatnonzero(codes == ord(">"))
    ends = np.append(closes, len(codes))[np.searchsorted(closes, opens)]
    wide = opens[ends - opens > 2 * _MOST_ATTRIBUTES]
    raw = _Raw(html) if len(wide) else None
    at = 0
    for begin in wide.tolist():
        tag = _TAG_NAME.match(html, begin)
        if begin < at or tag is None or (raw and raw.holds(begin)):
            continue  # a `<` before `at` is part of the tag that was looked into last
        at, found = tag.end(), 0
        while found <= _MOST_ATTRIBUTES and (attribute := _ATTRIBUTE.match(html, at)):
            at, found = attribute.end(), found + 1
        if found > _MOST_ATTRIBUTES:
            raise TooComplexError(f"an element of over {_MOST_ATTRIBUTES:,} attributes")


def _seems_deep(html: str) -> bool:
    """Say whether tags alone could be too deep; elements that end without a tag count as open."""
    depth = deepest = 0
    tags = html.count("<")
    if tags > _MOST_DEPTH and tags - html.count("</") > _MOST_DEPTH:
        for match in _TAG.finditer(html):
            depth = max(0, depth - 1) if match.group(1) else depth + 1
            deepest = max(deepest, depth)
    return deepest > _MOST_DEPTH


def _check_depth(tree: HTMLTree) -> None:
    node: Node | None = tree.body
    depth = 0
    while node is not None:
        child = node.first_child
        if child is not None:
            node, depth = child, depth + 1
            if depth > _MOST_DEPTH:
                raise TooComplexError(f"more than {_MOST_DEPTH:,} elements within each other")
            continue
        while node is not None and node.next is None and depth > 0:
            node, depth = node.parent, depth - 1
        node = node.next if node is not None and depth > 0 else None


class _Raw:
    """Where a "<" opens no element: in scripts, styles and comments; found in one pass."""

    def __init__(self, html: str) -> None:
        self._marks = [
            ([m.start() for m in begin.finditer(html)], [m.start() for m in end.finditer(html)])
            for begin, end in _RAW
        ]

    def holds(self, at: int) -> bool:
        """Whether the last mark before a place begins such a part and does not end it."""
        for begins, ends in self._marks:
            opened, closed = bisect_left(begins, at), bisect_left(ends, at)
            if opened and (not closed or begins[opened - 1] > ends[closed - 1]):
                return True
        return False


def _facts(tree: HTMLTree) -> dict[str, str]:
    """Return title, language, licence and robots as the page declares them, where it does."""
    document = tree.document
    if document is None:
        return {}
    found: dict[str, str | None] = {"title": tree.title}
    root = document.query_selector("html")
    if root is not None:
        found["declared_language"] = root.getattr("lang") or root.getattr("xml:lang")
    for key, selector, attribute in _DECLARED:
        element = document.query_selector(selector)
        if element is not None and key not in found:
            found[key] = element.getattr(attribute)
    directives = document.query_selector_all('meta[name="robots" i]')
    found["robots"] = ", ".join(filter(None, (tag.getattr("content") for tag in directives)))
    squeezed = {
        key: " ".join((value or "").split())[:_LONGEST_FACT] for key, value in found.items()
    }
    return {key: value for key, value in squeezed.items() if value}


def resiliparse_text(_html: str, page: Page) -> str:
    """Return the main content of the tree that resiliparse made."""
    return main_text(page.tree)


def trafilatura_text(html: str, _page: Page) -> str:
    """Return the main text as trafilatura finds it when it prefers precision.

    Raises:
        InputError: trafilatura is not installed.
    """
    try:
        import trafilatura
    except ImportError as error:
        raise InputError(
            "extractor: trafilatura needs a package that is not installed: pip install "
            "'llada-pipeline[trafilatura]', or leave the extractor at resiliparse"
        ) from error
    return trafilatura.extract(html, favor_precision=True, include_comments=False) or ""


EXTRACTORS: Mapping[str, Callable[[str, Page], str]] = {
    "resiliparse": resiliparse_text,
    "trafilatura": trafilatura_text,
}
