"""A Parquet file that no library survives: it is well-formed, and nested far too deeply."""

import struct

LEVELS = 200_000
"""Arrow's reader calls itself for each: 20,000 are a segmentation fault on a stack of 8 MB."""


def deep_parquet(levels: int = LEVELS) -> bytes:
    """Return a file of no rows, with one column within so many groups (parquet.thrift, compact)."""
    schema = [
        b"\x48\x06schema\x15\x02\x00",  # name, one child
        *[b"\x35\x02\x18\x01a\x15\x02\x00"] * levels,  # optional, name, one child
        b"\x15\x0c\x25\x02\x18\x01x\x00",  # byte array, optional, name
    ]
    version, rows, groups = b"\x15\x02", b"\x16\x00", b"\x19\x0c"
    footer = version + b"\x19\xfc" + _varint(len(schema)) + b"".join(schema) + rows + groups
    return b"PAR1" + footer + b"\x00" + struct.pack("<I", len(footer) + 1) + b"PAR1"


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*found, number])
