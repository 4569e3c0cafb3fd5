"""The HTTP application: OpenAI's chat and completions endpoints, and the page that shows them."""

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

from aiohttp import web

from llada.chat import render
from llada.pages.chat import chat_page
from llada.pretrained import Pretrained
from llada.serve import replies
from llada.serve.asked import ChatRequest, CompletionRequest, read
from llada.serve.batching import Batcher, Delta, Event, Finished, Frame, Job, Written
from llada.serve.errors import ApiError
from llada.serve.guard import SAFE_HEADERS, Guard, middleware
from llada.serve.limits import Limits
from llada.settled import SettledAnswer

BATCHER: web.AppKey[Batcher] = web.AppKey("batcher", Batcher)


def application(pretrained: Pretrained, limits: Limits, guard: Guard) -> web.Application:
    """Return the application; run it with `handler_cancellation=True` to notice who leaves."""
    server = _Server(pretrained, limits, needs_key=guard.key is not None)
    app = web.Application(client_max_size=limits.body_bytes, middlewares=[middleware(guard)])
    app.add_routes(
        [
            web.get("/", server.page),
            web.get("/health", server.health),
            web.get("/v1/models", server.models),
            web.post("/v1/chat/completions", server.chat),
            web.post("/v1/completions", server.complete),
        ]
    )
    app[BATCHER] = server.batcher
    app.on_startup.append(server.start)
    app.on_shutdown.append(server.stop)
    return app


