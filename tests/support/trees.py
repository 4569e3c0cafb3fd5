"""A small folder of files of several formats, as old as a listing likes them."""

import os
from pathlib import Path

OLD = 1_600_000_000


def tree(root: Path, **files: str) -> Path:
    """Write files; `__` in a name is a folder, `_DOT_` a dot."""
    for name, content in files.items():
        path = root / name.replace("__", "/").replace("_DOT_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        os.utime(path, (OLD, OLD))
    return root


def sources(folder: Path) -> Path:
    """Write two files that can be read, one that cannot, and one beside them; return the folder."""
    return tree(
        folder,
        data__b_DOT_jsonl="{}\n",
        data__deep__a_DOT_txt="text",
        data__picture_DOT_png="png",
        other__c_DOT_md="words",
    )
