"""The parts of the statistics pass, as bits: what is not asked for is not computed."""

from typing import Final

NONE: Final = 0
SYMBOLS: Final = 1
WORDS: Final = 2
LINES: Final = 4
REPEATED_SPANS: Final = 8
TOP_GRAMS: Final = 16
REPEATED_GRAMS: Final = 32
C4: Final = 64
STOP_LISTS: Final = 128

NEED_TOKENS: Final = SYMBOLS | WORDS | LINES | TOP_GRAMS | REPEATED_GRAMS | STOP_LISTS
"""Of the others, SYMBOLS and LINES are partly told per token."""
