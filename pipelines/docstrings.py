"""What an installed package says about itself, read from its files without running any of them."""

import ast
import email.parser
import email.policy
import inspect
import warnings
from collections.abc import Iterator
from typing import NamedTuple

_OBJECTS = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
_HOLD_STATEMENTS = (ast.stmt, ast.ExceptHandler, ast.match_case)


class Passage(NamedTuple):
    """A piece of documentation: a heading, what it says, and where it stands."""

    position: str
    heading: str
    body: str
    metadata: dict[str, object]

    @property
    def text(self) -> str:
        """The heading, a blank line, and what it says; empty where it says nothing."""
        return f"{self.heading}\n\n{self.body}" if self.body.strip() else ""


def module_name(name: str) -> str:
    """Return the module of a listed file: "numpy-2.4.6/numpy/ma/core.py" -> numpy.ma.core."""
    parts = name.removesuffix(".py").split("/")[1:]
    return ".".join(parts[:-1] if parts[-1] == "__init__" and parts[:-1] else parts)


def docstrings(source: bytes, module: str) -> Iterator[Passage]:
    """Yield the docstring of a module and of every class and function in it, from top to bottom.

    Raises:
        ValueError: the source is not valid Python.
    """
    tree = _parsed(source)
    text = ast.get_docstring(tree, clean=False)
    if text is not None:
        yield _passage(module, "module", 1, text)
    waiting: list[tuple[ast.AST, str]] = [(tree, module)]
    while waiting:
        node, scope = waiting.pop()
        if isinstance(node, _OBJECTS):
            scope = f"{scope}.{node.name}"
            text = ast.get_docstring(node, clean=False)
            if text is not None:
                kind = "class" if isinstance(node, ast.ClassDef) else "function"
                yield _passage(scope, kind, node.lineno, text)
        inner = [c for c in ast.iter_child_nodes(node) if isinstance(c, _HOLD_STATEMENTS)]
        waiting.extend((child, scope) for child in reversed(inner))


def _passage(name: str, kind: str, line: int, docstring: str) -> Passage:
    metadata: dict[str, object] = {"object": name, "kind": kind, "line": line}
    return Passage(f"{name}:{line}", f"{name} ({kind})", inspect.cleandoc(docstring), metadata)


def _parsed(source: bytes) -> ast.Module:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an invalid escape in a package is not our news
            return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ValueError(f"not valid Python: {error}") from error


def description(metadata: bytes) -> Passage:
    """Return the long description in a METADATA file, with name, version and licence beside it.

    Raises:
        ValueError: the bytes are not UTF-8.
    """
    message = email.parser.Parser(policy=email.policy.compat32).parsestr(metadata.decode())
    fields = {key.lower(): str(value) for key, value in message.items()}
    body = message.get_payload()
    if not isinstance(body, str) or not body.strip():
        # before metadata 2.1 the description is a header, its lines led by spaces and a bar
        rows = fields.get("description", "").splitlines()
        body = "\n".join(row.lstrip().removeprefix("|") for row in rows)
    name = f"{fields.get('name', '')} {fields.get('version', '')}".strip()
    heading = f"{name}: {fields['summary']}" if fields.get("summary") else name
    licence = fields.get("license-expression") or fields.get("license")
    kept: dict[str, object] = {"name": fields.get("name"), "version": fields.get("version")}
    return Passage("0", heading, body.strip(), {**kept, "license": licence})


def topics(source: bytes) -> Iterator[Passage]:
    """Yield the topics of the language reference in `pydoc_data/topics.py`.

    Raises:
        ValueError: the file does not assign a dict of texts to `topics`.
    """
    for statement in _parsed(source).body:
        if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Dict):
            for name, text in ast.literal_eval(statement.value).items():
                yield Passage(str(name), f"Python: {name}", str(text).strip(), {"topic": name})
            return
    raise ValueError("no dict of topics in it")
