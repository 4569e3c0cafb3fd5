"""The code closure: a hash over a stage function and all project code that it reaches by name.

From the named function it follows functions, classes with their bases and methods, decorators,
default arguments, module-level constants and tables, attribute access on modules, lazy imports and
the classes that annotations name (a stage calls the methods of the config it is handed). It reads
source files and imports nothing: importing torch to make a plan would cost seconds.

What it cannot see, and what to do about it:
    getattr(module, "name"), importlib with a computed name    name the function somewhere
    subclasses and registrations that only the caller knows    list them in a visible table
    data files, models, environment variables                  make them an input or a config field
    packages outside PACKAGES                                  the manifest records their versions
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from workflows.code.definitions import Meaning, SourceModule
from workflows.environment import PROJECT
from workflows.errors import RefError, WorkflowError

PACKAGES = ("filters", "llada", "pipelines", "workflows")


@dataclass(frozen=True)
class CodeClosure:
    """The code behind a stage."""

    digest: str
    parts: Mapping[str, str]
    """Qualified name ("pipelines.text.normalise") -> hash of its normalised source."""


def closure(name: str, root: Path = PROJECT) -> CodeClosure:
    """Return the closure of a function or class by its dotted name ("pipelines.filter.run").

    Raises:
        RefError: nothing of that name is defined in the packages under `root`.
        WorkflowError: a file on the way is not valid Python.
    """
    walk = _Walk(root)
    start = walk.resolve(name)
    if not start or start[0][1] is None:
        raise RefError(
            f"cannot hash the code of {name!r}: no function or class of that name stands at the "
            f"top level of a module in {', '.join(PACKAGES)} under {root}. Stage functions are "
            "top-level functions: move it there."
        )
    walk.follow(name)
    listed = "\n".join(f"{part} {digest}" for part, digest in sorted(walk.parts.items()))
    return CodeClosure(
        hashlib.sha256(listed.encode()).hexdigest(), dict(sorted(walk.parts.items()))
    )


def difference(old_parts: Mapping[str, str], new_parts: Mapping[str, str]) -> list[str]:
    """Say what differs between two closures, one line a part: changed, then added, then removed."""
    both = sorted(old_parts.keys() & new_parts.keys())
    return [
        *(f"{part} changed" for part in both if old_parts[part] != new_parts[part]),
        *(f"{part} added" for part in sorted(new_parts.keys() - old_parts.keys())),
        *(f"{part} removed" for part in sorted(old_parts.keys() - new_parts.keys())),
    ]


class _Walk:
    """Follows names from one definition to all that it reaches; each is visited once."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._modules: dict[str, SourceModule | None] = {}
        self._visited: set[tuple[str, bool]] = set()
        self.parts: dict[str, str] = {}

    def follow(self, name: str) -> None:
        """Collect the parts of everything that `name` reaches."""
        waiting = [(name, False)]
        while waiting:
            target, mentioned = waiting.pop()
            if (target, mentioned) in self._visited:
                continue
            self._visited.add((target, mentioned))
            for module, defined in self.resolve(target):
                for meaning, only_mentioned in self._reach(module, defined, mentioned):
                    waiting += [(use, only_mentioned) for use in meaning.uses]
                    waiting += [(mention, True) for mention in meaning.mentions]

    def _reach(
        self, module: SourceModule, defined: str | None, mentioned: bool
    ) -> Iterator[tuple[Meaning, bool]]:
        """Yield what to go on from; an alias that an annotation mentions is looked through."""
        if mentioned and (defined is None or module.is_function(defined)):
            return
        if mentioned and defined is not None and module.class_of(defined) is None:
            yield from ((meaning, True) for meaning in module.parts(defined).values())
            return
        names = module.definitions if defined is None else (defined,)
        found = {part: meaning for one in names for part, meaning in module.parts(one).items()}
        for part, meaning in found.items():
            self.parts[f"{module.name}.{part}"] = meaning.digest
            yield meaning, False
        for imported in self._imported_with(module.name):
            if imported.loose is not None:
                self.parts[f"{imported.name}.<module>"] = imported.loose.digest
                yield imported.loose, False

    def _imported_with(self, name: str) -> Iterator[SourceModule]:
        """Yield a module and the packages it lies in: their bodies run when it is imported."""
        while name:
            module = self._module(name)
            if module is not None:
                yield module
            name = name.rpartition(".")[0]

    def resolve(self, target: str) -> list[tuple[SourceModule, str | None]]:
        """Return where a dotted name is defined; (module, None) for a module used as a value.

        A name that is both assigned and imported (`try: import ... except: x = None`) has two
        places; one that the project does not define has none.
        """
        found: list[tuple[SourceModule, str | None]] = []
        redirected: set[tuple[str, str]] = set()
        waiting = [target]
        while waiting:
            module, rest = self._enter(waiting.pop(), redirected)
            if module is None:
                continue
            if not rest:
                found.append((module, None))
                continue
            name = rest[0]
            if name in module.definitions:
                found.append((module, name))
            if (module.name, name) in redirected:
                continue
            redirected.add((module.name, name))
            if name in module.imports:
                waiting.append(".".join([module.imports[name], *rest[1:]]))
            elif name not in module.definitions:
                waiting += [".".join([star, *rest]) for star in module.stars]
                if "__getattr__" in module.definitions:
                    found.append((module, "__getattr__"))
        return found

    def _enter(
        self, dotted: str, redirected: set[tuple[str, str]]
    ) -> tuple[SourceModule | None, list[str]]:
        """Walk packages as far as the name leads; an attribute hides a submodule of its name."""
        first, *names = dotted.split(".")
        module = self._module(first) if first in PACKAGES else None
        while module is not None and names:
            name = names[0]
            hidden = name in module.definitions or (
                name in module.imports
                and module.imports[name] != f"{module.name}.{name}"
                and (module.name, name) not in redirected
            )
            inner = None if hidden else self._module(f"{module.name}.{name}")
            if inner is None:
                break
            module, names = inner, names[1:]
        return module, names

    def _module(self, name: str) -> SourceModule | None:
        if name not in self._modules:
            self._modules[name] = _load(self._root, name)
        return self._modules[name]


def _load(root: Path, name: str) -> SourceModule | None:
    base = root.joinpath(*name.split("."))
    for path in (base / "__init__.py", base.with_name(base.name + ".py")):
        try:
            state = path.stat()
        except (FileNotFoundError, NotADirectoryError):
            continue
        return _parsed(path, name, state.st_mtime_ns, state.st_size)
    return None


@cache
def _parsed(path: Path, name: str, _mtime_ns: int, _size: int) -> SourceModule:
    try:
        return SourceModule(
            name, path.read_text(encoding="utf-8"), is_package=path.name == "__init__.py"
        )
    except (SyntaxError, ValueError) as error:
        raise WorkflowError(
            f"cannot hash the code in {path}: {error}. Repair the file and run again."
        ) from error
