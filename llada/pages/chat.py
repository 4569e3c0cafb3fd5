"""The chat page: a dialogue with the model, and its denoising as it happens."""

from llada.pages.document import FrontEnd, Page

_FRONT_END = FrontEnd(
    "chat.html",
    styles=("theme.css", "tokens.css", "chat.css"),
    scripts=("tokens.js", "stream.js", "chat.js"),
    connect="self",
)


def chat_page(model: str, context: int, *, needs_key: bool) -> Page:
    """Return the page for the server that sends it."""
    return _FRONT_END.page({"model": model, "context": context, "needsKey": needs_key})
