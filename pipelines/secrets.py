"""Secrets are references to environment variables, never values: in recipes, records and logs."""

import os
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence

from pydantic import ConfigDict, RootModel, field_validator

from pipelines.errors import InputError

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SECRET_NAME = re.compile(r"(TOKEN|KEY|SECRET|PASSWORD|PASSWD|CREDENTIAL)S?(_|$)", re.IGNORECASE)
_CREDENTIALS: Mapping[str, re.Pattern[str]] = {
    "an AWS access key": re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{12,}"),
    "a Hugging Face token": re.compile(r"\bhf_[A-Za-z0-9]{16,}"),
    "an API key": re.compile(r"\bsk-[A-Za-z0-9_-]{16,}"),
    "a GitHub token": re.compile(r"\b(?:gh[pousr]_[A-Za-z0-9]{16,}|github_pat_\w{16,})"),
    "a private key": re.compile(r"-----BEGIN [A-Z ]*(?:PRIVATE KEY)?[^\n]*"),
    "an address with a password": re.compile(r"(?<=://)[^/\s:@]*:[^/\s@]+(?=@)"),
}
"""What a credential looks like; the part that matches is what must not be shown."""
_PLAIN = re.compile(r"[\w@%+=:,./~$\[\]-]+")
"""A word that needs no quotes; what stands for a secret is one."""
_SHORTEST = 4
_TELLING = 8
"""Shorter values are taken out of a record, but do not refuse a recipe: `data` may be chance."""
_WORDS = frozenset({"true", "false", "none", "null", "auto", "default"})


class SecretRef(RootModel[str]):
    """A secret as a config may hold it: `env:NAME`; the value is read where it is needed."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    @field_validator("root")
    @classmethod
    def _a_reference(cls, text: str) -> str:
        scheme, colon, name = text.partition(":")
        if scheme != "env" or not colon or not _NAME.fullmatch(name):
            raise ValueError(
                "found something other than a reference (not shown: it may be the secret itself); "
                "allowed: env:NAME, the name of an environment variable that holds the value"
            )
        return text

    @property
    def variable(self) -> str:
        """The environment variable that holds the value."""
        return self.root.removeprefix("env:")

    def read(self) -> str:
        """Return the value; raises InputError, which names the variable, where it is not set."""
        value = os.environ.get(self.variable)
        if not value:
            raise InputError(
                f"the environment variable {self.variable} is not set, but a secret is read from "
                f"it. Set it where the run starts: export {self.variable}=..."
            )
        return value

    def __str__(self) -> str:
        return self.root


def credential_in(text: str, environment: Mapping[str, str] | None = None) -> str | None:
    """Return what kind of credential a text holds, None where it holds none.

    Besides the well-known forms, the value of any environment variable with a secret's name.
    """
    for kind, pattern in _CREDENTIALS.items():
        if pattern.search(text):
            return kind
    for name, value in _secrets(os.environ if environment is None else environment):
        if len(value) >= _TELLING and value in text:
            return f"the value of the environment variable {name}"
    return None


def redacted(words: Sequence[str], environment: Mapping[str, str] | None = None) -> str:
    """Return a command line fit to be recorded: `$NAME` and `[redacted]` where a secret stood.

    Words that a shell would take apart are quoted, so that the line can be run again.
    """
    secrets = list(_secrets(os.environ if environment is None else environment))
    shown = [_without(secrets, word) for word in words]
    line = " ".join(shown)
    hidden = _without(secrets, line)
    if hidden != line:  # a secret with a space in it, as two words: hiding it comes first
        return hidden
    return " ".join(word if _PLAIN.fullmatch(word) else shlex.quote(word) for word in shown)


def _without(secrets: Sequence[tuple[str, str]], text: str) -> str:
    for name, value in secrets:
        text = text.replace(value, f"${name}")
    for pattern in _CREDENTIALS.values():
        text = pattern.sub("[redacted]", text)
    return text


def _secrets(environment: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the variables whose name says secret, longest value first: one may hold another."""
    found = [
        (name, value)
        for name, value in environment.items()
        if _SECRET_NAME.search(name) and len(value) >= _SHORTEST and value.casefold() not in _WORDS
    ]
    yield from sorted(found, key=lambda pair: (-len(pair[1]), pair[0]))
