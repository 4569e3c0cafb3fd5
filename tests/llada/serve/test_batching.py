"""Who shares a forward pass, who waits, who is refused, and who has left."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from llada.pretrained import Pretrained
from tests.llada.serve.conftest import HELLO, Client, in_a_thread, serving

Ask = Callable[..., None]
CHAT = "/v1/chat/completions"
TEXTS = ["The cat", "The dog sat on the log and", "猫", "on the mat"]


def asked(text: str, **more: Any) -> dict[str, Any]:
    return {**HELLO, "messages": [{"role": "user", "content": text}], "forbid_eos": True, **more}


async def answers(client: Client, bodies: list[dict[str, Any]]) -> list[dict[str, Any]]:
    responses = await asyncio.gather(*[client.post(CHAT, json=body) for body in bodies])
    assert [response.status for response in responses] == [200] * len(bodies)
    return [await response.json() for response in responses]


class Gate:
    """Holds the model's forward passes back until it is opened, and counts them."""

    def __init__(self, pretrained: Pretrained, *, opened: bool = True) -> None:
        self.opened = threading.Event()
        self.reached = threading.Event()
        self.passes = 0
        if opened:
            self.opened.set()
        self._block = pretrained.model.model.transformer.blocks[0]

    def __enter__(self) -> "Gate":
        self._hook = self._block.register_forward_pre_hook(self._wait)
        return self

    def _wait(self, _module: object, _inputs: object) -> None:
        self.passes += 1
        self.reached.set()
        assert self.opened.wait(60)

    def __exit__(self, *_: object) -> None:
        self.opened.set()
        self._hook.remove()


@pytest.mark.parametrize(
    "mode",
    [
        {"cfg_scale": 1.0},
        {"cache": "prefix", "block_length": 4},
        {"cache": "dual", "block_length": 4, "cache_refresh": 2},
        {"threshold": 0.05},
        {"entropy": 5.0},
        {"remasking": "random", "seed": 1},
        {"defer_eos": True, "forbid_eos": False},
    ],
    ids=str,
)
def test_every_mode_says_the_same_in_company(ask: Ask, mode: dict[str, Any]) -> None:
    async def scenario(client: Client) -> None:
        bodies = [asked(text, **mode) for text in TEXTS]
        separate = [(await answers(client, [body]))[0]["choices"] for body in bodies]
        together = await answers(client, bodies)
        assert {a["llada"]["batch_size"] for a in together} == {4}
        assert [a["choices"] for a in together] == separate

    ask(scenario, gather_seconds=0.1)


def test_together_they_say_what_each_says_alone_in_fewer_passes(
    ask: Ask, pretrained: Pretrained
) -> None:
    async def scenario(client: Client) -> None:
        with Gate(pretrained) as alone:
            separate = [(await answers(client, [asked(text)]))[0] for text in TEXTS]
        with Gate(pretrained) as shared:
            together = await answers(client, [asked(text) for text in TEXTS])
        assert [a["choices"] for a in together] == [a["choices"] for a in separate]
        assert [a["usage"] for a in together] == [a["usage"] for a in separate]
        assert {a["llada"]["batch_size"] for a in together} == {4}
        assert (alone.passes, shared.passes) == (32, 8)

    ask(scenario, gather_seconds=0.3)


def test_a_seed_fixes_a_text_whoever_else_asks(ask: Ask) -> None:
    async def scenario(client: Client) -> None:
        bodies = [asked("The cat", temperature=1.0, seed=seed) for seed in (3, 3, 4)]
        [alone] = await answers(client, bodies[:1])
        found = await answers(client, [asked("The dog sat", temperature=1.0, seed=9), *bodies])
        assert {a["llada"]["batch_size"] for a in found} == {4}
        texts = [a["choices"][0]["message"]["content"] for a in (alone, *found[1:])]
        assert texts[0] == texts[1] == texts[2] != texts[3]

    ask(scenario, gather_seconds=0.3)


def test_only_the_same_sampling_shares(ask: Ask) -> None:
    async def scenario(client: Client) -> None:
        changes = [{}, {"steps": 4}, {"cfg_scale": 1.0}, {"temperature": 1.0}]
        found = await answers(client, [asked("The cat", **change) for change in changes])
        assert [a["llada"]["batch_size"] for a in found] == [1, 1, 1, 1]
        assert [a["llada"]["forward_passes"] for a in found] == [8, 4, 16, 8]

    ask(scenario, gather_seconds=0.2)


