"""References pass, values do not: neither into a config nor into what is recorded."""

import shlex

import pytest
from pydantic import BaseModel, ValidationError

from pipelines.errors import InputError
from pipelines.secrets import SecretRef, credential_in, redacted

# Put together here, so that no scanner takes this file for a leak.
CREDENTIALS = (
    "AKIA" + "IOSFODNN7EXAMPLE",
    "hf_" + "abcdefghijklmnopqrstuvwxyz",
    "sk-" + "proj-abcdefghijklmnop1234",
    "ghp_" + "abcdefghijklmnopqrstuvwxyz0123456789",
    "-----BEGIN " + "RSA PRIVATE KEY-----",
    "postgresql://me:" + "hunter2x@db.example.org/mlflow",
)
HARMLESS = (
    "env:HF_TOKEN",
    "sk-learn is a library",
    "hf_internal",
    "s3://bucket/path@2026:x",
    "http://localhost:8000/a@b",
    "AKIA is a prefix",
    "data/sk-1.jsonl",
)


class _Config(BaseModel):
    token: SecretRef


def test_a_reference_is_kept_as_a_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    config = _Config.model_validate({"token": "env:SOME_TOKEN"})
    monkeypatch.setenv("SOME_TOKEN", "value-itself")
    assert config.token.read() == "value-itself"
    assert config.model_dump(mode="json") == {"token": "env:SOME_TOKEN"}
    assert "value-itself" not in f"{config!r} {config} {config.token}"
    monkeypatch.delenv("SOME_TOKEN")
    with pytest.raises(InputError, match="variable SOME_TOKEN is not set"):
        config.token.read()


@pytest.mark.parametrize("text", ["value-itself", "env:", "env:A B", "ENV:A", "env:1A", "env:A\n"])
def test_anything_else_is_refused_without_being_shown(text: str) -> None:
    with pytest.raises(ValidationError, match="allowed: env:NAME") as caught:
        SecretRef(text)
    assert "value-itself" not in str(caught.value)


@pytest.mark.parametrize("text", CREDENTIALS)
def test_credentials_are_known_and_taken_out_of_a_command(text: str) -> None:
    assert credential_in(f"x {text} y", {}) is not None
    shown = redacted(["llada", "run", f"--set=a.b={text}"], {})
    assert "[redacted]" in shown
    assert text not in shown
    assert "hunter2x" not in shown
    assert credential_in(shown, {}) is None


@pytest.mark.parametrize("text", HARMLESS)
def test_harmless_texts_pass(text: str) -> None:
    assert credential_in(text, {}) is None
    assert shlex.split(redacted(["llada", text], {})) == ["llada", text]


def test_a_recorded_command_can_be_run_again() -> None:
    words = ["llada", "run", "my recipe.yaml", "--set", 'a.b={"c": [1, "$x (y)"]}', "--sweep",
             "a.b=[1,2]", ""]  # fmt: skip
    line = redacted(words, {})
    assert shlex.split(line) == words
    assert line.startswith("llada run 'my recipe.yaml' --set ")
    assert "--sweep a.b=[1,2]" in line


def test_a_secret_of_two_words_or_with_quotes_is_taken_out() -> None:
    environment = {"MY_SECRET": "it's a secret"}
    told = redacted(["llada", "--set", "a.b=it's a secret", "it's", "a", "secret"], environment)
    assert told.startswith("llada --set a.b=$MY_SECRET ")
    assert "a secret" not in told


def test_values_of_variables_with_a_secrets_name_are_taken_out() -> None:
    environment = {
        "MY_TOKEN": "abcd-1",
        "MY_TOKEN_2": "abcd-1-longer",
        "DB_PASSWORD": "horse",
        "SOME_SECRET": "true",
        "API_KEY": "x",
        "TOKENIZERS_PARALLELISM": "fast",
        "HOME": "/home/me",
    }
    command = ["llada", "run", "/home/me/horse.yaml", "--set", "a.b=abcd-1-longer,abcd-1", "fast",
               "true", "x"]  # fmt: skip
    assert redacted(command, environment) == (
        "llada run /home/me/$DB_PASSWORD.yaml --set a.b=$MY_TOKEN_2,$MY_TOKEN fast true x"
    )
    assert credential_in("a horse", environment) is None
    assert credential_in("a abcd-1-longer", environment) == (
        "the value of the environment variable MY_TOKEN_2"
    )
