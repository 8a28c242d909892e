"""A function's typed interface: what it takes, what it gives, and how a call is bound to it."""

from __future__ import annotations

import enum
import inspect
import sys
import typing
from collections.abc import Callable, Mapping
from copy import copy
from typing import Any, NoReturn

from daskflow.errors import DefinitionError, InputError, OutputError
from daskflow.shortform import is_secret
from daskflow.traces import is_ours
from daskflow.types import Checker, Mismatch, checks_inside, describe

#: Defaults of these types are copied, so that no call sees what another one did to them.
MUTABLE = (list, dict, set)


class _Required(enum.Enum):
    REQUIRED = "required"


#: Stands for "no default", since ``None`` is a default that a user may mean.
REQUIRED: Any = _Required.REQUIRED


class Parameter:
    """One input: its name, its declared type and its default."""

    __slots__ = ("annotation", "check", "default", "name", "opaque")

    def __init__(self, name: str, annotation: Any, default: Any = REQUIRED) -> None:
        self.name = name
        self.annotation = annotation
        self.default = default
        self.check = Checker(annotation).check
        #: Whether the check lets anything stand somewhere inside the value.
        self.opaque = not checks_inside(annotation)

    @property
    def required(self) -> bool:
        """Whether a call must give this input."""
        return self.default is REQUIRED

    def __reduce__(self) -> tuple[Any, ...]:
        return Parameter, (self.name, self.annotation, self.default)


class Outputs:
    """What a function gives: nothing, one value, or several.

    Attributes
    ----------
    annotation
        The declared return type.
    names : tuple of str
        Empty for nothing and for one unnamed value; the field names, or ``o0, o1, ...``, for several.
    factory
        The NamedTuple class of a function that declares one.
    """

    __slots__ = ("annotation", "annotations", "check_one", "checks", "factory", "names")

    def __init__(self, annotation: Any, names: tuple[str, ...] = ()) -> None:
        self.annotation = type(None) if annotation is None else annotation
        self.factory: Any = None
        self.names: tuple[str, ...] = ()
        self.annotations: tuple[Any, ...] = ()
        if typing.get_origin(annotation) is tuple and Ellipsis not in typing.get_args(annotation):
            self.annotations = typing.get_args(annotation)
            self.names = names or tuple(f"o{index}" for index in range(len(self.annotations)))
        elif _is_namedtuple(annotation):
            self.factory = annotation
            self.names = self.factory._fields
            hints = typing.get_type_hints(annotation, include_extras=True)
            self.annotations = tuple(hints[name] for name in self.names)
        self.checks = tuple(Checker(one).check for one in self.annotations)
        self.check_one = Checker(self.annotation).check if not self.names else None

    def __reduce__(self) -> tuple[Any, ...]:
        return Outputs, (self.annotation, () if self.factory is not None else self.names)

    @property
    def several(self) -> bool:
        """Whether the function gives more than one value, or named ones."""
        return bool(self.names)

    def check(self, value: Any, entity: str) -> Any:
        """Return the value, converted, or raise :class:`OutputError`."""
        if self.check_one is not None:
            try:
                return self.check_one(value)
            except Mismatch as error:
                way_out = "; does each way through it end with a return?" if value is None else ""
                raise OutputError(f"{entity} declares -> {describe(self.annotation)}: {error}{way_out}") from None
        if not isinstance(value, tuple) or len(value) != len(self.names):
            raise OutputError(f"{entity} declares {len(self.names)} outputs ({', '.join(self.names)}), but returned {_count(value)}")
        return self._build(value, entity)

    def _build(self, value: tuple[Any, ...], entity: str) -> Any:
        checked = []
        for name, check, one in zip(self.names, self.checks, value, strict=True):
            try:
                checked.append(check(one))
            except Mismatch as error:
                raise OutputError(f"output {name!r} of {entity}: {error.of(name)}") from None
        return self.factory(*checked) if self.factory is not None else tuple(checked)


def _count(value: Any) -> str:
    return f"{len(value)} values" if isinstance(value, tuple) else f"one {type(value).__qualname__}"


def _is_namedtuple(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, tuple) and hasattr(annotation, "_fields")


