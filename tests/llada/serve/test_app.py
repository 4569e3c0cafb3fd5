"""What a client of the API gets: answers, streams, and errors it can read."""

import json
from collections.abc import Callable
from typing import Any

import pytest
import torch

from llada.chat import render
from llada.pretrained import Pretrained
from llada.sampling import SamplingConfig, generate
from llada.serve.errors import ApiError
from tests.llada.serve.conftest import HELLO, Client

Ask = Callable[..., None]
CHAT = "/v1/chat/completions"


async def events(response: Any) -> list[tuple[str, Any]]:
    """Return the (event, data) pairs of a stream."""
    found = []
    for block in (await response.text()).removesuffix("\n\n").split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.split("\n"))
        data = lines["data"]
        found.append(
            (lines.get("event", "message"), data if data == "[DONE]" else json.loads(data))
        )
    return found


def expected(pretrained: Pretrained, prompt: list[int], **sampling: Any) -> str:
    forbidden = (*pretrained.reserved, *sampling.pop("forbidden_ids", ()))
    config = SamplingConfig(**sampling, forbidden_ids=forbidden)
    rng = torch.Generator().manual_seed(5)
    done = generate(pretrained.model, torch.tensor([prompt]), config, rng=rng)
    return done.answer_texts(pretrained.tokenizer)[0]


@pytest.mark.parametrize("temperature", [0, 1.0])
def test_a_chat_answer_is_what_the_sampler_gives(
    ask: Ask, pretrained: Pretrained, temperature: float
) -> None:
    prompt = render(
        [{"role": "user", "content": "The cat"}], pretrained.tokenizer, add_generation_prompt=True
    )
    text = expected(
        pretrained, prompt, steps=4, gen_length=8, block_length=4, temperature=temperature
    )

    async def scenario(client: Client) -> None:
        body = {**HELLO, "steps": 4, "block_length": 4, "temperature": temperature, "seed": 5}
        response = await client.post(CHAT, json=body)
        found = await response.json()
        assert response.status == 200
        assert found["object"] == "chat.completion"
        assert found["model"] == "tiny"
        [choice] = found["choices"]
        assert choice["message"] == {"role": "assistant", "content": text}
        usage = found["usage"]
        assert usage["prompt_tokens"] == len(prompt)
        assert usage["total_tokens"] == len(prompt) + usage["completion_tokens"]
        assert found["llada"]["seed"] == 5

    ask(scenario)


def test_a_completion_is_cut_at_max_tokens_and_at_stop(ask: Ask, pretrained: Pretrained) -> None:
    prompt = pretrained.tokenizer.encode("The dog")
    sampled = {"steps": 12, "gen_length": 12, "block_length": 4}
    whole = expected(pretrained, prompt, **sampled, forbidden_ids=pretrained.ends)

    async def scenario(client: Client) -> None:
        body = {"prompt": "The dog", "max_tokens": 12, "block_length": 4, "forbid_eos": True}
        plain = await (await client.post("/v1/completions", json=body)).json()
        assert plain["object"] == "text_completion"
        assert plain["choices"][0]["text"] == whole
        assert plain["choices"][0]["finish_reason"] == "length"
        assert plain["usage"]["completion_tokens"] == 12

        short = await client.post("/v1/completions", json={**body, "max_tokens": 10, "steps": 12})
        assert whole.startswith((await short.json())["choices"][0]["text"])
        assert (await short.json())["usage"]["completion_tokens"] == 10

        word = whole[2:5]
        stopped = await client.post("/v1/completions", json={**body, "stop": [word, "never"]})
        found = await stopped.json()
        assert found["choices"][0]["text"] == whole[: whole.index(word)]
        assert found["choices"][0]["finish_reason"] == "stop"
        assert found["llada"]["forward_passes"] < plain["llada"]["forward_passes"]

    ask(scenario)


def test_a_stream_says_the_same_piece_by_piece(ask: Ask) -> None:
    async def scenario(client: Client) -> None:
        body = {**HELLO, "max_tokens": 16, "block_length": 4}
        whole = await (await client.post(CHAT, json=body)).json()
        response = await client.post(
            CHAT, json={**body, "stream": True, "stream_options": {"include_usage": True}}
        )
        assert response.headers["Content-Type"].startswith("text/event-stream")
        found = await events(response)
        assert found.pop() == ("message", "[DONE]")
        chunks = [data for _, data in found]
        assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
        assert len({chunk["id"] for chunk in chunks}) == 1
        assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
        deltas = [c["choices"][0]["delta"].get("content", "") for c in chunks[:-1]]
        assert "".join(deltas) == whole["choices"][0]["message"]["content"]
        assert sum(map(bool, deltas)) > 1
        reasons = [c["choices"][0]["finish_reason"] for c in chunks[:-1]]
        assert reasons == [None] * (len(reasons) - 1) + [whole["choices"][0]["finish_reason"]]
        assert chunks[-1]["choices"] == []
        assert chunks[-1]["usage"] == whole["usage"]

    ask(scenario)


