"""The one exception of this package: it says what was found, what is allowed and what to do."""


class LladaError(ValueError):
    """A value or a file that this package cannot work with, and the way out."""