class Interface:
    """The typed inputs and outputs of an entity.

    Parameters
    ----------
    name
        The entity's full name, for messages.
    parameters
        The inputs in the order of declaration.
    outputs
        What it gives.

    Examples
    --------
    >>> def add(a: int, b: int = 2) -> int: ...
    >>> Interface.of(add, "add").bind((1,), {})
    {'a': 1, 'b': 2}
    >>> Interface.of(add, "add").bind((), {"c": 1})
    Traceback (most recent call last):
    daskflow.errors.InputError: add has no input 'c'; it takes a: int, b: int = 2
    """

    __slots__ = ("_keys", "checks", "name", "outputs", "parameters")

    def __init__(self, name: str, parameters: Mapping[str, Parameter], outputs: Outputs) -> None:
        self.name = name
        self.parameters = dict(parameters)
        self.outputs = outputs
        self.checks = {one.name: one.check for one in self.parameters.values()}
        self._keys = self.parameters.keys()

    def __reduce__(self) -> tuple[Any, ...]:
        return Interface, (self.name, self.parameters, self.outputs)

    @classmethod
    def of(cls, function: Callable[..., Any], name: str, *, untyped: bool = False) -> Interface:
        """Read the interface of a function from its annotations.

        Parameters
        ----------
        function
            What the user decorated.
        name
            The entity's name, for messages.
        untyped : bool
            Whether inputs without an annotation are taken as they come, and so is a result.

        Raises
        ------
        DefinitionError
            When an annotation is missing, cannot be resolved or used, or a parameter is of a kind that a graph cannot bind.
        """
        hints = _hints(function, name)
        if untyped:
            hints = {**dict.fromkeys((*inspect.signature(function).parameters, "return"), Any), **hints}
        parameters = {}
        for parameter in inspect.signature(function).parameters.values():
            parameters[parameter.name] = _parameter(parameter, hints, name)
        if "return" not in hints:
            raise DefinitionError(f"{name} has no return annotation; write -> None if it gives nothing back")
        try:
            return cls(name, parameters, Outputs(hints["return"]))
        except TypeError as error:
            raise DefinitionError(f"{name}: the return annotation cannot be used: {error}") from None

    def signature(self) -> str:
        """Return the inputs as a user would declare them."""
        return ", ".join(
            f"{one.name}: {describe(one.annotation)}"
            + ("" if one.required else f" = {'***' if is_secret(one.name) else repr(one.default)}")
            for one in self.parameters.values()
        )

    def bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """Return every input by name, defaults filled in, in the order of declaration.

        Raises
        ------
        InputError
            When an input is unknown, missing, or given twice.
        """
        if not args and kwargs.keys() == self._keys:
            return kwargs
        given = self._named(args, kwargs)
        bound = {}
        for name, parameter in self.parameters.items():
            if name in given:
                bound[name] = given[name]
            elif parameter.default is REQUIRED:
                raise InputError(
                    f"{self.name} is missing the input {name!r} ({describe(parameter.annotation)}); it takes {self.signature()}"
                )
            else:
                bound[name] = copy(parameter.default) if isinstance(parameter.default, MUTABLE) else parameter.default
        return bound

    def _named(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        if len(args) > len(self.parameters):
            raise InputError(f"{self.name} takes {len(self.parameters)} inputs but {len(args)} were given; it takes {self.signature()}")
        given = dict(zip(self.parameters, args, strict=False))
        for name, value in kwargs.items():
            if name not in self.parameters:
                self._unknown(name)
            if name in given:
                raise InputError(f"{self.name} got the input {name!r} twice, by position and by name")
            given[name] = value
        return given

    def _unknown(self, name: str) -> NoReturn:
        raise InputError(self.why_unknown(name))

    def why_unknown(self, name: Any) -> str:
        """Return why there is no input of a name, and which inputs there are."""
        takes = f"it takes {self.signature()}" if self.parameters else "it takes no inputs"
        return f"{self.name} has no input {name!r}; {takes}"

    def renamed(self, name: str, parameters: Mapping[str, Parameter], outputs: Outputs) -> Interface:
        """Return one of the same kind with other inputs and outputs."""
        return Interface(name, parameters, outputs)

    def check_input(self, name: str, value: Any) -> Any:
        """Return one input's value, converted, or raise :class:`InputError`."""
        try:
            return self.checks[name](value)
        except Mismatch as error:
            raise InputError(f"input {name!r} of {self.name}: {error.of(name)}") from None

    def check_inputs(self, bound: Mapping[str, Any]) -> dict[str, Any]:
        """Check every input of a bound call."""
        return {name: self.check_input(name, value) for name, value in bound.items()}


def _users_locals(function: Callable[..., Any]) -> dict[str, Any]:
    """Return the names that are local where a nested function is decorated: only that frame knows them."""
    if "<locals>" not in getattr(function, "__qualname__", ""):
        return {}
    return dict(sys._getframe(users_depth() - 1).f_locals)


def users_depth() -> int:
    """Return how many frames above the caller's is the first that is none of ours, and one more: as a ``stacklevel``, it names that one."""
    depth, frame = 0, sys._getframe(1)
    while is_ours(frame.f_code.co_filename) and frame.f_back is not None:
        depth, frame = depth + 1, frame.f_back
    return depth + 1


def _hints(function: Callable[..., Any], name: str) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function, localns=_users_locals(function), include_extras=True)
    except NameError as error:
        raise DefinitionError(f"an annotation of {name} cannot be resolved: {error}") from None
    except TypeError as error:
        raise DefinitionError(f"an annotation of {name} cannot be used: {error}") from None


def _parameter(parameter: inspect.Parameter, hints: dict[str, Any], name: str) -> Parameter:
    if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
        raise DefinitionError(
            f"parameter {_starred(parameter)!r} of {name} is {parameter.kind.description}; an entity's inputs are named: declare each one"
        )
    if parameter.name not in hints:
        raise DefinitionError(
            f"parameter {parameter.name!r} of {name} has no type annotation; "
            f"write {parameter.name}: int, or {parameter.name}: Any to accept anything"
        )
    default = REQUIRED if parameter.default is parameter.empty else parameter.default
    try:
        made = Parameter(parameter.name, _of_values(hints[parameter.name]), default)
    except TypeError as error:
        raise DefinitionError(f"the annotation of {parameter.name!r} of {name} cannot be used: {error}") from None
    if not made.required:
        try:
            made.check(default)
        except Mismatch as error:
            # A file is looked for where it is used, which may be another place or time.
            if not error.missing:
                raise DefinitionError(f"the default of {parameter.name!r} of {name}: {error.of(parameter.name)}") from None
    return made


def _of_values(annotation: Any) -> Any:
    if annotation in (typing.NoReturn, typing.Never):
        raise TypeError("it has no values")
    return annotation


def _starred(parameter: inspect.Parameter) -> str:
    stars: dict[Any, str] = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}
    return f"{stars.get(parameter.kind, '')}{parameter.name}"
