"""How fast documents are edited, in MB/s of CPU time; personal data and C4's lines by a peer too.

    python benchmarks/edits.py FILE.parquet ... [--megabytes 20] [--peer-megabytes 5]

Reads the column `text`. Both sides get the same texts in one process, one thread; the peer only the
first `--peer-megabytes`, of which ours is timed too. datatrove (PIIFormatter) looks for e-mail and
IPv4 addresses, ours for credentials, cards, phone numbers and IPv6 besides; its C4QualityFilter is
asked for no sentences, whose splitting takes most of its time, and for no whole documents.
"""

import argparse
import importlib.util
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from filters.edits import C4Lines, Edit, PersonalData, RepeatedLines, UnicodeRepair

WARM = pa.table({"text": ["Write to a@b.com from 8.8.8.8."], "url": ["https://a.org"]})


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("files", nargs="+", type=Path)
    arguments.add_argument("--megabytes", type=float, default=20)
    arguments.add_argument("--peer-megabytes", type=float, default=5)
    options = arguments.parse_args()
    texts = pa.concat_tables(pq.read_table(file, columns=["text"]) for file in options.files)
    texts = first(texts.combine_chunks(), options.megabytes)
    part = first(texts, options.peer_megabytes)
    edits: dict[str, Edit] = {
        "unicode": UnicodeRepair(),
        "pii": PersonalData(),
        "pii, only e-mail and IP": PersonalData(kinds=("email", "ip")),
        "c4_lines": C4Lines(),
    }
    for name, edit in edits.items():
        report(name, texts, lambda table, edit=edit: edit.apply(table))
    hosts = pa.array([f"https://{row % 50}.org" for row in range(texts.num_rows)])
    sites = texts.append_column("url", hosts)
    report("repeated_lines, count", sites, RepeatedLines().keys)
    if importlib.util.find_spec("datatrove") is None:
        print("peer: missing, datatrove cannot be imported: pip install 'datatrove[processing]'")
        return
    for name, peer in peers().items():
        ours = report(f"{name}, same texts", part, lambda table, e=edits[name]: e.apply(table))
        print(f"ratio: {ours / report(f'datatrove {name}', part, peer):.1f}x")


def peers() -> dict[str, Callable[[pa.Table], object]]:
    from datatrove.data import Document
    from datatrove.pipeline.filters import C4QualityFilter
    from datatrove.pipeline.formatters import PIIFormatter

    pii = PIIFormatter()
    c4 = C4QualityFilter(min_num_sentences=-1, filter_lorem_ipsum=False, filter_curly_bracket=False)
    return {
        "pii": lambda table: [pii.format(text) for text in table["text"].to_pylist()],
        "c4_lines": lambda table: [
            c4.filter(Document(text=text, id="")) for text in table["text"].to_pylist()
        ],
    }


def report(name: str, table: pa.Table, edit: Callable[[pa.Table], object]) -> float:
    """Print and return MB of UTF-8 a CPU second; kernels are compiled before."""
    edit(WARM)
    begin = time.process_time()
    edit(table)
    seconds = time.process_time() - begin
    megabytes = pc.sum(pc.binary_length(table["text"])).as_py() / 1e6
    print(
        f"{name}: {megabytes / seconds:.1f} MB/s, {table.num_rows / seconds:,.0f} documents/s "
        f"({megabytes:.1f} MB, {seconds:.2f} CPU s)"
    )
    return float(megabytes / seconds)


def first(table: pa.Table, megabytes: float) -> pa.Table:
    """Return the first documents, about so many MB of them."""
    ends = pc.cumulative_sum(pc.binary_length(table["text"]).cast(pa.int64()))
    return table.slice(0, max(1, pc.sum(pc.less_equal(ends, int(megabytes * 1e6))).as_py()))


if __name__ == "__main__":
    main()
