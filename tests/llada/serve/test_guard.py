"""Who may ask the server."""

from collections.abc import Callable

import pytest

from llada.errors import LladaError
from llada.serve.guard import PATHS, Guard
from tests.llada.serve.conftest import HELLO, Client

Ask = Callable[..., None]
CHAT = "/v1/chat/completions"


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("host", ["evil.example", "evil.example:{port}", "127.0.0.1", ""])
def test_another_host_name_is_refused(ask: Ask, path: str, host: str) -> None:
    async def scenario(client: Client) -> None:
        response = await client.get(path, headers={"Host": host.format(port=client.port)})
        assert response.status == 403

    ask(scenario)


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1"])
def test_a_page_from_elsewhere_is_refused(ask: Ask, origin: str) -> None:
    async def scenario(client: Client) -> None:
        foreign = await client.post(CHAT, json=HELLO, headers={"Origin": origin})
        assert foreign.status == 403
        own = await client.post(
            CHAT, json=HELLO, headers={"Origin": f"http://127.0.0.1:{client.port}"}
        )
        assert own.status == 200
        assert "Access-Control-Allow-Origin" not in own.headers

    ask(scenario)


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.2", "example.org", "::"])
def test_the_world_needs_a_key(host: str) -> None:
    with pytest.raises(LladaError, match="--api-key-env"):
        Guard(host, 8000)
    assert "secret" not in repr(Guard(host, 8000, "secret"))


@pytest.mark.parametrize(
    "header", [None, "Bearer wrong", "Basic secret", "Bearer", "Bearer sécrèt"]
)
def test_without_the_key_nothing_is_told(ask: Ask, header: str | None) -> None:
    async def scenario(client: Client) -> None:
        headers = {"Authorization": header} if header else {}
        for refused in (
            await client.post(CHAT, json=HELLO, headers=headers),
            await client.get("/v1/models", headers=headers),
        ):
            assert refused.status == 401
            assert refused.headers["WWW-Authenticate"] == "Bearer"
        good = await client.post(CHAT, json=HELLO, headers={"Authorization": "Bearer secret"})
        assert good.status == 200
        assert (await client.get("/health")).status == 200

    ask(scenario, key="secret")


@pytest.mark.parametrize("path", ["/", "/health", "/none"])
def test_every_answer_forbids_what_it_does_not_need(ask: Ask, path: str) -> None:
    async def scenario(client: Client) -> None:
        headers = (await client.get(path)).headers
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert "*" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"

    ask(scenario)
