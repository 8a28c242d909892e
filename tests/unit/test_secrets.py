"""Secrets: where they are found, who may read them, and that their values show nowhere."""

from __future__ import annotations

import logging
import os
import pickle
import traceback
from pathlib import Path
from typing import Any

import dask
import pytest

import daskflow as fl
from daskflow.attempts import one_attempt
from daskflow.errors import OptionError, SecretError
from daskflow.outcome import Failure
from daskflow.secrets import MountType, SecretsManager
from daskflow.taskcontext import Place, TaskContext
from daskflow.taskoptions import TaskOptions

VALUE = "s3cr3t-v4lu3"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path) -> Any:
    """A directory with secrets as files, as it is configured."""
    (tmp_path / "db").mkdir()
    (tmp_path / "db" / "password").write_text(f"  {VALUE}\n")
    (tmp_path / "db" / "binary").write_bytes(b"\xff" + VALUE.encode())
    (tmp_path / "db" / "v2").mkdir()
    (tmp_path / "db" / "v2" / "password").write_text("of version 2")
    with dask.config.set({"daskflow.secrets.directory": str(tmp_path)}):
        yield tmp_path


def manager(*requested: fl.Secret, local: bool = True) -> SecretsManager:
    return SecretsManager(requested, "task t", local=local)


DB = fl.Secret("db", "password")


def test_where_secrets_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Flyte's variable comes first, then ours, in process the bare name, then the file; values of files have no blanks around them."""
    secrets = manager(DB)
    assert secrets.get("db", "password") == VALUE
    for name in ("DB_PASSWORD", "DASKFLOW_SECRET_DB_PASSWORD", "_FSEC_DB_PASSWORD"):
        monkeypatch.setenv(name, f"of {name}")
        assert secrets.get("db", "password") == f"of {name}"
        if name == "DB_PASSWORD":
            assert manager(DB, local=False).get("db", "password") == VALUE
    assert secrets.get("db", key="password", encode_mode="rb") == b"of _FSEC_DB_PASSWORD"
    assert secrets.db.password == "of _FSEC_DB_PASSWORD"


def test_groups_versions_and_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request of a group is for all its keys, one of a version for that; names with a dash have variables too."""
    assert manager(fl.Secret("db")).get("db", "password") == VALUE
    assert manager(fl.Secret("db", "password", "v2")).get("db", "password", "v2") == "of version 2"
    assert manager(fl.Secret("db")).get("db", "binary", encode_mode="rb") == b"\xff" + VALUE.encode()
    monkeypatch.setenv("DASKFLOW_SECRET_MY_GROUP", "one key")
    assert manager(fl.Secret("my-group")).get("my-group") == "one key"
    assert manager().get_secrets_env_var("db", "password", "v2") == "_FSEC_DB_V2_PASSWORD"
    assert manager().get_secrets_file("DB", "password").endswith("/db/password")


def test_only_what_was_requested_can_be_read() -> None:
    """A task reads what it said that it needs, and is told how to say it."""
    with pytest.raises(SecretError, match=r"task t reads the secret db/password, .* add secret_requests=\[Secret\('db', 'password'\)\]"):
        manager(fl.Secret("db", "user")).get("db", "password")
    with pytest.raises(SecretError, match="did not request"):
        manager(fl.Secret("db", "password", "v2")).get("db", "password")
    assert isinstance(SecretError(), ValueError)
    outside = fl.current_context().secrets
    assert outside.get("db", "password") == VALUE
    assert repr(outside) == "<secrets of the program: all>"


def test_what_is_missing_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names all places that were looked at, as far as the request allows them."""
    monkeypatch.setenv("OTHER_SECRET", VALUE)
    with pytest.raises(SecretError) as caught:
        manager(fl.Secret("a", "b")).get("a", "b")
    text = str(caught.value)
    assert text.startswith("task t needs the secret a/b, which is not there; looked for the environment variable _FSEC_A_B, ")
    assert text.endswith(f"the environment variable A_B, the file {folder}/a/b")
    for mount, present, absent in ((MountType.ENV_VAR, "variable", "file"), (MountType.FILE, "file", "variable")):
        with pytest.raises(SecretError) as caught:
            manager(fl.Secret("a", "b", mount_requirement=mount)).get("a", "b")
        assert present in str(caught.value)
        assert absent not in str(caught.value)