def test_a_batch_is_bounded_in_requests_and_tokens(ask: Ask) -> None:
    async def scenario(client: Client) -> None:
        found = await answers(client, [asked(text) for text in TEXTS])
        assert max(a["llada"]["batch_size"] for a in found) == 2

    ask(scenario, gather_seconds=0.2, batch=2)
    ask(scenario, gather_seconds=0.2, batch_tokens=110)


def test_a_full_queue_refuses_and_says_when_to_come_back(ask: Ask, pretrained: Pretrained) -> None:
    async def scenario(client: Client) -> None:
        with Gate(pretrained, opened=False) as gate:
            first = asyncio.create_task(client.post(CHAT, json=asked("a")))
            await asyncio.to_thread(gate.reached.wait, 30)
            second = asyncio.create_task(client.post(CHAT, json=asked("b")))
            while (await (await client.get("/health")).json())["waiting"] < 1:
                await asyncio.sleep(0.01)
            third = await client.post(CHAT, json=asked("c"))
            error = (await third.json())["error"]
            assert (third.status, error["type"]) == (429, "rate_limit_error")
            assert int(third.headers["Retry-After"]) >= 1
            gate.opened.set()
            assert [(await first).status, (await second).status] == [200, 200]

    ask(scenario, queue=1)


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves_frees_the_model(
    ask: Ask, pretrained: Pretrained, stream: bool
) -> None:
    async def scenario(client: Client) -> None:
        with Gate(pretrained, opened=False) as gate:
            body = asked("a", max_tokens=200, stream=stream)
            leaving = asyncio.create_task(client.post(CHAT, json=body))
            await asyncio.to_thread(gate.reached.wait, 30)
            if stream:
                (await leaving).close()
            leaving.cancel()
            # Its handler ends before the next pass is let through: the server itself says so.
            while "gone" not in await ended(client):
                await asyncio.sleep(0.01)
            gate.opened.set()
            await answers(client, [asked("b")])
            assert gate.passes < 40

    async def ended(client: Client) -> str:
        from llada.serve.app import BATCHER

        assert client.app is not None
        jobs = client.app[BATCHER].jobs
        return "gone" if jobs and all(job.gone for job in jobs) else "there"

    ask(scenario)


def test_the_time_is_bounded(ask: Ask, pretrained: Pretrained) -> None:
    async def scenario(client: Client) -> None:
        with Gate(pretrained, opened=False):
            late = await client.post(CHAT, json=asked("a"))
            error = (await late.json())["error"]
            assert (late.status, error["type"], error["code"]) == (504, "timeout_error", "timeout")
            streamed = await client.post(CHAT, json=asked("a", stream=True))
            assert '"code": "timeout"' in await streamed.text()

    ask(scenario, request_seconds=0.3)


def test_an_ending_server_tells_who_waits(pretrained: Pretrained) -> None:
    async def both() -> None:
        with Gate(pretrained, opened=False) as gate:
            async with serving(pretrained) as client:
                running = asyncio.create_task(client.post(CHAT, json=asked("a", max_tokens=200)))
                await asyncio.to_thread(gate.reached.wait, 30)
                waiting = asyncio.create_task(client.post(CHAT, json=asked("b")))
                while (await (await client.get("/health")).json())["waiting"] < 1:
                    await asyncio.sleep(0.01)
                asyncio.get_running_loop().call_later(0.1, gate.opened.set)
                assert client.app is not None
                await client.app.shutdown()
                found = [await running, await waiting]
                assert [response.status for response in found] == [503, 503]
                assert gate.passes < 10

    in_a_thread(both)


def test_a_failing_model_is_an_error_for_who_asked_and_nobody_else(
    ask: Ask, pretrained: Pretrained
) -> None:
    async def scenario(client: Client) -> None:
        def fail(_module: object, _inputs: object) -> None:
            raise RuntimeError("out of memory")

        hook = pretrained.model.model.transformer.blocks[0].register_forward_pre_hook(fail)
        try:
            failed = await client.post(CHAT, json=asked("a"))
        finally:
            hook.remove()
        assert failed.status == 500
        assert "out of memory" in (await failed.json())["error"]["message"]
        await answers(client, [asked("b")])

    ask(scenario)