class _Server:
    """The handlers of one model."""

    def __init__(self, pretrained: Pretrained, limits: Limits, *, needs_key: bool) -> None:
        self._pretrained = pretrained
        self._needs_key = needs_key
        self._limits = limits
        self._since = int(time.time())
        self.batcher = Batcher(pretrained, limits)

    async def start(self, _app: web.Application) -> None:
        self.batcher.start()

    async def stop(self, _app: web.Application) -> None:
        await self.batcher.close()

    async def page(self, _request: web.Request) -> web.StreamResponse:
        pretrained = self._pretrained
        page = chat_page(pretrained.name, pretrained.context, needs_key=self._needs_key)
        headers = {"Content-Security-Policy": page.policy + "; frame-ancestors 'none'"}
        return web.Response(text=page.html, content_type="text/html", headers=headers)

    async def health(self, _request: web.Request) -> web.StreamResponse:
        found = {
            "status": "ok",
            "model": self._pretrained.name,
            "waiting": self.batcher.waiting,
            "running": self.batcher.running,
        }
        return web.json_response(found)

    async def models(self, _request: web.Request) -> web.StreamResponse:
        pretrained = self._pretrained
        return web.json_response(replies.models(pretrained.name, pretrained.context, self._since))

    async def chat(self, request: web.Request) -> web.StreamResponse:
        asked = read(await self._body(request), ChatRequest)
        prompt = await asyncio.to_thread(
            render, asked.dialogue, self._pretrained.tokenizer, add_generation_prompt=True
        )
        return await self._answer(request, asked, prompt)

    async def complete(self, request: web.Request) -> web.StreamResponse:
        asked = read(await self._body(request), CompletionRequest)
        prompt = await asyncio.to_thread(self._pretrained.tokenizer.encode, asked.prompt)
        return await self._answer(request, asked, prompt)

    async def _body(self, request: web.Request) -> bytes:
        # A form that a foreign page submits without asking first cannot have this type.
        if request.content_type != "application/json":
            raise ApiError(
                415, f"the body is {request.content_type}; send Content-Type: application/json"
            )
        try:
            return await asyncio.wait_for(request.read(), self._limits.body_seconds)
        except TimeoutError:
            raise ApiError(408, "the body did not arrive in time: send it again") from None

    async def _answer(
        self, request: web.Request, asked: ChatRequest | CompletionRequest, prompt: list[int]
    ) -> web.StreamResponse:
        pretrained = self._pretrained
        if asked.model not in (None, pretrained.name):
            raise ApiError(
                404,
                f"there is no model {asked.model!r}; this server has {pretrained.name!r}",
                code="model_not_found",
                param="model",
            )
        config, tokens = asked.sampling(pretrained, self._limits)
        self._check_length(len(prompt), config.gen_length)
        seed = secrets.randbits(32) if asked.seed is None else asked.seed
        options = asked.stream_options
        job = Job(
            prompt=prompt,
            config=config,
            answer=SettledAnswer(
                pretrained.tokenizer, ends=pretrained.ends, limit=tokens, stop=asked.stops
            ),
            seed=seed,
            frames=asked.stream and options is not None and options.include_denoising,
        )
        reply = replies.Reply(pretrained.name, seed, isinstance(asked, ChatRequest))
        self.batcher.submit(job)
        try:
            if not asked.stream:
                return await self._whole(job, reply)
            usage = options is not None and options.include_usage
            return await self._stream(request, job, reply, usage=usage)
        finally:
            self.batcher.forget(job)

    def _check_length(self, prompt: int, answer: int) -> None:
        """Refuse what does not fit into the context of the model."""
        if prompt + answer > self._pretrained.context:
            raise ApiError(
                400,
                f"a prompt of {prompt} tokens and an answer of {answer} are {prompt + answer}; "
                f"this model reads {self._pretrained.context} at most: shorten the prompt, or "
                f"lower max_tokens",
                code="context_length_exceeded",
                param="messages",
            )

    async def _whole(self, job: Job, reply: replies.Reply) -> web.StreamResponse:
        """Wait for the end, and answer in one piece."""
        async for event in self._events(job):
            if isinstance(event, Finished):
                used = replies.tokens_used(len(job.prompt), job.answer.tokens)
                return web.json_response(reply.whole(job.answer.text, event, used))
        raise AssertionError("events end with Finished or an error")

    async def _stream(
        self, request: web.Request, job: Job, reply: replies.Reply, *, usage: bool
    ) -> web.StreamResponse:
        """Answer as server-sent events; an error after the first of them is an event as well."""
        response = web.StreamResponse(
            headers={
                **SAFE_HEADERS,
                "Content-Type": "text/event-stream; charset=utf-8",
                "X-Accel-Buffering": "no",
            }
        )
        await response.prepare(request)
        # Who asked may have left between two writes; that ends the answer and is no error.
        with suppress(ConnectionError):
            await response.write(_data(reply.opening()))
            try:
                async for event in self._events(job):
                    await response.write(_sent(event, reply))
                if usage:
                    used = replies.tokens_used(len(job.prompt), job.answer.tokens)
                    await response.write(_data(reply.usage(used)))
            except ApiError as error:
                await response.write(_data(error.body()))
            await response.write(b"data: [DONE]\n\n")
            await response.write_eof()
        return response

    async def _events(self, job: Job) -> AsyncIterator[Event]:
        """Yield what happens to a job, its end last; ApiError where it fails or takes too long."""
        loop = asyncio.get_running_loop()
        last = loop.time() + self._limits.request_seconds
        while True:
            try:
                event = await asyncio.wait_for(job.events.get(), last - loop.time())
            except TimeoutError:
                raise ApiError(
                    504,
                    f"no answer within {self._limits.request_seconds:g} s, waiting included: ask "
                    f"for fewer tokens or steps, or again when the server has less to do",
                    code="timeout",
                ) from None
            if isinstance(event, ApiError):
                raise event
            yield event
            if isinstance(event, Finished):
                return


def _sent(event: Event, reply: replies.Reply) -> bytes:
    """Return what a stream sends for an event."""
    match event:
        case Delta(text):
            return _data(reply.delta(text))
        case Frame():
            return _data(replies.frame(event), "llada.denoising")
        case Written():
            return _data(replies.written(event), "llada.answer")
        case Finished():
            return _data(reply.closing(event))
        case ApiError():
            return _data(event.body())


def _data(value: dict[str, Any], event: str | None = None) -> bytes:
    """Return one server-sent event; JSON has no line break that could end it early."""
    name = f"event: {event}\n" if event else ""
    return f"{name}data: {json.dumps(value)}\n\n".encode()
