"""What a client may ask: the requests of the OpenAI API, and what diffusion adds to them.

Fields that this server cannot honour are refused unless they ask for nothing: an answer that
silently ignored them would look like the one that was wanted.
"""

import difflib
import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, NoReturn, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    PositiveInt,
    ValidationError,
    field_validator,
)

from llada.chat import Message
from llada.pretrained import Pretrained
from llada.sampling import SamplingConfig
from llada.sampling.parallel import EntropyBound, Parallel, Threshold
from llada.serve.errors import ApiError
from llada.serve.limits import Limits

_BLOCK = 32
_STOPS = 4

# field -> the values that ask for nothing; any other is refused.
NEUTRAL: Mapping[str, Sequence[object]] = {
    "n": [1],
    "best_of": [1],
    "top_p": [1],
    "presence_penalty": [0],
    "frequency_penalty": [0],
    "logit_bias": [{}],
    "logprobs": [False],
    "top_logprobs": [0],
    "echo": [False],
    "suffix": [""],
    "tools": [[]],
    "functions": [[]],
    "tool_choice": ["none", "auto"],
    "parallel_tool_calls": [True, False],
    "response_format": [{"type": "text"}],
    "modalities": [["text"]],
    "reasoning_effort": ["none"],
    "store": [False],
}
# These never change a text.
INERT = ("user", "metadata", "safety_identifier", "prompt_cache_key", "service_tier")

Text = Annotated[str, Field(max_length=1 << 20)]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class StreamOptions(_Strict):
    """What a stream carries besides text; `include_denoising` is ours."""

    include_usage: bool = False
    include_denoising: bool = False


class Turn(_Strict):
    """One message of a dialogue."""

    role: Literal["system", "user", "assistant"]
    content: Text
    name: None = None

    @field_validator("content", mode="before")
    @classmethod
    def _joined(cls, content: object) -> object:
        """Take a list of text parts as one text; this model reads nothing else."""
        if not isinstance(content, list):
            return content
        for part in content:
            keys = set(part) if isinstance(part, dict) else set()
            if keys != {"type", "text"} or part["type"] != "text":
                raise ValueError(
                    'this model reads text only; a part is {"type": "text", "text": "..."}'
                )
        return "\n".join(str(part["text"]) for part in content)


