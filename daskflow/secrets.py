"""Secrets: which a task may read, and where they are found.

A secret of the group ``db`` and the key ``password`` is looked for in this order; names are Flyte's where it has one:

1. the environment variable ``_FSEC_DB_PASSWORD``, then ``DASKFLOW_SECRET_DB_PASSWORD``; in process ``DB_PASSWORD`` as well;
2. the file ``db/password`` under the directory of the configuration key ``daskflow.secrets.directory``.

A version stands between group and key. Text from files has no blanks around it. Values show in no message, log or ``repr`` of ours.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal, NamedTuple, overload

from daskflow.errors import OptionError, SecretError

_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\Z")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_PREFIXES = ("_FSEC_", "DASKFLOW_SECRET_")


class MountType(Enum):
    """Where a secret may come from."""

    ANY = 0
    ENV_VAR = 1
    FILE = 2


@dataclass(frozen=True)
class Secret:
    """A secret that a task requests with ``secret_requests``.

    Parameters
    ----------
    group : str
        The name of the secret.
    key : str, optional
        One of its keys; all of them if it is not given.
    group_version : str, optional
        Its version.
    mount_requirement : MountType
        Whether it may come from an environment variable, a file, or either.
    env_var : str, optional
        A variable of the attempt's environment that gets the secret; where a file is required, the file's path.

    Raises
    ------
    OptionError
        When `group` is missing, or a name has characters that it cannot have.

    Examples
    --------
    >>> Secret("db", "password", env_var="PGPASSWORD").name
    'db/password'
    """

    group: str | None = None
    key: str | None = None
    group_version: str | None = None
    mount_requirement: MountType = MountType.ANY
    env_var: str | None = None

    MountType = MountType

    def __post_init__(self) -> None:
        if self.group is None:
            raise OptionError("Secret needs a group: the secret's name")
        for name in ("group", "key", "group_version"):
            value = getattr(self, name)
            if value is not None and not (isinstance(value, str) and _PART.match(value)):
                raise OptionError(f"{name} of Secret must be letters, digits, '.', '_' and '-'; got {value!r}")
        if not isinstance(self.mount_requirement, MountType):
            raise OptionError(f"mount_requirement of Secret must be a Secret.MountType; got {self.mount_requirement!r}")
        if self.env_var is not None and not (isinstance(self.env_var, str) and _VARIABLE.match(self.env_var)):
            raise OptionError(f"env_var of Secret must be the name of an environment variable; got {self.env_var!r}")

    @property
    def name(self) -> str:
        """Group, version and key, as far as they are there."""
        return "/".join(self.parts)

    @property
    def parts(self) -> list[str]:
        """Group, version and key, as far as they are there."""
        return [one for one in (self.group, self.group_version, self.key) if one]

    def covers(self, other: Secret) -> bool:
        """Tell whether who requested this one may read the other one."""
        same = self.group == other.group and self.group_version in (None, other.group_version)
        return same and self.key in (None, other.key)


def directory() -> str:
    """Return where files with secrets are, as configured."""
    from daskflow import config

    return str(config.get("secrets.directory"))


#: By which a process that is started now has the same directory.
DIRECTORY_VARIABLE = "DASK_DASKFLOW__SECRETS__DIRECTORY"


class _Found(NamedTuple):
    data: bytes
    is_file: bool

    def __repr__(self) -> str:
        return "<a secret>"


class _Group:
    """The keys of a group, as attributes."""

    def __init__(self, secrets: SecretsManager, group: str) -> None:
        self._secrets, self._group = secrets, group

    def __getattr__(self, key: str) -> str:
        if key.startswith("_"):
            raise AttributeError(key)
        return self._secrets.get(self._group, key)

    def __repr__(self) -> str:
        return f"<secrets of the group {self._group}>"


class SecretsManager:
    """Reads the secrets that a task has requested; ``current_context().secrets``.

    Parameters
    ----------
    requested
        What may be read; ``None`` for all, as outside of tasks.
    owner
        The task, for messages.
    local
        Whether variables without a prefix count, as they do in process.
    directory
        Where files are; by default what is configured.
    """

    def __init__(self, requested: Iterable[Secret] | None, owner: str, *, local: bool, directory: str | None = None) -> None:
        self._requested = None if requested is None else tuple(requested)
        self._owner = owner
        self._prefixes = (*_PREFIXES, "") if local else _PREFIXES
        self._directory = directory

    @overload
    def get(self, group: str, key: str | None = ..., group_version: str | None = ..., encode_mode: Literal["r"] = ...) -> str: ...
    @overload
    def get(self, group: str, key: str | None = ..., group_version: str | None = ..., *, encode_mode: Literal["rb"]) -> bytes: ...
    def get(self, group: str, key: str | None = None, group_version: str | None = None, encode_mode: str = "r") -> str | bytes:
        """Return a secret.

        Parameters
        ----------
        group, key, group_version
            Which one.
        encode_mode
            ``"r"`` for text, ``"rb"`` for bytes.

        Raises
        ------
        SecretError
            When it is not there, or the task did not request it.
        OptionError
            When a name or the mode is none.
        """
        if encode_mode not in ("r", "rb"):
            raise OptionError(f"encode_mode of secrets.get must be 'r' or 'rb'; got {encode_mode!r}")
        secret = self._permitted(Secret(group, key, group_version))
        found = self._found(secret)
        return found.data if encode_mode == "rb" else self._text(secret, found)

    def __getattr__(self, group: str) -> _Group:
        # Flyte's other way to write it: secrets.group.key
        if group.startswith("_"):
            raise AttributeError(group)
        return _Group(self, group)

    def get_secrets_env_var(self, group: str, key: str | None = None, group_version: str | None = None) -> str:
        """Return the name of the environment variable that is looked for first."""
        return self._variables(Secret(group, key, group_version))[0]

    def get_secrets_file(self, group: str, key: str | None = None, group_version: str | None = None) -> str:
        """Return the path of the file that is looked for."""
        return self._file(Secret(group, key, group_version))

    def variables(self) -> dict[str, str]:
        """Return what ``env_var=`` of the requests puts into the attempt's environment.

        Raises
        ------
        SecretError
            When one of these secrets is not there.
        """
        return {one.env_var: self._for_variable(one) for one in self._requested or () if one.env_var is not None}

    def _for_variable(self, secret: Secret) -> str:
        found = self._found(secret)
        return self._file(secret) if secret.mount_requirement is MountType.FILE else self._text(secret, found)

    def _text(self, secret: Secret, found: _Found) -> str:
        try:
            return found.data.decode().strip() if found.is_file else os.fsdecode(found.data)
        except UnicodeDecodeError:
            # The error itself has the value.
            pass
        raise SecretError(f"the secret {secret.name} of {self._owner} is no text: read it with encode_mode='rb'")

    def _permitted(self, secret: Secret) -> Secret:
        """Return the request that a secret is read by, with the secret's own names."""
        if self._requested is None:
            return secret
        for one in self._requested:
            if one.covers(secret):
                return Secret(secret.group, secret.key, secret.group_version, one.mount_requirement)
        names = ", ".join(repr(part) for part in secret.parts)
        raise SecretError(f"{self._owner} reads the secret {secret.name}, which it did not request: add secret_requests=[Secret({names})]")

    def _found(self, secret: Secret) -> _Found:
        if secret.mount_requirement is not MountType.FILE:
            for name in self._variables(secret):
                if name in os.environ:
                    return _Found(os.fsencode(os.environ[name]), is_file=False)
        if secret.mount_requirement is not MountType.ENV_VAR:
            try:
                with open(self._file(secret), "rb") as file:
                    return _Found(file.read(), is_file=True)
            except OSError:
                pass
        raise SecretError(f"{self._owner} needs the secret {secret.name}, which is not there; looked for {self._looked_for(secret)}")

    def _looked_for(self, secret: Secret) -> str:
        places = [f"the environment variable {name}" for name in self._variables(secret)]
        places = [] if secret.mount_requirement is MountType.FILE else places
        if secret.mount_requirement is not MountType.ENV_VAR:
            places.append(f"the file {self._file(secret)}")
        return ", ".join(places)

    def _variables(self, secret: Secret) -> list[str]:
        name = "_".join(secret.parts).upper()
        plain = re.sub(r"[^A-Z0-9_]", "_", name)
        return list(dict.fromkeys(prefix + one for prefix in self._prefixes for one in (name, plain)))

    def _file(self, secret: Secret) -> str:
        return os.path.join(self._directory or directory(), *(part.lower() for part in secret.parts))

    def __repr__(self) -> str:
        names = "all" if self._requested is None else ", ".join(one.name for one in self._requested) or "none"
        return f"<secrets of {self._owner}: {names}>"


def check_requests(value: Any, owner: str) -> tuple[Secret, ...]:
    """Return ``secret_requests`` as a tuple.

    Raises
    ------
    OptionError
        When it is no list of secrets.
    """
    if not isinstance(value, Sequence) or isinstance(value, str) or not all(isinstance(one, Secret) for one in value):
        raise OptionError(f"secret_requests of {owner} must be a list of Secret; got {value!r}")
    return tuple(value)