def test_mount_requirements(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a secret must come from a file, a variable does not count, and the other way round."""
    monkeypatch.setenv("_FSEC_DB_PASSWORD", "of the variable")
    assert manager(fl.Secret("db", "password", mount_requirement=fl.Secret.MountType.FILE)).get("db", "password") == VALUE
    monkeypatch.delenv("_FSEC_DB_PASSWORD")
    with pytest.raises(SecretError):
        manager(fl.Secret("db", "password", mount_requirement=MountType.ENV_VAR)).get("db", "password")


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: fl.Secret(), "Secret needs a group"),
        (lambda: fl.Secret("../etc"), r"group of Secret must be letters.* got '../etc'"),
        (lambda: fl.Secret("a", "b/c"), "key of Secret must be"),
        (lambda: fl.Secret("a", ".."), "key of Secret must be"),
        (lambda: fl.Secret("a", mount_requirement="file"), "mount_requirement of Secret must be a Secret.MountType"),
        (lambda: fl.Secret("a", env_var="1A"), "env_var of Secret must be the name of an environment variable"),
        (lambda: manager(DB).get("db", "password", encode_mode="w"), "encode_mode of secrets.get must be 'r' or 'rb'"),
        (lambda: manager(DB).get("db", "../password"), "key of Secret must be"),
    ],
)
def test_wrong_secrets(make: Any, text: str) -> None:
    """Names cannot lead out of the directory, and what is no option is refused."""
    with pytest.raises(OptionError, match=text):
        make()


# ---------------------------------------------------------------- in tasks


@fl.task(secret_requests=[DB, fl.Secret("db", "password", env_var="PGPASSWORD")])
def connects() -> list[str]:
    return [fl.current_context().secrets.get("db", "password"), os.environ["PGPASSWORD"]]


@fl.task(secret_requests=[fl.Secret("db", "user")])
def asks_for_more() -> str:
    return fl.current_context().secrets.get("db", "password")


@fl.task(secret_requests=[fl.Secret("db", "password", mount_requirement=MountType.FILE, env_var="PGPASSFILE")])
def reads_a_file() -> str:
    return os.environ["PGPASSFILE"]


def test_tasks_read_their_secrets(folder: Path) -> None:
    """A task has what it requested, in its context and in its environment, and nothing else; what follows it has nothing."""
    assert connects() == [VALUE, VALUE]
    assert "PGPASSWORD" not in os.environ
    assert reads_a_file() == f"{folder}/db/password"
    with pytest.raises(SecretError, match="asks_for_more reads the secret db/password, which it did not request"):
        asks_for_more()


def test_processes_of_their_own_have_them() -> None:
    """A killable attempt reads what it requested, and has its variables."""

    def body() -> list[str]:
        return [fl.current_context().secrets.get("db", "password"), os.environ["PGPASSWORD"]]

    options = {"secret_requests": [fl.Secret("db", "password", env_var="PGPASSWORD")], "timeout": fl.Timeout(60, killable=True)}
    with dask.config.set({"daskflow.secrets.directory": "/nowhere"}), pytest.raises(SecretError):
        one_attempt(body, {}, Place("t", options=TaskOptions.of(options, "t")))
    assert one_attempt(body, {}, Place("t", options=TaskOptions.of(options, "t"))) == [VALUE, VALUE]


def test_a_missing_secret_of_the_environment_fails_the_attempt_before_it_begins() -> None:
    """What is to be in the environment is there when the task begins, or the task does not begin."""
    begun: list[int] = []
    options = TaskOptions.of({"secret_requests": [fl.Secret("a", env_var="A")]}, "t")
    with pytest.raises(SecretError, match="task t needs the secret a"):
        one_attempt(lambda: begun.append(1), {}, Place("t", options=options))
    assert begun == []


def test_values_show_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    """No text of ours has a value: not what objects look like, nor errors with all that travels of them, nor logs."""
    caplog.set_level(logging.DEBUG)
    options = TaskOptions.of({"secret_requests": [fl.Secret("db", env_var="PGPASSWORD", key="password")]}, "t")
    context = TaskContext(Place("t", options=options))
    texts = [repr(options), repr(context.secrets), repr(context.secrets.db), repr(context.place)]
    with pytest.raises(SecretError, match="the secret db/binary of task t is no text") as caught:
        manager(fl.Secret("db")).get("db", "binary")
    with pytest.raises(SecretError) as other:
        context.secrets.get("db", "user")
    for error in (caught.value, other.value):
        texts.extend(traceback.format_exception(error))
        texts.append(repr(Failure.of(error)))
        texts.append(repr(pickle.dumps(error.__context__)))
    assert not [text for text in (*texts, caplog.text) if VALUE in text]
