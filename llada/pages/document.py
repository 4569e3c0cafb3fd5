"""A page as one text: markup, styles and scripts joined, data embedded so that it stays data."""

import base64
import hashlib
import json
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.resources import files

_ESCAPES = str.maketrans(
    {
        "<": "\\u003c",
        ">": "\\u003e",
        "&": "\\u0026",
        "\u2028": "\\u2028",
        "\u2029": "\\u2029",
    }
)


@dataclass(frozen=True)
class Page:
    """A page, and the content security policy that it also states itself."""

    html: str
    policy: str


def embedded(value: object) -> str:
    """Return JSON that cannot end its script element, whatever texts it holds."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    # A lone surrogate (half a character from a broken text) has no UTF-8 form.
    text = text.encode("utf-8", "replace").decode("utf-8")
    return text.translate(_ESCAPES)


@dataclass(frozen=True)
class FrontEnd:
    """A template of a package with its styles and scripts, in reading order.

    The template has @@policy@@, @@style@@, @@data@@ and @@script@@. `connect` is what the script
    may ask: 'self', or 'none' for a page that lives in a file.
    """

    template: str
    styles: tuple[str, ...]
    scripts: tuple[str, ...]
    connect: str
    package: str = "llada.pages"

    @cached_property
    def style(self) -> str:
        """The palette of all pages, then the styles."""
        return "\n".join([palette(), *(read(self.package, name) for name in self.styles)])

    @cached_property
    def script(self) -> str:
        """The scripts, out of reach of anything else on the page."""
        body = "\n".join(read(self.package, name) for name in self.scripts)
        return f'(() => {{\n"use strict";\n{body}\n}})();'

    @cached_property
    def policy(self) -> str:
        """The content security policy: its own script and styles, what it may ask, no more."""
        return (
            f"default-src 'none'; script-src '{_hash(self.script)}'; "
            f"style-src '{_hash(self.style)}'; connect-src '{self.connect}'; img-src data:; "
            "base-uri 'none'; form-action 'none'"
        )

    def page(self, data: object) -> Page:
        """Return the page with its data."""
        parts = {
            "policy": self.policy,
            "style": self.style,
            "data": embedded(data),
            "script": self.script,
        }
        # One pass over the template: what is put in is never searched for marks again.
        pieces = read(self.package, self.template).split("@@")
        html = "".join(parts[p] if number % 2 else p for number, p in enumerate(pieces))
        return Page(html, self.policy)


def palette() -> str:
    """Return the colours and types that all pages share."""
    return read("llada.pages", "palette.css")


@cache
def read(package: str, name: str) -> str:
    """Return a file of a front end."""
    return files(package).joinpath(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
