"""The errors of the filters that a person reads: what was found, what is allowed, what to do.

ValueError
`-- FilterError     a setting, a text column or a model file that cannot be used
"""

import difflib
from collections.abc import Iterable

_SHOWN = 60
"""Names that a message lists at most."""


class FilterError(ValueError):
    """A setting, a text column or a model file that cannot be used."""


def unknown(kind: str, found: str, allowed: Iterable[str], meant: str = "") -> FilterError:
    """Return the error for a name that is not in a table, naming `meant` or the nearest that is."""
    names = sorted(allowed)
    nearest = [meant] if meant else difflib.get_close_matches(found, names, n=1, cutoff=0.4)
    hint = f"did you mean {nearest[0]!r}?" if nearest else "use one of these."
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return FilterError(
        f"unknown {kind} {found!r}; allowed: {', '.join(names[:_SHOWN])}{more}; {hint}"
    )
