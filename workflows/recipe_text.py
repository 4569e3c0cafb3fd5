"""The YAML of a recipe, read so that every error can name the line it is about."""

from typing import Any

import yaml

from workflows.errors import RecipeError

KeyPath = tuple[str | int, ...]


class RecipeText:
    """The YAML text of a recipe: its values, and the line on which each key stands."""

    def __init__(self, text: str, file: str) -> None:
        self.file = file
        self.lines: dict[KeyPath, int] = {}
        try:
            node = yaml.compose(text, Loader=yaml.SafeLoader)
            self.value = self._build(node, ()) if node is not None else None
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            line = f":{mark.line + 1}" if mark else ""
            problem = getattr(error, "problem", None) or error
            raise RecipeError(f"{file}{line}: not valid YAML: {problem}") from error
        except RecursionError as error:
            raise RecipeError(f"{file}: a value holds itself (&name with *name inside)") from error

    def _build(self, node: yaml.Node, path: KeyPath) -> Any:
        self.lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            result: dict[str, Any] = {}
            for key_node, value_node in node.value:
                key = str(key_node.value)
                line = key_node.start_mark.line + 1
                if key in result:
                    raise RecipeError(f"{self.file}:{line}: the key '{key}' stands here twice")
                self.lines[(*path, key)] = line
                result[key] = self._build(value_node, (*path, key))
            return result
        if isinstance(node, yaml.SequenceNode):
            return [self._build(child, (*path, i)) for i, child in enumerate(node.value)]
        try:
            return yaml.SafeLoader("").construct_object(node)
        except ValueError as error:  # what looks like a date and is none
            line = node.start_mark.line + 1
            raise RecipeError(
                f"{self.file}:{line}: found {node.value!r}, which YAML takes for a "
                f"{node.tag.rpartition(':')[2]}: {error}. Write it in quotes if it is text"
            ) from error

    def error(self, path: KeyPath, message: str) -> RecipeError:
        """Return an error that names the line of a key (or of the nearest enclosing one)."""
        where = path
        while where and where not in self.lines:
            where = where[:-1]
        dotted = ".".join(str(part) for part in path)
        line = self.lines.get(where, 1)
        return RecipeError(f"{self.file}:{line}: {dotted + ': ' if dotted else ''}{message}")
