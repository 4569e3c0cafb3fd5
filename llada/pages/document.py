"""A page as one text: markup, styles and scripts joined, data embedded so that it stays data."""

import base64
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
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


def assemble(
    template: str, *, styles: Sequence[str], scripts: Sequence[str], data: object, connect: str
) -> Page:
    """Fill a template of this folder: @@policy@@, @@style@@, @@data@@, @@script@@.

    `connect` is the source the script may ask: 'self', or 'none' for a page that lives in a file.
    """
    style = "\n".join(map(_read, styles))
    script = '(() => {\n"use strict";\n' + "\n".join(map(_read, scripts)) + "\n})();"
    policy = (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; "
        f"connect-src '{connect}'; img-src data:; base-uri 'none'; form-action 'none'"
    )
    parts = {"policy": policy, "style": style, "data": embedded(data), "script": script}
    # One pass over the template: what is put in is never searched for marks again.
    pieces = _read(template).split("@@")
    html = "".join(parts[p] if number % 2 else p for number, p in enumerate(pieces))
    return Page(html, policy)


@cache
def _read(name: str) -> str:
    return files("llada.pages").joinpath(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
