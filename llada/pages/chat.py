"""The chat page: a dialogue with the model, and its denoising as it happens."""

from llada.pages.document import Page, assemble


def chat_page(model: str, context: int, *, needs_key: bool) -> Page:
    """Return the page for the server that sends it."""
    return assemble(
        "chat.html",
        styles=("theme.css", "tokens.css", "chat.css"),
        scripts=("tokens.js", "stream.js", "chat.js"),
        data={"model": model, "context": context, "needsKey": needs_key},
        connect="self",
    )
