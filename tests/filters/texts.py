"""Texts to test with: hypothesis strategies and documents that pass or fail on purpose."""

from hypothesis import strategies as st

any_text = st.text(max_size=300)
"""Any code points but surrogates, which UTF-8 cannot hold."""

_VISIBLE = (
    "the be to a ab b don't ' ’ . ... … , 1 2.5 # - • _ é 中 文 々 ひ ら カ ナ ー 한국 ภา ไทย ລາວ "
    "١٢ 🙂 １ — == ﬁ"
)
_INVISIBLE = ["\n\n", "\n\n\n", "\r\n", "é", "́", "\u200d", "\x00", "👩\u200d👧"]
_PIECES = st.sampled_from(
    [*_VISIBLE.split(" "), *_INVISIBLE, *" \n\r\t\x1c\x1f\x85\u2028\xa0", "  "]
)
_FEW_PIECES = st.lists(_PIECES, min_size=1, max_size=4).map(lambda pieces: [*pieces, " ", "\n\n"])
crafted_text = st.one_of(
    st.lists(_PIECES, max_size=60),
    st.lists(_PIECES, min_size=30, max_size=60),  # hypothesis' own lists have five pieces or so
    _FEW_PIECES.flatmap(lambda pieces: st.lists(st.sampled_from(pieces), min_size=40, max_size=90)),
).map("".join)
"""Texts dense in all that the definitions of words and lines distinguish, and in repetition."""

_LINE_PIECES = st.sampled_from(
    [
        "lorem ipsum", "Lorem Ipsum", "javascript", "JavaScript", "java[1]script", "{", "}", "use",
        "terms of use", "privacy policy", "use coo\u212aies", "uses cookies", "use of  cookies",
        "cookie\tpolicy", "[1]", "[]", "[edit]", "[citation needed]", "[citation", "[١]", "[12",
        ". ", "...", "…", '."', "?) ", "。", "。「", "! ", "' ", "one two three", "word", "3.14",
        "\\frac", "\\\\x", "{};()", "ใน", "ที่", "และ", "།", "bok kei", "bokkei", "のは", "der ",
        "x" * 1001, "y" * 1000, "ß", "İ", "\x00", "שלום", "مرحبا؟", "\u202eabc",
        *"\n\n\n\n\r\x1c\u2028 \t\xa0", "\r\n", "  ", "same line of text.\n",
    ]
)  # fmt: skip
crafted_lines = st.lists(_LINE_PIECES, max_size=40).map("".join)
"""Texts dense in what the rules of C4 and FineWeb look for."""

ODD_TEXTS = (
    "\n", "\n\n", "a\n", "\na", " \n ", "\r", "\r\n", "[1] [2] [3]", "a b [1] c. [2]", "\x00\n\x00",
    "….", "…...", "One. Two? Three! four", "Mr. X. Y met. Dr.", "a b.. c... d. e", "e.g. it etc. N",
    "He left. (Why?) Nobody knows.", "終わり。次。 また",
    "3.14 is one more",
    ". . . a", "a b c{ javascript.", "javascript {a b c.", "a b lorem ipsum {.", "[citation needed",
    "same same same.\nsame same same.\n \n \n", "x" * 30 + "\n" + "x" * 31,
    "\ufeffbom", "\U0010ffff",
)  # fmt: skip

PROSE = (
    "A lighthouse keeper in the north wrote down the weather every evening for forty years. He "
    "noted that storms came from the west, and that gulls were quiet before them. Nobody asked "
    "him to do it, but people have since used his notebooks to study how the climate of that "
    "coast has changed. The ink has faded with time; still, most pages can be read without much "
    "effort, and the drawings of clouds between the lines are admired to this day."
)
"""A paragraph that every rule set keeps."""
