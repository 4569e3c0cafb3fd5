"""The host of a URL, as lists and counts by site name it."""

from urllib.parse import urlsplit


def host_of(url: str | None) -> str:
    """Return the host in lower case, in ASCII, without port and final dot; "" where there is none.

    A URL without a scheme is read as one that has it; what is no URL at all has no host.
    """
    if not url:
        return ""
    try:
        host = urlsplit(url if "//" in url else f"//{url}").hostname or ""
    except ValueError:  # brackets that hold no address
        return ""
    host = host.rstrip(".")
    if host.isascii():
        return host
    try:
        return host.encode("idna").decode("ascii")
    except UnicodeError:
        return host
