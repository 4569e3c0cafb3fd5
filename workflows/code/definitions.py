"""Reads one source file into definitions: what each one means (a hash) and which names it uses.

Comments, docstrings, formatting and the annotations of functions and variables do not count;
the annotations of class fields do, because pydantic and dataclasses act on them.
"""

import ast
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from workflows.code.scopes import (
    COMPREHENSIONS,
    FUNCTIONS,
    bound_names,
    filled_names,
    imported_names,
    walk_scope,
)

_IMPORTS = (ast.Import, ast.ImportFrom)
_SILENT_FIELDS = frozenset({"ctx", "type_comment", "kind", "annotation", "returns"})


@dataclass(frozen=True)
class Meaning:
    """What one definition says: a hash of its normalised source, and the dotted names in it."""

    digest: str
    uses: frozenset[str]
    """What it calls, reads or inherits from."""
    mentions: frozenset[str]
    """What its annotations name: the classes of the objects it is handed."""


class SourceModule:
    """One parsed source file. Meanings are read when asked for and then kept."""

    def __init__(self, name: str, source: str, *, is_package: bool) -> None:
        """Parse `source`; raises SyntaxError, and ValueError where it holds null bytes."""
        self.name = name
        self._package = name if is_package else name.rpartition(".")[0]
        statements = [s for s in ast.parse(source).body if not _is_main_guard(s)]
        self.imports, self.stars = imported_names(statements, self._package)
        self.definitions: dict[str, list[ast.stmt]] = {}
        self._loose: list[ast.stmt] = []
        self._kept: dict[str, dict[str, Meaning]] = {}
        bound = [bound_names([statement]) for statement in statements]
        everything = set().union(*bound)
        for statement, names in zip(statements, bound, strict=True):
            names |= filled_names(statement) & everything
            for one in names:
                self.definitions.setdefault(one, []).append(statement)
            if not names and not _only_imports(statement):
                self._loose.append(statement)

    def class_of(self, name: str) -> ast.ClassDef | None:
        """Return the class of that name, None where the name is something else."""
        statements = self.definitions.get(name, [])
        return next((s for s in statements if isinstance(s, ast.ClassDef)), None)

    def is_function(self, name: str) -> bool:
        """Whether the name is defined by `def`."""
        return any(isinstance(s, FUNCTIONS) for s in self.definitions.get(name, []))

    def parts(self, name: str) -> dict[str, Meaning]:
        """Return the meanings of a definition: one, or for a class its shell and its methods."""
        if name not in self._kept:
            defined = self.class_of(name)
            statements = self.definitions[name]
            self._kept[name] = (
                self._class_parts(defined, [s for s in statements if s is not defined])
                if defined
                else {name: self._read(statements)}
            )
        return self._kept[name]

    @cached_property
    def loose(self) -> Meaning | None:
        """What importing the module does besides defining names, None where nothing."""
        return self._read(self._loose) if self._loose else None

    def _class_parts(self, defined: ast.ClassDef, others: list[ast.stmt]) -> dict[str, Meaning]:
        methods: dict[str, list[ast.stmt]] = {}
        for statement in defined.body:
            if isinstance(statement, FUNCTIONS):
                methods.setdefault(statement.name, []).append(statement)
        shell = ast.ClassDef(
            name=defined.name,
            bases=defined.bases,
            keywords=defined.keywords,
            decorator_list=defined.decorator_list,
            body=[s for s in defined.body if not isinstance(s, FUNCTIONS)],
        )
        parts = {defined.name: self._read([shell, *others])}
        for name, statements in methods.items():
            parts[f"{defined.name}.{name}"] = self._read(statements)
        return parts

    def _read(self, statements: list[ast.stmt]) -> Meaning:
        reader = _Reader(self)
        reader.read(statements)
        return reader.meaning()

    def absolute(self, name: str) -> str | None:
        """Return the dotted name of a module-level name, None for a builtin."""
        if name in self.definitions or name in self.imports or self.stars:
            return f"{self.name}.{name}"
        return None

    def local_imports(self, statements: Iterable[ast.AST]) -> dict[str, str]:
        """Return what lazy imports in a function body bind: alias -> dotted target."""
        return imported_names(statements, self._package)[0]


