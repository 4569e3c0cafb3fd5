"""What the README of the package shows must run."""

import re
from pathlib import Path

import llada


def test_the_snippet_runs() -> None:
    text = Path(llada.__file__).with_name("README.md").read_text(encoding="utf-8")
    [snippet] = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    names: dict[str, object] = {}
    exec(snippet, names)
    assert getattr(names["answer"], "shape", None) == (2, 16)
