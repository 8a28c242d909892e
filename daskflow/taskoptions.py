"""Options of tasks and dynamics that say how an attempt runs, and what is known of the entity: :class:`TaskOptions`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, ClassVar, TypedDict

from daskflow.attemptpolicy import NO_RETRY, RECOVERABLE, Retry, Timeout, seconds
from daskflow.caching import Cache
from daskflow.errors import OptionError
from daskflow.resources import Resources, check_limits
from daskflow.secrets import Secret, check_requests


@dataclass(frozen=True)
class Documentation:
    """What is said of an entity besides its docstring.

    Parameters
    ----------
    short_description, long_description : str, optional
        In one line, and at length.
    source_code : str, optional
        A link to the source.
    """

    short_description: str | None = None
    long_description: str | None = None
    source_code: str | None = None

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value is not None and not isinstance(value, str):
                raise OptionError(f"{name} of Documentation must be text; got {value!r}")


class TaskKeywords(TypedDict, total=False):
    """The keywords of :func:`~daskflow.task.task`, :func:`~daskflow.dynamic.dynamic` and :class:`~daskflow.environment.Environment`."""

    cache: bool | Cache
    cache_version: str
    cache_serialize: bool
    cache_ignore_input_vars: tuple[str, ...]
    retries: int | Retry
    timeout: float | timedelta | Timeout | None
    environment: Mapping[str, str] | None
    requests: Resources | None
    limits: Resources | None
    resources: Resources | None
    secret_requests: Sequence[Secret] | None
    deprecated: str
    docs: Documentation | str | None
    pickle_untyped: bool
    container_image: Any
    pod_template: Any
    pod_template_name: str | None
    accelerator: Any
    shared_memory: bool | str | None
    interruptible: bool | None
    enable_deck: bool | None
    disable_deck: bool | None
    deck_fields: Any
    task_resolver: Any
    execution_mode: Any
    labels: Mapping[str, str] | None
    annotations: Mapping[str, str] | None
    task_config: Any


class DynamicKeywords(TaskKeywords, total=False):
    """The keywords of :func:`~daskflow.dynamic.dynamic`."""

    node_dependency_hints: Any


@dataclass(frozen=True)
class TaskOptions:
    """The options of a task or dynamic, or of one call of it; of a dynamic they are about its body.

    Attributes
    ----------
    retries : Retry
        When another attempt is made.
    timeout : Timeout or None
        How long an attempt may last.
    environment : mapping of str to str
        Environment variables of an attempt.
    requests, limits : Resources or None
        What it needs, and the most that it may use.
    secret_requests : tuple of Secret
        The secrets that it may read.
    deprecated : str
        What to say to who calls it, if anything.
    docs : Documentation or None
        What is said of it besides its docstring.
    pickle_untyped : bool
        Whether what has no annotation may be anything.
    plain : bool
        Whether nothing is set that changes how an attempt runs: its function is called, and that is all.
    """

    retries: Retry = NO_RETRY
    timeout: Timeout | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    requests: Resources | None = None
    limits: Resources | None = None
    secret_requests: tuple[Secret, ...] = ()
    deprecated: str = ""
    docs: Documentation | None = None
    pickle_untyped: bool = False
    plain: bool = field(init=False, compare=False, repr=False)

    #: The names of the options, as users write them.
    NAMES: ClassVar[tuple[str, ...]] = (
        "retries", "timeout", "environment", "requests", "limits", "resources", "secret_requests", "deprecated", "docs", "pickle_untyped",
    )  # fmt: skip
    #: Those that one call can have otherwise.
    OVERRIDES: ClassVar[tuple[str, ...]] = NAMES[:7]

    def __post_init__(self) -> None:
        # What a task may read of secrets its context knows by the options.
        needs = bool(self.environment) or bool(self.secret_requests) or bool(self.dask_resources())
        object.__setattr__(self, "plain", not self.retries.count and self.timeout is None and not needs)

    @classmethod
    def of(cls, given: Mapping[str, Any], owner: str) -> TaskOptions:
        """Return the options of an entity; what is in `given` besides them is left alone.

        Parameters
        ----------
        given
            By name, as users wrote them.
        owner
            The entity, for messages.

        Raises
        ------
        OptionError
            When a value is not one that the option can have.
        """
        return PLAIN._with({name: given[name] for name in cls.NAMES if name in given}, owner)

    def overridden(self, given: Mapping[str, Any], owner: str) -> TaskOptions:
        """Return the options of one call; a ``None`` takes back what the entity says.

        Raises
        ------
        OptionError
            As for :meth:`of`.
        """
        return self._with({name: given[name] for name in self.OVERRIDES if name in given}, owner)

    def _with(self, given: dict[str, Any], owner: str) -> TaskOptions:
        if not given:
            return self
        if given.get("resources") is not None:
            given = _split(given, owner)
        given.pop("resources", None)
        changed = replace(self, **{name: _CHECKS[name](value, owner) for name, value in given.items()})
        check_limits(changed.requests, changed.limits, owner)
        changed._check_variables(owner)
        return changed

    def _check_variables(self, owner: str) -> None:
        names = [*self.environment, *(one.env_var for one in self.secret_requests if one.env_var is not None)]
        for name in names:
            if names.count(name) > 1:
                raise OptionError(f"{owner} sets the environment variable {name} twice, by environment or by the env_var of its secrets")

    def next_delay(self, attempt: int, error: BaseException) -> float | None:
        """Return the seconds to wait before another attempt; ``None`` where there is to be none. Attempts count from 0."""
        return self.retries.next_delay(attempt, error)

    def dask_resources(self) -> dict[str, float]:
        """Return what a Dask worker must have for it: the requests, or the limits where only those are given, as in Kubernetes."""
        return {**(self.limits.dask() if self.limits else {}), **(self.requests.dask() if self.requests else {})}


#: The options of who says nothing.
PLAIN = TaskOptions()


def _split(given: dict[str, Any], owner: str) -> dict[str, Any]:
    resources = given["resources"]
    both = [name for name in ("requests", "limits") if given.get(name) is not None]
    if both:
        raise OptionError(
            f"{owner} has both resources and {both[0]}; say it all in resources, as in resources=Resources(mem=('1Gi', '2Gi'))"
        )
    if not isinstance(resources, Resources):
        raise OptionError(f"resources of {owner} must be Resources, such as Resources(cpu=2); got {resources!r}")
    return {**given, "requests": resources.requested(), "limits": resources.limited()}


def _retries(value: Any, owner: str) -> Retry:
    if value is None:
        return NO_RETRY
    if isinstance(value, Retry):
        return value
    if type(value) is not int or value < 0:
        raise OptionError(f"retries of {owner} must be an int from 0 on, or a Retry; got {value!r}")
    return Retry(value, on=RECOVERABLE)


def _timeout(value: Any, owner: str) -> Timeout | None:
    if value is None or isinstance(value, Timeout):
        return value
    # Flyte's default, 0, is for no timeout.
    if value == timedelta(0) or (value == 0 and not isinstance(value, bool)):
        return None
    try:
        return Timeout(seconds(value, "timeout", owner))
    except OptionError as error:
        raise OptionError(f"{error}; a Timeout says more, and None is for no timeout") from None


def _environment(value: Any, owner: str) -> Mapping[str, str]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise OptionError(f"environment of {owner} must be a dict of text by variable; got {value!r}")
    for name, text in value.items():
        if not isinstance(name, str) or not name or "=" in name or "\0" in name:
            raise OptionError(f"environment of {owner} has {name!r}, which cannot be the name of a variable")
        if not isinstance(text, str) or "\0" in text:
            raise OptionError(f"environment of {owner} must have text as values; {name} is {text!r}: write {name}='{text}'")
    return dict(value)


def _amounts(option: str) -> Callable[[Any, str], Resources | None]:
    def check(value: Any, owner: str) -> Resources | None:
        if value is not None and not isinstance(value, Resources):
            raise OptionError(f"{option} of {owner} must be Resources, such as Resources(cpu=2); got {value!r}")
        if value is not None and value.has_pairs:
            raise OptionError(f"{option} of {owner} has a pair of a request and a limit; give it as resources: {value!r}")
        return value

    return check


def _documentation(value: Any, owner: str) -> Documentation | None:
    if isinstance(value, str):
        return Documentation(short_description=value)
    if value is not None and not isinstance(value, Documentation):
        raise OptionError(f"docs of {owner} must be Documentation or text; got {value!r}")
    return value


def _of_type(option: str, kind: type) -> Callable[[Any, str], Any]:
    def check(value: Any, owner: str) -> Any:
        if not isinstance(value, kind):
            raise OptionError(f"{option} of {owner} must be {kind.__name__}; got {value!r}")
        return value

    return check


_CHECKS: dict[str, Callable[[Any, str], Any]] = {
    "retries": _retries,
    "timeout": _timeout,
    "environment": _environment,
    "requests": _amounts("requests"),
    "limits": _amounts("limits"),
    "secret_requests": lambda value, owner: () if value is None else check_requests(value, owner),
    "deprecated": _of_type("deprecated", str),
    "docs": _documentation,
    "pickle_untyped": _of_type("pickle_untyped", bool),
}
