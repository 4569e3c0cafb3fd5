"""Names and scopes of a syntax tree: what a stretch of code binds, imports and fills."""

import ast
from collections.abc import Iterable, Iterator

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_NAMING = (*FUNCTIONS, ast.ClassDef, ast.ExceptHandler, ast.MatchAs, ast.MatchStar)
_SCOPES = (*FUNCTIONS, *COMPREHENSIONS, ast.ClassDef, ast.Lambda)
_CLOSED = (ast.Name, ast.Constant, ast.expr_context, *_SCOPES)
"""Not looked into: other scopes, and leaves, which most nodes are."""


def bound_names(nodes: Iterable[ast.AST]) -> set[str]:
    """Return the names that a scope binds, other than by import."""
    bound: set[str] = set()
    shared: set[str] = set()
    for node in walk_scope(nodes):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            bound.add(node.id)
        elif isinstance(node, ast.Global):
            shared.update(node.names)
        elif isinstance(node, _NAMING) and node.name:
            bound.add(node.name)
        elif isinstance(node, ast.MatchMapping) and node.rest:
            bound.add(node.rest)
    return bound - shared


def filled_names(statement: ast.stmt) -> set[str]:
    """Return the names whose content a statement changes: `TABLE[k] = v`, `TABLE.update(...)`."""
    filled: set[str] = set()
    for node in walk_scope([statement]):
        place: ast.AST | None = None
        if isinstance(node, (ast.Subscript, ast.Attribute)) and isinstance(node.ctx, ast.Store):
            place = node
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            place = node.value.func
        while isinstance(place, (ast.Subscript, ast.Attribute)):
            place = place.value
            if isinstance(place, ast.Name):
                filled.add(place.id)
    return filled


def imported_names(nodes: Iterable[ast.AST], package: str) -> tuple[dict[str, str], list[str]]:
    """Return alias -> dotted target, and the modules that are imported with `*`."""
    found: dict[str, str] = {}
    stars: list[str] = []
    for node in walk_scope(nodes):
        if isinstance(node, ast.Import):
            for one in node.names:
                found[one.asname or one.name.partition(".")[0]] = (
                    one.name if one.asname else one.name.partition(".")[0]
                )
        elif isinstance(node, ast.ImportFrom):
            base = _base_of(node, package)
            stars.extend(base for one in node.names if one.name == "*")
            found.update(
                (one.asname or one.name, f"{base}.{one.name}")
                for one in node.names
                if one.name != "*"
            )
    return found, stars


def _base_of(node: ast.ImportFrom, package: str) -> str:
    if not node.level:
        return node.module or ""
    parts = package.split(".")
    parts = parts[: len(parts) - node.level + 1]
    return ".".join([*parts, node.module] if node.module else parts)


def walk_scope(nodes: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """Yield the nodes of one scope: nested ones, not what is inside them."""
    waiting = list(nodes)
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, _CLOSED):
            continue
        for name in node._fields:
            value = getattr(node, name, None)
            if isinstance(value, list):
                waiting += [item for item in value if isinstance(item, ast.AST)]
            elif isinstance(value, ast.AST):
                waiting.append(value)
