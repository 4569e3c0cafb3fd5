"""A headless browser, and a page of it that notices everything that should not happen."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = Path("/usr/bin/chromium")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """One for a module: while it lives, its event loop holds the main thread's place."""
    if not CHROMIUM.exists():
        pytest.skip(f"no browser: {CHROMIUM} is missing (apt-get install chromium)")
    tools = pytest.importorskip("playwright.sync_api", reason="no browser: playwright is missing")
    with tools.sync_playwright() as started:
        found = started.chromium.launch(
            executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-gpu"]
        )
        yield found
        found.close()


class Watched:
    """A page and everything on it that should not happen."""

    def __init__(self, browser: Any, **options: Any) -> None:
        self.page = browser.new_page(**options)
        self.page.set_default_timeout(20_000)  # an upper limit: machines are busy
        self.errors: list[str] = []
        self.requests: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda message: self.errors.append(message.text))
        self.page.on("dialog", lambda dialog: self.errors.append(f"dialog {dialog.message}"))
        self.page.on("request", lambda request: self.requests.append(request.url))

    def open(self, url: str, ready: str) -> Any:
        self.page.goto("about:blank")
        self.page.goto(url)
        self.page.wait_for_selector(ready)
        return self.page


@pytest.fixture
def watched(browser: Any) -> Iterator[Watched]:
    found = Watched(browser, viewport={"width": 1280, "height": 900})
    yield found
    found.page.close()
    assert found.errors == []
