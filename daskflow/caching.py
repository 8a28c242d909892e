"""What users say of caching: :class:`Cache`, its policies, and the options of entities and calls.

Names and meaning are those of Flyte's SDK.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple, Protocol, runtime_checkable

from daskflow.errors import OptionError


class CacheStatus(StrEnum):
    """What the cache did for a node."""

    #: It is not used, though the node could be cached.
    DISABLED = "DISABLED"
    #: There is no entry, and the node is executed.
    MISS = "MISS"
    #: The result came from it.
    HIT = "HIT"
    #: There was no entry; the node was executed and its result stored.
    POPULATED = "POPULATED"
    #: Nothing was looked up, since the result is to be made anew.
    SKIPPED = "SKIPPED"
    LOOKUP_FAILURE = "LOOKUP_FAILURE"
    PUT_FAILURE = "PUT_FAILURE"


@dataclass(frozen=True)
class VersionParameters:
    """What a policy makes a version of.

    Attributes
    ----------
    func
        The function of the task, dynamic or workflow.
    container_image, pod_template, pod_template_name
        Always ``None``: Flyte's policies have them.
    """

    func: Callable[..., Any]
    container_image: None = None
    pod_template: None = None
    pod_template_name: None = None


@runtime_checkable
class CachePolicy(Protocol):
    """Makes versions; the same version means the same result for the same inputs."""

    def get_version(self, salt: str, params: VersionParameters) -> str:
        """Return a version."""
        ...


@dataclass(frozen=True)
class Cache:
    """How an entity's outputs are cached, for its ``cache`` option.

    Parameters
    ----------
    version : str, optional
        The version in the key. Without one, the policies make it.
    serialize : bool
        Whether only one at a time computes a key, and the others wait for that.
    ignored_inputs : tuple of str, or str
        Inputs that are left out of the key.
    salt : str
        Goes into the versions that policies make.
    policies : list of CachePolicy, or CachePolicy, optional
        What make the version. By default the code does: the function's source, and the users' code and constants that it reaches.

    Examples
    --------
    >>> from daskflow import task
    >>> @task(cache=Cache(version="1.0", ignored_inputs=("verbose",)))
    ... def double(a: int, verbose: bool = False) -> int:
    ...     return 2 * a
    """

    version: str | None = None
    serialize: bool = False
    ignored_inputs: tuple[str, ...] | str = ()
    salt: str = ""
    policies: Sequence[CachePolicy] | CachePolicy | None = None


class CacheSettings(NamedTuple):
    """How a run uses the cache; travels to its units.

    Attributes
    ----------
    url : str
        Where entries are.
    memory_bytes, max_bytes, max_age
        As for :class:`~daskflow.store.Store`.
    overwrite : bool
        Whether nothing is looked up, and all is stored anew.
    """

    url: str
    memory_bytes: int
    max_bytes: int
    max_age: float | None
    overwrite: bool = False


class HashMethod:
    """Says how a value is hashed for keys, in an annotation: ``Annotated[Frame, HashMethod(f)]``, of an input or of what gives it.

    Parameters
    ----------
    function
        Makes text of the value: the same text means the same value.
    """

    def __init__(self, function: Callable[[Any], str]) -> None:
        if not callable(function):
            raise OptionError(f"HashMethod takes a function, not {function!r}")
        self.function = function

    def calculate(self, value: Any) -> str:
        """Return the hash of a value."""
        return self.function(value)

    @staticmethod
    def of(annotation: Any) -> HashMethod | None:
        """Return the method in an annotation, if it has one."""
        return next((one for one in getattr(annotation, "__metadata__", ()) if isinstance(one, HashMethod)), None)


class CacheOptions:
    """How an entity or a call is cached.

    Attributes
    ----------
    version : str
        What the user said; empty where policies make it.
    serialize : bool
        Whether only one at a time computes a key.
    ignored : tuple of str
        Inputs that are left out of keys.
    salt, policies
        For the version, where policies make it.
    resolved : str or None
        The version that policies made where the code is; it travels with the code.
    """

    __slots__ = ("ignored", "policies", "resolved", "salt", "serialize", "version")

    #: The options' names, as users write them.
    NAMES = ("cache", "cache_version", "cache_serialize", "cache_ignore_input_vars")

    def __init__(self, cache: Cache) -> None:
        self.version = cache.version or ""
        self.serialize = cache.serialize
        self.ignored = (cache.ignored_inputs,) if isinstance(cache.ignored_inputs, str) else tuple(cache.ignored_inputs)
        self.salt = cache.salt
        self.policies: tuple[CachePolicy, ...] = _policies(cache.policies)
        self.resolved: str | None = None

    def as_cache(self) -> Cache:
        """Return the same as a :class:`Cache`."""
        return Cache(self.version, self.serialize, self.ignored, self.salt, self.policies)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CacheOptions) and self.as_cache() == other.as_cache()

    __hash__ = None  # type: ignore[assignment]

    @classmethod
    def of(cls, given: Mapping[str, Any], owner: str, inputs: Iterable[str]) -> CacheOptions | None:
        """Return the options of an entity; ``None`` where it is not cached.

        Raises
        ------
        OptionError
            When a value has the wrong type, or something is said of a cache that is off.
        """
        cache = _typed(given, "cache", (bool, Cache), False, owner)
        said = [name for name in cls.NAMES[1:] if given.get(name)]
        if cache is False:
            if said:
                raise OptionError(f"{said[0]} of {owner} has no effect without cache=True")
            _old_style(given, owner)
            return None
        if isinstance(cache, Cache):
            if said:
                raise OptionError(f"{owner} has both cache=Cache(...) and {said[0]}; say it in Cache")
            options = cls(_checked(cache, owner))
        else:
            options = cls(_old_style(given, owner))
        options._check_ignored(inputs, owner)
        return options

    @classmethod
    def overridden(cls, own: CacheOptions | None, given: Mapping[str, Any], owner: str, inputs: Iterable[str]) -> CacheOptions | None:
        """Return the options of one call, from those of what is called and an override's words.

        Raises
        ------
        OptionError
            As for :meth:`of`; and when a version is missing that nobody can make.
        """
        if "cache" not in given and own is None:
            return cls.of(given, owner, inputs)
        # What takes the cache back, or says all of it anew, has nothing to do with what was said before.
        anew = given.get("cache") is False or isinstance(given.get("cache"), Cache)
        options = cls.of(given if own is None or anew else {**_words(own), **given}, owner, inputs)
        if options is None or own is None:
            if options is not None and not options.version:
                raise OptionError(f"{owner} has cache=True and no version; say cache_version as well")
            return options
        if not given.get("cache_version") and not isinstance(given.get("cache"), Cache):
            options.salt, options.policies, options.resolved = own.salt, own.policies, own.resolved
        return options

    def _check_ignored(self, inputs: Iterable[str], owner: str) -> None:
        inputs = tuple(inputs)
        for name in self.ignored:
            if name not in inputs:
                known = ", ".join(inputs) or "none"
                raise OptionError(f"cache_ignore_input_vars, or ignored_inputs, of {owner} names {name!r}; its inputs are {known}")


def _words(own: CacheOptions) -> dict[str, Any]:
    return {"cache": True, "cache_version": own.version, "cache_serialize": own.serialize, "cache_ignore_input_vars": own.ignored}


def _old_style(given: Mapping[str, Any], owner: str) -> Cache:
    version = _typed(given, "cache_version", (str,), "", owner)
    serialize = _typed(given, "cache_serialize", (bool,), False, owner)
    ignored = _typed(given, "cache_ignore_input_vars", (tuple, list), (), owner)
    return Cache(version, serialize, tuple(ignored))


def _checked(cache: Cache, owner: str) -> Cache:
    for name, kinds in (("version", (str, type(None))), ("serialize", (bool,)), ("ignored_inputs", (tuple, list, str)), ("salt", (str,))):
        _typed(vars(cache), name, kinds, None, f"the Cache of {owner}")
    for policy in _policies(cache.policies):
        if not isinstance(policy, CachePolicy):
            raise OptionError(f"policies of the Cache of {owner} has {policy!r}, which has no get_version")
    return cache


def _policies(given: Any) -> tuple[CachePolicy, ...]:
    if given is None:
        return ()
    return tuple(given) if isinstance(given, (list, tuple)) else (given,)


def _typed(given: Mapping[str, Any], name: str, kinds: tuple[type, ...], default: Any, owner: str) -> Any:
    value = given.get(name, default)
    if not isinstance(value, kinds):
        raise OptionError(f"{name} of {owner} must be {' or '.join(kind.__name__ for kind in kinds)}; got {value!r}")
    return value
