"""The page that plays a denoising: one file that needs neither server nor network."""

from llada.course import Course
from llada.pages.document import FrontEnd, Page

_FRONT_END = FrontEnd(
    "trace.html",
    styles=("theme.css", "tokens.css", "trace.css"),
    scripts=("tokens.js", "trace.js"),
    connect="none",
)


def trace_page(course: Course) -> Page:
    """Return the page of one generation."""
    tokens = [
        [token.text, token.step, round(token.confidence, 4), int(token.end)]
        for token in course.tokens
    ]
    return _FRONT_END.page(
        {
            "model": course.model,
            "settings": course.settings,
            "steps": course.steps,
            "passes": course.passes,
            "tokens": tokens,
        }
    )
