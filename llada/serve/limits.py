"""What one server takes on: sizes, times and how many at once."""

from pydantic import BaseModel, ConfigDict, NonNegativeFloat, PositiveFloat, PositiveInt


class Limits(BaseModel):
    """The limits of a server; beyond each a client gets an error that names it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    body_bytes: PositiveInt = 1 << 20
    body_seconds: PositiveFloat = 30.0
    # Of one answer. The context of the model bounds prompt and answer together anyway.
    answer_tokens: PositiveInt = 1024
    default_answer_tokens: PositiveInt = 128
    # From arrival to the last token, waiting included.
    request_seconds: PositiveFloat = 300.0
    queue: PositiveInt = 64
    batch: PositiveInt = 8
    # Prompts plus answers of one batch, padding included: what bounds its memory.
    batch_tokens: PositiveInt = 32_768
    # How long a lone request waits for company.
    gather_seconds: NonNegativeFloat = 0.005
