"""Whether every rule measures and compares as datatrove does: to the last bit, and by verdicts.

    python benchmarks/rule_parity.py FILE.parquet ... [--documents 1000]

Reads the column `text`, English, an even sample of each file. With words="spacy" each statistic of
each document becomes the limit of its rule, of ours and of the peer's: at the limit both must keep
it, one step beyond (a word, a float) both must drop it. So a wrong formula shows as well as a wrong
comparison. Then the verdicts at the published limits, family by family, and FineWeb's chain, which
edits between its rules: all rules on the text as it came, and in three stages as datatrove has it.

Left out of the first part, since nothing can agree there (docs/decisions.md): texts without a
word, those with a chunk that was cut, and those that say IS_ALPHA.
"""

import argparse
import importlib.util
import math
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

if importlib.util.find_spec("datatrove") is None:
    raise SystemExit("no peer: datatrove cannot be imported: pip install 'datatrove[processing]'")
from datatrove.data import Document
from datatrove.pipeline.filters import (
    C4QualityFilter,
    FineWebQualityFilter,
    GopherQualityFilter,
    GopherRepetitionFilter,
)

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from filters import RuleSet, features
from filters.edits import C4Lines, clean

Peer = Any
CHAIN: Final = ("gopher_repetition", "gopher", "c4_fineweb", "fineweb")
FAMILIES: Final[Mapping[str, Peer]] = {
    "gopher_repetition": GopherRepetitionFilter(),
    "gopher": GopherQualityFilter(),
    "c4": C4QualityFilter(),
    "c4_fineweb": C4QualityFilter(filter_no_terminal_punct=False),
    "fineweb": FineWebQualityFilter(),
}
_NO_QUALITY = dict.fromkeys(
    [
        *("min_doc_words", "max_doc_words", "min_avg_word_length", "max_avg_word_length"),
        *("max_symbol_word_ratio", "max_bullet_lines_ratio", "max_ellipsis_lines_ratio"),
        *("max_non_alpha_words_ratio", "min_stop_words"),
    ]
)
_NO_REPETITION = {
    f"dup_{part}_frac": 0 for part in ("line", "para", "line_char", "para_char")
} | dict.fromkeys(["top_n_grams", "dup_n_grams"], ())
_NO_FINEWEB = {
    "line_punct_thr": -1,
    "short_line_thr": math.inf,
    "char_duplicates_ratio": math.inf,
    "new_line_ratio": math.inf,
}


def _quality(name: str) -> Callable[[float], Peer]:
    return lambda limit: GopherQualityFilter(**{**_NO_QUALITY, name: limit})


def _repetition(name: str, n: int = 0) -> Callable[[float], Peer]:
    return lambda limit: GopherRepetitionFilter(
        **{**_NO_REPETITION, name: ((n, limit),) if n else limit}
    )


def _fineweb(name: str) -> Callable[[float], Peer]:
    return lambda limit: FineWebQualityFilter(**{**_NO_FINEWEB, name: limit})


EDGES: Final[Sequence[tuple[str, str, Callable[[float], Peer]]]] = (
    ("words", "below", _quality("min_doc_words")),
    ("words", "above", _quality("max_doc_words")),
    ("mean_word_length", "below", _quality("min_avg_word_length")),
    ("mean_word_length", "above", _quality("max_avg_word_length")),
    ("hash_ratio", "above", _quality("max_symbol_word_ratio")),
    ("ellipsis_ratio", "above", _quality("max_symbol_word_ratio")),
    ("bullet_line_ratio", "above", _quality("max_bullet_lines_ratio")),
    ("ellipsis_line_ratio", "above", _quality("max_ellipsis_lines_ratio")),
    ("alphabetic_token_ratio", "below", _quality("max_non_alpha_words_ratio")),
    ("stop_words", "below", _quality("min_stop_words")),
    ("repeated_paragraph_ratio", "above", _repetition("dup_para_frac")),
    ("repeated_paragraph_character_ratio", "above", _repetition("dup_para_char_frac")),
    ("repeated_line_ratio", "above", _repetition("dup_line_frac")),
    ("repeated_line_character_ratio", "above", _repetition("dup_line_char_frac")),
    *(
        (f"top_{n}_gram_character_ratio", "above", _repetition("top_n_grams", n))
        for n in range(2, 5)
    ),
    *(
        (f"repeated_{n}_gram_character_ratio", "above", _repetition("dup_n_grams", n))
        for n in range(5, 11)
    ),
    ("marked_line_ratio", "below", _fineweb("line_punct_thr")),
    ("short_line_ratio", "above", _fineweb("short_line_thr")),
    ("repeated_nonblank_line_character_ratio", "above", _fineweb("char_duplicates_ratio")),
    ("newline_ratio", "above", _fineweb("new_line_ratio")),
)
"""A statistic of ours, on which side of the limit it drops, and the peer with nothing but that."""
_SHARED = {"hash_ratio": "ellipsis_ratio", "ellipsis_ratio": "hash_ratio"}
"""Two that the peer holds to one limit: only the larger can be told."""


