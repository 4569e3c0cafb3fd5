"""The chat page in a real browser: from keys alone, and no text can script it."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import unused_port

from llada.pretrained import Pretrained
from llada.serve.app import application
from llada.serve.guard import Guard
from llada.serve.limits import Limits
from tests.support.browsing import Watched
from tests.support.talkers import talker

HOSTILE = "</script><script>window.pwned=1</script><img src=x onerror=window.pwned=1> ' \" \u2028"


@contextmanager
def served(pretrained: Pretrained, *, key: str | None = None) -> Iterator[str]:
    """Run a server in a thread, and give its address."""
    port = unused_port()
    loop = asyncio.new_event_loop()
    app = application(pretrained, Limits(), Guard("127.0.0.1", port, key))
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=1.0)

    async def start() -> None:
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()

    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(start(), loop).result(30)
        yield f"http://127.0.0.1:{port}/"
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with served(talker(tmp_path_factory.mktemp("hostile"), name=HOSTILE, seed=1)) as found:
        yield found


def ask(page: Any, text: str) -> None:
    page.locator("#question").fill(text)
    page.keyboard.press("Enter")


def answered(page: Any, count: int) -> None:
    page.locator(".turn.assistant").nth(count - 1).wait_for()
    page.wait_for_selector(".turn.assistant:last-child .retry:not([hidden])")


def settings(page: Any, **values: float) -> None:
    for name, value in values.items():
        page.locator(f"#{name}").fill(str(value))


def refused(watched: Watched, count: int) -> None:
    """Forgive the line that the browser itself writes for every answer that is an error."""
    assert len(watched.errors) == count
    assert all(text.startswith("Failed to load resource") for text in watched.errors)
    watched.errors.clear()


def test_a_dialogue_from_keys_alone(watched: Watched, address: str) -> None:
    page = watched.open(address, "#question:focus")
    settings(page, length=16, steps=16, block=8, temperature=1, seed=3)
    ask(page, HOSTILE)
    answered(page, 1)
    assert page.text_content(".turn.user .said") == HOSTILE
    first = page.text_content(".turn.assistant .said")
    assert page.locator(".turn.assistant .token").count() > 3
    assert page.locator(".mask").count() == 0
    assert "16 passes" in page.text_content(".turn.assistant .about")
    assert page.text_content("#live") == f"Answer: {first}"
    ask(page, "and then?")
    answered(page, 2)
    assert page.locator(".retry").count() == 1
    page.locator(".retry").click()
    answered(page, 2)
    assert page.evaluate("window.pwned") is None
    assert HOSTILE in page.text_content("#model")
    assert all(url.startswith(address) for url in watched.requests if url != "about:blank")
    page.locator("#reset").focus()
    page.keyboard.press("Enter")
    assert page.locator(".turn").count() == 0
    assert page.locator("#hint").is_visible()


def test_the_denoising_is_seen_and_can_be_stopped(watched: Watched, address: str) -> None:
    page = watched.open(address, "#question")
    page.evaluate(
        "new MutationObserver(() => { window.most = Math.max(window.most || 0,"
        " document.querySelectorAll('.said .mask').length);"
        " if (document.querySelector('.said .token.new')) document.body.dataset.seen = 1; })"
        ".observe(document.getElementById('log'), {childList: true, subtree: true})"
    )
    settings(page, length=180, steps=180, block=180, temperature=1)
    ask(page, "a")
    page.wait_for_selector("body[data-seen]")
    page.keyboard.press("Escape")
    page.wait_for_selector(".about:has-text('Stopped')")
    assert page.evaluate("window.most") > 100
    assert page.locator(".mask").count() == 0
    settings(page, length=8)
    ask(page, "b")
    answered(page, 2)


def test_turns_that_no_longer_fit_are_left_out_and_said_so(watched: Watched, address: str) -> None:
    page = watched.open(address, "#question")
    settings(page, length=100, steps=4, block=100)
    ask(page, "a" * 60)
    answered(page, 1)
    ask(page, "b" * 120)
    page.wait_for_selector(".notice:has-text('no longer fit')")
    page.wait_for_selector(".turn.assistant:last-child .retry:not([hidden])")
    assert page.locator(".notice.bad").count() == 0
    ask(page, "c" * 300)
    page.wait_for_selector(".notice.bad:has-text('this model reads 256 at most')")
    refused(watched, 3)


def test_a_key_is_asked_for(watched: Watched, tmp_path: Path) -> None:
    with served(talker(tmp_path), key="secret") as address:
        page = watched.open(address, "#key")
        settings(page, length=8)
        ask(page, "a")
        page.wait_for_selector(".notice.bad:has-text('no valid key')")
        refused(watched, 1)
        page.locator("#key").fill("secret")
        ask(page, "a")
        answered(page, 2)