class _Asked(_Strict):
    """The fields that both endpoints have."""

    model: str | None = None
    stream: bool = False
    stream_options: StreamOptions | None = None
    max_tokens: PositiveInt | None = None
    temperature: Annotated[FiniteFloat, Field(ge=0, le=2)] | None = None
    seed: Annotated[int, Field(ge=0, lt=1 << 63)] | None = None
    stop: str | list[str] | None = None

    # Ours: how to denoise.
    steps: PositiveInt | None = None
    block_length: PositiveInt | None = None
    cfg_scale: Annotated[FiniteFloat, Field(ge=0, le=10)] = 0.0
    remasking: Literal["low_confidence", "random"] = "low_confidence"
    forbid_eos: bool = False
    defer_eos: bool = False
    cache: Literal["none", "prefix", "dual"] = "none"
    cache_refresh: PositiveInt | None = None
    threshold: Annotated[FiniteFloat, Field(gt=0, le=1)] | None = None
    entropy: Annotated[FiniteFloat, Field(ge=0)] | None = None

    @field_validator("stop")
    @classmethod
    def _few_stops(cls, stop: str | list[str] | None) -> str | list[str] | None:
        words = [stop] if isinstance(stop, str) else stop or []
        if len(words) > _STOPS or not all(words):
            raise ValueError(
                f"{len(words)} stop strings, {words.count('')} of them empty; up to {_STOPS} that "
                f"are not empty are allowed"
            )
        return stop

    @property
    def stops(self) -> list[str]:
        """The stop strings as a list."""
        return [self.stop] if isinstance(self.stop, str) else self.stop or []

    @property
    def answer_tokens(self) -> int | None:
        """The largest answer wanted."""
        return self.max_tokens

    def sampling(self, pretrained: Pretrained, limits: Limits) -> tuple[SamplingConfig, int]:
        """Return how to sample, and how many tokens of it the client wants.

        Blocks fill an answer whole, so its length is rounded up to a multiple of the block; what
        is beyond the wanted tokens is cut off. Without `steps`, every token has its own.
        """
        tokens = self.answer_tokens or min(limits.default_answer_tokens, limits.answer_tokens)
        if tokens > limits.answer_tokens:
            raise ApiError(
                400,
                f"max_tokens is {tokens}; this server samples up to {limits.answer_tokens}: ask "
                f"for less",
                param="max_tokens",
            )
        block = self.block_length or min(_BLOCK, tokens)
        length = -(-tokens // block) * block
        steps = length if self.steps is None else self.steps
        for name, found, most in (("block_length", block, tokens), ("steps", steps, length)):
            if found > most:
                raise ApiError(
                    400,
                    f"{name} is {found}; an answer of {tokens} tokens has use for {most} at most: "
                    f"lower it, or raise max_tokens",
                    param=name,
                )
        blocks = length // block
        if steps % blocks:
            below, above = steps // blocks * blocks, -(-steps // blocks) * blocks
            near = " or ".join(str(n) for n in (below, above) if n)
            raise ApiError(
                400,
                f"steps is {steps}; {tokens} tokens in blocks of {block} are {blocks} blocks with "
                f"equally many steps each: use {near}",
                param="steps",
            )
        ends = pretrained.ends
        try:
            config = SamplingConfig(
                steps=steps,
                gen_length=length,
                block_length=block,
                temperature=self.temperature or 0.0,
                cfg_scale=self.cfg_scale,
                remasking=self.remasking,
                forbidden_ids=pretrained.reserved + (ends if self.forbid_eos else ()),
                deferred_ids=ends if self.defer_eos else (),
                cache=self.cache,
                cache_refresh=self.cache_refresh,
                parallel=self._parallel(),
            )
        except ValidationError as error:
            message = error.errors()[0]["msg"].removeprefix("Value error, ")
            raise ApiError(400, message) from error
        return config, tokens

    def _parallel(self) -> Parallel | None:
        if self.threshold is not None and self.entropy is not None:
            raise ApiError(
                400, "threshold and entropy are two rules for the same choice; send one of them"
            )
        if self.threshold is not None:
            return Threshold(threshold=self.threshold)
        return None if self.entropy is None else EntropyBound(entropy=self.entropy)


Asked = TypeVar("Asked", bound=_Asked)


class ChatRequest(_Asked):
    """The body of POST /v1/chat/completions."""

    messages: Annotated[list[Turn], Field(min_length=1, max_length=1000)]
    max_completion_tokens: PositiveInt | None = None

    @field_validator("messages")
    @classmethod
    def _asks(cls, messages: list[Turn]) -> list[Turn]:
        if messages[-1].role == "assistant":
            raise ValueError("the last message is the assistant's; end with the one to answer")
        return messages

    @property
    def answer_tokens(self) -> int | None:
        """The largest answer wanted, by its newer name or the older."""
        return self.max_completion_tokens or self.max_tokens

    @property
    def dialogue(self) -> list[Message]:
        """The messages as the chat template takes them."""
        return [Message(role=turn.role, content=turn.content) for turn in self.messages]


class CompletionRequest(_Asked):
    """The body of POST /v1/completions."""

    prompt: Annotated[Text, Field(min_length=1)]

    @field_validator("prompt", mode="before")
    @classmethod
    def _one(cls, prompt: object) -> object:
        if isinstance(prompt, list):
            if len(prompt) == 1 and isinstance(prompt[0], str):
                return prompt[0]
            raise ValueError(
                f"a list of {len(prompt)}; one text is allowed: send each prompt as a request of "
                f"its own, they share their forward passes"
            )
        return prompt


def read(body: bytes, kind: type[Asked]) -> Asked:
    """Return the request of a body; ApiError (400) says which field is wrong, and how."""
    try:
        value = json.loads(body, parse_constant=_no_constant)
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ApiError(400, "a text holds half a surrogate pair; send whole characters") from None
    except (ValueError, RecursionError) as error:
        raise ApiError(400, f"the body is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise ApiError(400, f"the body is a {type(value).__name__}; it must be an object")
    _refuse_unsupported(value)
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        raise _as_api_error(error, kind) from error


def _refuse_unsupported(value: dict[str, Any]) -> None:
    """Take out the fields that ask for nothing, and refuse those that ask for what is not here."""
    for name in INERT:
        value.pop(name, None)
    for name, neutral in NEUTRAL.items():
        found = value.pop(name, None)
        if found is not None and found not in neutral:
            allowed = " or ".join(json.dumps(one) for one in neutral)
            raise ApiError(
                400,
                f"{name} is {_short(found)}; this server computes {allowed} only: leave it out",
                code="unsupported_parameter",
                param=name,
            )


def _as_api_error(error: ValidationError, kind: type[_Asked]) -> ApiError:
    """Return the first complaint in words."""
    first = error.errors()[0]
    where = [str(part) for part in first["loc"]]
    param = ".".join(where)
    if first["type"] == "extra_forbidden":
        name = where[-1]
        near = difflib.get_close_matches(name, kind.model_fields, 1)
        hint = f" Did you mean {near[0]!r}?" if near and len(where) == 1 else ""
        return ApiError(
            400,
            f"there is no field {param!r}.{hint}",
            code="unknown_parameter",
            param=param,
        )
    found = f" (found {_short(first['input'])})" if first["type"] != "missing" else ""
    return ApiError(400, f"{param}: {first['msg']}{found}", param=param)


def _short(value: object) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else text[:57] + "..."


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")
