"""What each Unicode character means to the word and line kernels, as one byte a code point.

The low three bits hold the class, which decides where words begin and end:

    SPACE     str.isspace(): between words, in none
    WORD      letters, digits and other numbers, connector punctuation ("_"): runs make words
    SINGLE    Han and hiragana, and the letters of scripts written without spaces (Thai, Lao,
              Khmer, Myanmar, Tai): every character is a word
    KATAKANA  runs make words, as in loanwords
    EXTEND    combining marks and invisible format characters: belong to what they follow
    SYMBOL    everything else: a run of one and the same character makes a token

The high bits are properties that statistics need. Categories are those of the interpreter's
`unicodedata` (Unicode 14 in Python 3.11): characters assigned later count as SYMBOL.
"""

import functools
import unicodedata

import numpy as np
import numpy.typing as npt

SPACE, WORD, SINGLE, KATAKANA, EXTEND, SYMBOL = range(6)
CLASS = 0b111
ALPHA = 1 << 3
"""str.isalpha()."""
PUNCTUATION_BIT = 1 << 4
"""In PUNCTUATION: a token of nothing else is not a word for Gopher's counts."""
LINE_BREAK = 1 << 5
"""str.splitlines() breaks here."""
DIGIT = 1 << 6
"""str.isdecimal(): full stop and comma between two of these join them."""
TERMINAL = 1 << 7
"""In TERMINAL_MARKS: sentences end here."""

_TERMINAL_RUNS = (
    "21 2e 3f 589 61d-61f 6d4 700-702 7f9 837 839 83d-83e 964-965 104a-104b 1362 1367-1368 "
    "166e 1735-1736 17d4-17d6 17d9-17da 1803 1809 1944-1945 1aa8-1aab 1b5a-1b5b 1b5e-1b5f "
    "1b7d-1b7e 1c3b-1c3c 1c7e-1c7f 203c-203d 2047-2049 2e2e 2e3c 2e53-2e54 3002 a4ff a60e-a60f "
    "a6f3 a6f7 a876-a877 a8ce-a8cf a92f a9c8-a9c9 aa5d-aa5f aaf0-aaf1 abeb fe52 fe56-fe57 ff01 "
    "ff0e ff1f ff61 10a56-10a57 10f55-10f59 10f86-10f89 11047-11048 110be-110c1 11141-11143 "
    "111c5-111c6 111cd 111de-111df 11238-11239 1123b-1123c 112a9 1144b-1144c 115c2-115c3 "
    "115c9-115d7 11641-11642 1173c-1173e 11944 11946 11a42-11a43 11a9b-11a9c 11c41-11c42 "
    "11ef7-11ef8 11f43-11f44 16a6e-16a6f 16af5 16b37-16b38 16b44 16e98 1bc9f 1da88"
)
TERMINAL_MARKS = frozenset(
    chr(code)
    for run in _TERMINAL_RUNS.split()
    for first, _, last in [run.partition("-")]
    for code in range(int(first, 16), int(last or first, 16) + 1)
)
"""The 159 marks that end a sentence in some script and that FineWeb asks lines to end in (as listed
in datatrove 0.10.1; Unicode's Sentence_Terminal of some years ago and three Khmer marks)."""

PUNCTUATION = (
    frozenset(
        "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~´«»–—’“”„…━►∶、。〈〉《》「」【】！％（），．：；？～１"
    )
    | frozenset(map(chr, [*range(9), *range(11, 32), *range(127, 160)]))
    | TERMINAL_MARKS
)
"""CCNet's punctuation (with the fullwidth 1) and the marks above: datatrove's PUNCTUATION_SET."""

_SINGLE_LETTERS = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Myanmar
    (0x1780, 0x17FF),  # Khmer
    (0x1950, 0x19DF),  # Tai Le, New Tai Lue
    (0x1A20, 0x1AAF),  # Tai Tham
    (0x3005, 0x3005),  # ideographic iteration mark
    (0x3007, 0x3007),  # ideographic zero
    (0x3021, 0x3029),  # Hangzhou numerals
    (0x3038, 0x303B),
    (0x3041, 0x309F),  # hiragana
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xA9E0, 0xA9FE),  # Myanmar extended
    (0xAA60, 0xAADF),  # Myanmar extended, Tai Viet
    (0xF900, 0xFAFF),
    (0x16FE3, 0x16FE3),  # Old Chinese iteration mark
    (0x1B001, 0x1B11F),  # kana supplement: mostly hentaigana, which are hiragana
    (0x1B150, 0x1B152),
    (0x20000, 0x323AF),  # Han extensions
)
_KATAKANA = (
    (0x30A1, 0x30FF),
    (0x31F0, 0x31FF),
    (0xFF66, 0xFF9F),
    (0x1AFF0, 0x1AFFE),
    (0x1B000, 0x1B000),
    (0x1B120, 0x1B122),
    (0x1B164, 0x1B167),
)
_LINE_BREAKS = frozenset("\n\v\f\r\x1c\x1d\x1e\x85\u2028\u2029")
_LAST_ASSIGNED_LETTER = 0x323B0
_FORMAT_PLANE = range(0xE0000, 0xE0200)


def properties(character: str) -> int:
    """Return the class and the property bits of one character (0-255)."""
    category = unicodedata.category(character)
    bits = _word_class(character, category)
    bits |= ALPHA * character.isalpha()
    bits |= PUNCTUATION_BIT * (character in PUNCTUATION)
    bits |= LINE_BREAK * (character in _LINE_BREAKS)
    bits |= DIGIT * (category == "Nd")
    bits |= TERMINAL * (character in TERMINAL_MARKS)
    return bits


@functools.cache
def table() -> npt.NDArray[np.uint8]:
    """Return `properties` of every code point, uint8[0x110000]; built once, in 0.1 s."""
    result = np.full(0x110000, SYMBOL, dtype=np.uint8)
    for code_point in (*range(_LAST_ASSIGNED_LETTER), *_FORMAT_PLANE):
        result[code_point] = properties(chr(code_point))
    result.flags.writeable = False
    return result


def _word_class(character: str, category: str) -> int:
    if character.isspace():
        return SPACE
    if category[0] == "M" or category == "Cf":
        return EXTEND
    if category[0] in "LN" or category == "Pc":
        if category != "Nd" and _within(ord(character), _SINGLE_LETTERS):
            return SINGLE
        return KATAKANA if _within(ord(character), _KATAKANA) else WORD
    return SYMBOL


def _within(code_point: int, ranges: tuple[tuple[int, int], ...]) -> bool:
    return any(first <= code_point <= last for first, last in ranges)
