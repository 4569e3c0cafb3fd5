"""An S3 server on loopback (moto) whose bucket names say how it misbehaves.

Run as `python -m tests.support.s3_server`: prints its port and serves until it is killed. moto
looks for an object and then writes it: a lock makes its conditional PUT what S3's is, atomic.
"""

import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

Environ = dict[str, Any]
App = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]

BUCKETS = ("store", "careless", "forbidden", "forgetful", "contended", "terse", "broken")


class Misbehaving:
    """Serves one request at a time, each bucket in its own manner."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._lock = threading.Lock()
        self._seen: set[str] = set()

    def __call__(self, environ: Environ, start: Callable[..., Any]) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        bucket, is_put = path.split("/")[1], environ["REQUEST_METHOD"] == "PUT"
        is_object_put = is_put and path.count("/") > 1
        with self._lock:
            first = path not in self._seen
            if is_object_put:
                self._seen.add(path)
            if bucket == "forbidden" and path.strip("/") != "forbidden":
                return _refuse(environ, start, "403 Forbidden", "AccessDenied")
            if bucket == "broken" and is_object_put:
                return _refuse(environ, start, "500 Internal Server Error", "InternalError")
            if bucket == "contended" and is_object_put and first:
                return _refuse(environ, start, "409 Conflict", "ConditionalRequestConflict")
            if bucket == "careless":
                environ.pop("HTTP_IF_NONE_MATCH", None)
            if bucket == "forgetful" and is_object_put and first:
                list(self._app(environ, lambda *_: None))  # done, and the answer is lost
                return _refuse(environ, start, "500 Internal Server Error", "InternalError")
            if bucket == "terse":
                return self._terse(environ, start)
            return list(self._app(environ, start))

    def _terse(self, environ: Environ, start: Callable[..., Any]) -> list[bytes]:
        """Answer as servers do that do not name the condition that failed."""
        begun: list[Any] = []
        body = b"".join(self._app(environ, lambda *args: begun.append(args)))
        shorter = re.sub(rb"<Condition>.*?</Condition>", b"", body)
        status, headers = begun[0][:2]
        kept = [(name, value) for name, value in headers if name.lower() != "content-length"]
        if environ["REQUEST_METHOD"] == "HEAD":
            kept = headers
        else:
            kept.append(("Content-Length", str(len(shorter))))
        start(status, kept)
        return [shorter]


def _refuse(environ: Environ, start: Callable[..., Any], status: str, code: str) -> list[bytes]:
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>no</Message></Error>".encode()
    start(status, [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]


def _serve() -> None:
    import logging

    import boto3
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    app = Misbehaving(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, app, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    client = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{server.server_port}")
    for bucket in BUCKETS:
        client.create_bucket(Bucket=bucket)
    print(server.server_port, flush=True)
    threading.Event().wait()


CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing-secret",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": "/nonexistent",
    "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
}


@contextmanager
def running() -> Iterator[str]:
    """Serve in a process of its own and yield the endpoint's URL."""
    project = Path(__file__).resolve().parents[2]
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.s3_server"],
        cwd=project, stdout=subprocess.PIPE, text=True, env={**os.environ, **CREDENTIALS},
    )  # fmt: skip
    try:
        assert process.stdout is not None
        with process.stdout as output:
            yield f"http://127.0.0.1:{int(output.readline())}"
    finally:
        process.kill()
        process.wait(timeout=30)


if __name__ == "__main__":
    _serve()
