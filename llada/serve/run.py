"""Bind an address and serve on it until someone ends the process."""

import ipaddress
import socket
from collections.abc import Callable

from aiohttp import web

from llada.errors import LladaError
from llada.pretrained import Pretrained
from llada.serve.app import application
from llada.serve.guard import Guard
from llada.serve.limits import Limits

_PATIENCE = 5.0
"""Seconds that open connections have to end after Ctrl-C; their requests are told at once."""


def run(
    pretrained: Pretrained,
    limits: Limits,
    *,
    host: str,
    port: int,
    key: str | None = None,
    ready: Callable[[str], None],
) -> None:
    """Serve until SIGINT or SIGTERM; `ready` is told the address once it is bound.

    Raises:
        LladaError: the address cannot be bound, or would be open to the world without a key.
    """
    with bound(host, port) as listening:
        taken = listening.getsockname()[1]
        app = application(pretrained, limits, Guard(host, taken, key))
        shown = f"[{host}]" if ":" in host else host

        async def announce(_app: web.Application) -> None:
            ready(f"http://{shown}:{taken}/")

        # Not before: from here on Ctrl-C is heard, and ends in order.
        app.on_startup.append(announce)
        web.run_app(
            app,
            sock=listening,
            print=None,
            access_log=None,
            handler_cancellation=True,
            shutdown_timeout=_PATIENCE,
        )


def bound(host: str, port: int) -> socket.socket:
    """Return a listening socket."""
    try:
        six = ipaddress.ip_address(host).version == 6
    except ValueError:
        six = False
    try:
        return socket.create_server(
            (host, port), family=socket.AF_INET6 if six else socket.AF_INET, backlog=128
        )
    except OSError as error:
        raise LladaError(
            f"cannot listen on {host}:{port}: {error}. Choose another with --port, or --port 0 for "
            f"any that is free"
        ) from error
