"""Make fineweb2.parquet, one row a language, from a checkout of huggingface/fineweb-2.

    python -m filters.data.make_fineweb2 PATH/TO/fineweb-2 [--commit HEAD]

FineWeb-2 (arXiv 2506.20920; Apache-2.0) publishes its limits as `configs/<lang_Script>.yml`. The
figures and the stop words carry over; the commit they are of is noted in the file's metadata.
"""

import argparse
import subprocess
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

TABLE = Path(__file__).with_name("fineweb2.parquet")
_PLAIN = (
    "language_score",
    "dup_line_frac",
    "line_punct_thr",
    "new_line_ratio",
    "min_avg_word_length",
    "max_avg_word_length",
    "max_non_alpha_words_ratio",
)


def main() -> None:
    """Read every config of a commit and write the table."""
    arguments = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    arguments.add_argument("checkout", type=Path)
    arguments.add_argument("--commit", default="HEAD")
    options = arguments.parse_args()
    commit = _git(options.checkout, "rev-parse", options.commit).decode().strip()
    names = _git(options.checkout, "ls-tree", "--name-only", commit, "configs/").decode().split()
    contents = _contents(options.checkout, [f"{commit}:{name}" for name in names])
    rows = [_row(Path(name).stem, content) for name, content in zip(names, contents, strict=True)]
    table = pa.Table.from_pylist(sorted(rows, key=lambda row: str(row["language"])))
    source = {
        "source": "huggingface/fineweb-2, configs/*.yml (arXiv 2506.20920)",
        "commit": commit,
        "licence": "Apache-2.0",
    }
    pq.write_table(
        table.replace_schema_metadata(source), TABLE, compression="zstd", compression_level=19
    )


def _row(language: str, content: bytes) -> dict[str, Any]:
    found = yaml.safe_load(content)
    extra = set(found) - {*_PLAIN, "top_n_grams", "dup_n_grams", "stopwords"}
    if extra:
        raise SystemExit(f"{language}: unknown keys {', '.join(sorted(extra))}; nothing written")
    return {
        "language": language,
        **{name: float(found[name]) for name in _PLAIN},
        **{f"top_{n}_gram": float(limit) for n, limit in found["top_n_grams"]},
        **{f"duplicated_{n}_n_grams": float(limit) for n, limit in found["dup_n_grams"]},
        "stop_words": found["stopwords"],
    }


def _contents(checkout: Path, objects: list[str]) -> list[bytes]:
    """Return the files of a commit, read in one go."""
    output = _git(checkout, "cat-file", "--batch", stdin="\n".join(objects).encode())
    contents, at = [], 0
    for _ in objects:
        head = output.index(b"\n", at)
        size = int(output[at:head].split()[2])
        contents.append(output[head + 1 : head + 1 + size])
        at = head + size + 2
    return contents


def _git(checkout: Path, *arguments: str, stdin: bytes | None = None) -> bytes:
    command = ["git", "-C", str(checkout), *arguments]
    return subprocess.run(command, input=stdin, check=True, stdout=subprocess.PIPE).stdout


if __name__ == "__main__":
    main()
