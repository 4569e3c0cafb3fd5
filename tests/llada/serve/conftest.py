"""A served model: requests of a test run in one event loop with the server."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer, unused_port

from llada.pretrained import Pretrained
from llada.serve.app import application
from llada.serve.guard import Guard
from llada.serve.limits import Limits
from tests.support.talkers import talker

Client = TestClient[Any, Any]
Scenario = Callable[[Client], Awaitable[None]]

HELLO = {"messages": [{"role": "user", "content": "The cat"}], "max_tokens": 8}


@pytest.fixture(scope="session")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> Pretrained:
    return talker(tmp_path_factory.mktemp("talker"))


@asynccontextmanager
async def serving(
    pretrained: Pretrained, *, key: str | None = None, **limits: Any
) -> AsyncIterator[Client]:
    port = unused_port()
    app = application(pretrained, Limits(**limits), Guard("127.0.0.1", port, key))
    async with TestClient(TestServer(app, port=port)) as client:
        yield client


def in_a_thread(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run in an event loop of its own: a browser that other tests use holds this thread's."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(lambda: asyncio.run(scenario())).result()


@pytest.fixture
def ask(pretrained: Pretrained) -> Callable[..., None]:
    """Run a scenario against a server with some limits."""

    def run(scenario: Scenario, **options: Any) -> None:
        async def both() -> None:
            async with serving(pretrained, **options) as client:
                await asyncio.wait_for(scenario(client), 60)

        in_a_thread(both)

    return run