class _Reader:
    """Walks definitions once: writes their normalised text and resolves the names in it.

    Where scopes are in doubt a name counts as the module's: reached once too often costs a
    re-run, missed once costs a stale result.
    """

    def __init__(self, module: SourceModule) -> None:
        self._module = module
        self._scopes: list[dict[str, str | None]] = []
        """Names local to each open function: to the target of a lazy import, or to None."""
        self._text: list[str] = []
        self._uses: set[str] = set()
        self._mentions: set[str] = set()
        self._imported: set[str] = set()

    def meaning(self) -> Meaning:
        """Return what was read so far."""
        # Which import stands behind a name is part of it: `loads` of json or of orjson.
        text = "".join([*self._text, "|", *sorted(self._imported)])
        digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
        return Meaning(digest, frozenset(self._uses), frozenset(self._mentions))

    def read(self, value: object) -> None:
        """Write any field of a syntax tree: a node, a list of them or a constant."""
        if isinstance(value, list):
            self._text.append("[")
            for item in value:
                if not _says_nothing(item):
                    self.read(item)
                    self._text.append(",")
            self._text.append("]")
        elif isinstance(value, (ast.Name, ast.Attribute)):
            self._name(value)
        elif isinstance(value, (*FUNCTIONS, ast.Lambda)):
            self._function(value)
        elif isinstance(value, COMPREHENSIONS):
            self._comprehension(value)
        elif isinstance(value, ast.ClassDef):
            self._class(value)
        elif isinstance(value, ast.AnnAssign):
            self._annotated(value)
        elif isinstance(value, ast.AST):
            self._fields(value)
        else:
            self._text.append(repr(value))

    def _fields(self, node: ast.AST, skip: tuple[str, ...] = ()) -> None:
        self._text.append(type(node).__name__ + "(")
        for name, value in ast.iter_fields(node):
            # Empty fields are left out: Python versions differ in which of them exist.
            if name in _SILENT_FIELDS or name in skip or value == []:
                continue
            if value is not None or isinstance(node, ast.Constant):
                self._text.append(name + "=")
                self.read(value)
                self._text.append(";")
        self._text.append(")")

    def _name(self, node: ast.Name | ast.Attribute) -> None:
        root, attributes = _chain(node)
        if root is None:
            self._fields(node)
            return
        self._text.append("Name(" + ".".join([root.id, *attributes]) + ")")
        target = self._target(root.id) if isinstance(root.ctx, ast.Load) else None
        if target is not None:
            self._uses.add(".".join([target, *attributes]))

    def _target(self, name: str) -> str | None:
        for scope in reversed(self._scopes):
            if name in scope:
                return scope[name]
        if name in self._module.imports:
            self._imported.add(f"{name}={self._module.imports[name]},")
        return self._module.absolute(name)

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> None:
        arguments = node.args
        self.read(arguments.defaults)
        self.read(arguments.kw_defaults)
        self.read(getattr(node, "decorator_list", []))
        every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        every += [one for one in (arguments.vararg, arguments.kwarg) if one is not None]
        for annotation in (*(one.annotation for one in every), getattr(node, "returns", None)):
            self._mention(annotation)
        body: list[ast.AST] = [*node.body] if isinstance(node.body, list) else [node.body]
        local: dict[str, str | None] = dict.fromkeys(bound_names(body))
        local.update(dict.fromkeys(one.arg for one in every))
        local.update(self._module.local_imports(body))
        self._scopes.append(local)
        self._fields(arguments, skip=("defaults", "kw_defaults"))
        self._fields(node, skip=("args", "decorator_list"))
        self._scopes.pop()

    def _comprehension(
        self, node: ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp
    ) -> None:
        self.read(node.generators[0].iter)  # evaluated outside: `[rule for rule in rule]`
        self._scopes.append(dict.fromkeys(bound_names(part.target for part in node.generators)))
        self._fields(node)
        self._scopes.pop()

    def _class(self, node: ast.ClassDef) -> None:
        self._fields(node, skip=("body",))
        self._text.append("{")
        for statement in node.body:
            if isinstance(statement, ast.AnnAssign):
                self.read([statement.target, statement.annotation])
            self.read([statement])
        self._text.append("}")

    def _annotated(self, node: ast.AnnAssign) -> None:
        self._mention(node.annotation)
        if node.value is not None:
            self._fields(ast.Assign(targets=[node.target], value=node.value))

    def _mention(self, annotation: ast.expr | None) -> None:
        for node in ast.walk(annotation) if annotation is not None else ():
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                self._mention(_forward_reference(node.value))
            elif isinstance(node, (ast.Name, ast.Attribute)):
                root, attributes = _chain(node)
                target = self._target_of_annotation(root.id) if root else None
                if target is not None:
                    self._mentions.add(".".join([target, *attributes]))

    def _target_of_annotation(self, name: str) -> str | None:
        lazy = next((scope[name] for scope in reversed(self._scopes) if scope.get(name)), None)
        return lazy or self._module.absolute(name)


def _chain(node: ast.expr) -> tuple[ast.Name | None, list[str]]:
    """Split `a.b.c` into its root name and its attributes; no root for `f().b`."""
    attributes: list[str] = []
    while isinstance(node, ast.Attribute):
        attributes.append(node.attr)
        node = node.value
    return (node if isinstance(node, ast.Name) else None), attributes[::-1]


def _says_nothing(item: object) -> bool:
    """Whether a statement does nothing: `pass`, a docstring, the `...` of a stub."""
    return isinstance(item, ast.Pass) or (
        isinstance(item, ast.Expr) and isinstance(item.value, ast.Constant)
    )


def _only_imports(statement: ast.stmt) -> bool:
    inner = (node for node in walk_scope([statement]) if isinstance(node, ast.stmt))
    return all(
        isinstance(node, (*_IMPORTS, ast.If, ast.Try)) or _says_nothing(node) for node in inner
    )


def _is_main_guard(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.If)
        and isinstance(statement.test, ast.Compare)
        and isinstance(statement.test.left, ast.Name)
        and statement.test.left.id == "__name__"
    )


def _forward_reference(text: str) -> ast.expr | None:
    try:
        return ast.parse(text, mode="eval").body
    except SyntaxError:
        return None