def test_a_stream_shows_the_denoising_to_who_asks(ask: Ask) -> None:
    async def scenario(client: Client) -> None:
        options = {"include_denoising": True}
        body = {"prompt": "The", "max_tokens": 8, "block_length": 4, "forbid_eos": True}
        response = await client.post(
            "/v1/completions", json={**body, "stream": True, "stream_options": options}
        )
        found = await events(response)
        frames = [data for event, data in found if event == "llada.denoising"]
        assert [frame["step"] for frame in frames] == list(range(1, 9))
        positions = [[at for at, _ in frame["tokens"]] for frame in frames]
        assert sorted(at for step in positions for at in step) == list(range(8))
        assert all(at < 4 for [at] in positions[:4])
        [written] = [data for event, data in found if event == "llada.answer"]
        text = "".join(
            d["choices"][0]["text"] for e, d in found if e == "message" and d != "[DONE]"
        )
        assert "".join(piece for piece, _ in written["tokens"]) == text
        steps = {at: frame["step"] - 1 for frame in frames for at, _ in frame["tokens"]}
        assert [step for _, step in written["tokens"]] == [steps[at] for at in range(8)]

    ask(scenario)


@pytest.mark.parametrize(
    ("change", "status", "code", "says"),
    [
        ({"messages": []}, 400, None, "messages"),
        ({"messages": [{"role": "robot", "content": "x"}]}, 400, None, "'system', 'user' or"),
        ({"messages": [{"role": "assistant", "content": "x"}]}, 400, None, "end with the one"),
        ({"messages": [{"role": "user", "content": "\ud800"}]}, 400, None, "surrogate"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
            400,
            None,
            "reads text only",
        ),
        ({"model": "gpt-5"}, 404, "model_not_found", "'tiny'"),
        ({"max_tokens": -1}, 400, None, "max_tokens"),
        ({"max_tokens": 2.5}, 400, None, "max_tokens"),
        ({"max_tokens": 5000}, 400, None, "up to 1024"),
        ({"max_tokens": 255}, 400, "context_length_exceeded", "256 at most"),
        ({"temperature": 9}, 400, None, "less than or equal to 2"),
        ({"n": 2}, 400, "unsupported_parameter", "n is 2; this server computes 1 only"),
        ({"top_p": 0.5}, 400, "unsupported_parameter", "top_p"),
        ({"tools": [{"type": "function"}]}, 400, "unsupported_parameter", "tools"),
        ({"temprature": 1}, 400, "unknown_parameter", "Did you mean 'temperature'?"),
        ({"stop": ["a", ""]}, 400, None, "stop"),
        ({"max_tokens": 8, "block_length": 4, "steps": 5}, 400, None, "use 4 or 6"),
        ({"steps": 10**9}, 400, None, "steps is 1000000000"),
        ({"block_length": 10**9}, 400, None, "block_length is 1000000000"),
        ({"remasking": "best"}, 400, None, "low_confidence"),
        ({"cache_refresh": 2}, 400, None, "without a cache"),
        ({"threshold": 0.9, "entropy": 0.1}, 400, None, "send one of them"),
        ({"threshold": 0.9, "remasking": "random"}, 400, None, "low_confidence"),
    ],
)
def test_what_cannot_be_is_refused_in_words(
    ask: Ask, change: dict[str, Any], status: int, code: str | None, says: str
) -> None:
    async def scenario(client: Client) -> None:
        response = await client.post(CHAT, json={**HELLO, **change})
        error = (await response.json())["error"]
        assert (response.status, error["code"]) == (status, code), error
        assert says in error["message"]
        assert error["type"] == "invalid_request_error"

    ask(scenario)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"{", "not JSON"),
        (b"[]", "must be an object"),
        (b'{"messages": NaN}', "NaN"),
        (b"\xff\xfe\x00", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b'{"messages": [{"role": "user", "content": "x"}], "temperature": 1e999}', "temperature"),
    ],
)
def test_a_broken_body_is_refused(ask: Ask, body: bytes, says: str) -> None:
    async def scenario(client: Client) -> None:
        response = await client.post(CHAT, data=body, headers={"Content-Type": "application/json"})
        assert response.status == 400
        assert says in (await response.json())["error"]["message"]

    ask(scenario)


def test_fields_that_ask_for_nothing_are_let_through(ask: Ask) -> None:
    async def scenario(client: Client) -> None:
        neutral = {"n": 1, "top_p": 1.0, "user": "me", "logprobs": False, "tools": None}
        plain = await (await client.post(CHAT, json=HELLO)).json()
        found = await (await client.post(CHAT, json={**HELLO, **neutral})).json()
        assert found["choices"] == plain["choices"]

    ask(scenario)


def test_a_huge_body_another_type_and_another_path_are_refused(ask: Ask) -> None:
    async def scenario(client: Client) -> None:
        long = {"messages": [{"role": "user", "content": "x" * 5000}]}
        assert (await client.post(CHAT, json=long)).status == 413
        form = await client.post(
            CHAT, data=json.dumps(HELLO), headers={"Content-Type": "text/plain"}
        )
        assert form.status == 415
        wrong = await client.get(CHAT)
        assert wrong.status == 405
        assert wrong.headers["Allow"] == "POST"
        lost = await client.get("/v1/embeddings")
        assert lost.status == 404
        for response in (form, wrong, lost):
            assert (await response.json())["error"]["type"] == "invalid_request_error"

    ask(scenario, body_bytes=4096)


def test_the_model_and_the_health_are_told(ask: Ask) -> None:
    async def scenario(client: Client) -> None:
        [model] = (await (await client.get("/v1/models")).json())["data"]
        assert (model["id"], model["context_length"]) == ("tiny", 256)
        assert (await (await client.get("/health")).json())["status"] == "ok"

    ask(scenario)


def test_an_error_has_the_shape_of_the_api() -> None:
    body = ApiError(429, "full", code="queue_full").body()
    assert body == {
        "error": {
            "message": "full",
            "type": "rate_limit_error",
            "param": None,
            "code": "queue_full",
        }
    }
