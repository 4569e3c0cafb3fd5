"""Who may ask: this machine's own programs and pages, or the holder of the key.

On loopback a page of another site must not get through the visitor's browser: another Host header
means DNS rebinding, another Origin a foreign page. Anywhere else a key is needed, and does both.
"""

import hmac
import ipaddress
from dataclasses import dataclass, field

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from llada.errors import LladaError
from llada.serve.errors import ApiError

_LOOPBACK_NAMES = ("127.0.0.1", "localhost", "[::1]")


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True)
class Guard:
    """The rules of one server; made for the address it is bound to."""

    host: str
    port: int
    key: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if not is_loopback(self.host) and not self.key:
            raise LladaError(
                f"host {self.host} can be reached from other machines; that needs a key: put one "
                f"in an environment variable and name it with --api-key-env, or stay on 127.0.0.1"
            )

    def check(self, request: web.Request) -> None:
        """Let a request through, or raise ApiError 401 or 403."""
        host = request.headers.get("Host", "").lower()
        if is_loopback(self.host) and host not in self._own_names():
            raise ApiError(403, "this server answers to its own name on this machine only")
        origin = request.headers.get("Origin")
        if origin is not None and origin.lower().partition("://")[2] != host:
            raise ApiError(403, f"a page of {origin[:80]} asks; only the page served here may")
        if self.key is not None and request.path.startswith("/v1/"):
            self._check_key(request.headers.get("Authorization", ""))

    def _own_names(self) -> set[str]:
        """Return the Host headers of this machine; a browser leaves out the port of HTTP itself."""
        bare = set(_LOOPBACK_NAMES) if self.port == 80 else set()
        return bare | {f"{name}:{self.port}" for name in _LOOPBACK_NAMES}

    def _check_key(self, header: str) -> None:
        assert self.key is not None
        kind, _, given = header.partition(" ")
        same = hmac.compare_digest(given.strip().encode("utf-8", "replace"), self.key.encode())
        if kind.lower() != "bearer" or not same:
            raise ApiError(
                401,
                "no valid key; send the header Authorization: Bearer KEY",
                code="invalid_api_key",
                headers={"WWW-Authenticate": "Bearer"},
            )


def middleware(guard: Guard) -> Middleware:
    """Return the guard as a layer around every handler, with errors in the shape of the API."""

    @web.middleware
    async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            guard.check(request)
            response = await handler(request)
        except ApiError as error:
            response = web.json_response(error.body(), status=error.status, headers=error.headers)
        except web.HTTPException as error:
            response = _in_shape(error)
        if not response.prepared:
            for name, value in SAFE_HEADERS.items():
                response.headers.setdefault(name, value)
        return response

    return guarded


SAFE_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}


def _in_shape(error: web.HTTPException) -> web.StreamResponse:
    """Turn an error of the HTTP library into one of the API."""
    message = f"{error.status} {error.reason}"
    headers = {}
    if isinstance(error, web.HTTPMethodNotAllowed):
        allowed = ", ".join(sorted(error.allowed_methods))
        message, headers = f"{error.method} is not for this path; {allowed} is", {"Allow": allowed}
    elif error.status == 404:
        message = f"nothing here; there are {', '.join(PATHS)}"
    elif isinstance(error, web.HTTPRequestEntityTooLarge):
        message = f"the body is too large: {error.text}"
    api = ApiError(error.status, message)
    return web.json_response(api.body(), status=error.status, headers=headers)


PATHS = ("/", "/health", "/v1/models", "/v1/chat/completions", "/v1/completions")