def main() -> None:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    arguments.add_argument("files", nargs="+", type=Path)
    arguments.add_argument("--documents", type=int, default=1000, help="of each file at most")
    options = arguments.parse_args()
    texts = [text for file in options.files for text in sample(file, options.documents)]
    statistics = features.compute(pa.array(texts, pa.large_string()), "spacy")
    edges(texts, statistics)
    for family, peer in FAMILIES.items():
        ours = RuleSet.named(family, "spacy").verdicts(statistics)["rule"].to_pylist()
        compare(family, ours, [reason(peer, text) for text in texts])
    chain(texts)


def edges(texts: list[str], statistics: pa.Table) -> None:
    """Print for each rule at how many limits both decide alike."""
    rows = statistics.to_pylist()
    usable = [
        (text, row)
        for text, row in zip(texts, rows, strict=True)
        if row["words"] and not row["chunk_cuts"] and "IS_ALPHA" not in text
    ]
    print(f"{len(usable):,} of {len(texts):,} documents, limits at their own values:")
    asked: Counter[tuple[str, str]] = Counter()
    differ: Counter[tuple[str, str]] = Counter()
    for text, row in usable:  # one text after the other: the peer remembers the words of five
        for feature, drop, peer in EDGES:
            if row[feature] < row.get(_SHARED.get(feature, ""), 0):
                continue
            for limit, dropped in steps(row[feature], drop, statistics[feature].type):
                asked[feature, drop] += 1
                differ[feature, drop] += (reason(peer(limit), text) is not None) != dropped
    for feature, drop, _ in EDGES:
        rule = feature, drop
        print(f"  {feature:<40}{drop:<7}{asked[rule]:8,} limits, {differ[rule]} differ")


def steps(value: float, drop: str, kind: pa.DataType) -> Iterator[tuple[float, bool]]:
    """Yield a limit at the value and those beside it, and whether they drop it."""
    for towards in (0, 1, -1):
        limit = (
            value + towards if pa.types.is_integer(kind) else math.nextafter(value, value + towards)
        )
        if limit > 0:  # 0 switches the peer's rule off
            yield limit, towards == (1 if drop == "below" else -1)


def chain(texts: list[str]) -> None:
    """Print how often FineWeb's chain ends alike, without and with its edit in between."""
    theirs: list[str | None] = []
    left: list[str] = []
    for text in texts:
        document = Document(text=text, id="0")
        verdicts = (FAMILIES[family].filter(document) for family in CHAIN)
        theirs.append(next((str(found[1]) for found in verdicts if found is not True), None))
        left += [document.text] if theirs[-1] is None else []
    ids = [str(at) for at in range(len(texts))]
    table = pa.table({"doc_id": ids, "text": pa.array(texts, pa.large_string())})
    at_once = RuleSet.combined(CHAIN, "spacy")
    verdicts = at_once.verdicts(at_once.statistics(table))
    compare("chain, on the text as it came", verdicts["rule"].to_pylist(), theirs)
    kept, _ = RuleSet.combined(CHAIN[:-1], "spacy").judge(table)
    kept = clean(kept, {"c4_lines": C4Lines(terminal_punctuation=False)}).kept
    kept, _ = RuleSet.named(CHAIN[-1], "spacy").judge(kept)
    ours = dict(zip(kept["doc_id"].to_pylist(), kept["text"].to_pylist(), strict=True))
    compare("chain, in three stages", [None if at in ours else "dropped" for at in ids], theirs)
    same = len(set(ours.values()) & set(left))
    print(f"  texts that come out of it alike: {same:,} of {len(set(left)):,}")


def compare(name: str, ours: Sequence[str | None], theirs: Sequence[str | None]) -> None:
    """Print how often two lists of reasons keep or drop the same documents."""
    pairs = Counter((a, b) for a, b in zip(ours, theirs, strict=True) if (a is None) != (b is None))
    shown = ", ".join(f"{a or 'kept'} / {b or 'kept'} {n}" for (a, b), n in pairs.most_common(4))
    agree = 1 - sum(pairs.values()) / len(ours)
    print(f"{name:<32}{agree:9.3%} of {len(ours):,}   {shown}")


def reason(peer: Peer, text: str) -> str | None:
    found = peer.filter(Document(text=text, id="0"))
    return None if found is True else str(found[1])


def sample(file: Path, documents: int) -> list[str]:
    """Return the texts of a file, or an even sample; of the column `lang` English alone."""
    table = pq.read_table(file)
    if "lang" in table.column_names:
        table = table.filter(pc.is_in(table["lang"], pa.array(["en", "eng_Latn"])))
    texts: list[str] = table["text"].to_pylist()
    return texts[:: max(1, math.ceil(len(texts) / documents))]


if __name__ == "__main__":
    main()
