"""From an annotation to pydantic's validator of it, with daskflow's own rules at every depth.

pydantic does the work, in its strict mode. What it would do otherwise than we promise is given to it as a schema of ours: numpy's
scalars are their Python kind; a ``Literal`` heeds types; an instance of a dataclass stays the instance that it is while its fields are
checked; what is gone through by its check is no iterator. pydantic is imported here, so this module is imported late.
"""

from __future__ import annotations

import collections
import collections.abc as abc
import datetime
import enum
import typing
from collections.abc import Callable
from typing import Any

import pydantic
import typing_extensions
from pydantic_core import SchemaError

from daskflow.annotations import (
    alias_value,
    class_of,
    describe,
    field_types,
    has_own_check,
    is_alias,
    is_dataclass,
    is_model,
    is_namedtuple,
    is_open_model,
    is_typeddict,
    is_union,
    key_types,
    union_of,
)
from daskflow.leafschemas import (
    NUMBERS,
    array,
    checked_by,
    instance,
    is_array,
    literal,
    number,
    raising,
    refuse_text_and_iterators,
    refuse_unusable,
    unexpected,
)

Validate = Callable[..., Any]

_CONFIG = pydantic.ConfigDict(strict=True, arbitrary_types_allowed=True)
_STRICT_DICT = pydantic.ConfigDict(strict=True, arbitrary_types_allowed=True, extra="forbid")

#: Containers that are checked with what is in them, with how many types are said of each; of a tuple any number.
_CONTAINERS = {
    list: 1,
    set: 1,
    frozenset: 1,
    collections.deque: 1,
    collections.Counter: 1,
    dict: 2,
    collections.defaultdict: 2,
    collections.OrderedDict: 2,
    tuple: None,
}

_FAILING_FAST = (list, set, frozenset, tuple)

#: Containers by what they can do, each with the built-in ones that are accepted and checked by pydantic.
_SERIES = {
    abc.Iterable: (list, tuple, set, frozenset),
    abc.Collection: (list, tuple, set, frozenset),
    abc.Reversible: (list, tuple),
    abc.Sequence: (list, tuple),
    abc.MutableSequence: (list,),
    abc.Set: (set, frozenset),
    abc.MutableSet: (set,),
}
_MAPPINGS = (abc.Mapping, abc.MutableMapping)

_NEVER = (typing.NoReturn, typing.Never, typing_extensions.Never)


_TEXTS = (str, bytes, None, type(None))


class _FailingFast:
    """Ends the check of a container at the first item that is wrong; pydantic's own mark has no hash, so no union can have it."""

    __slots__ = ()

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        return {**handler(source), "fail_fast": True}


class Compiler:
    """Makes pydantic's validators of annotations.

    Parameters
    ----------
    numpy : bool
        Whether numpy's scalars are accepted. What has none is checked faster without.
    fixed : bool
        Whether the value will be used as it is, so that nothing may be accepted that would have to be made into something else first.
    """

    def __init__(self, numpy: bool, fixed: bool = False, records: dict[Any, list[Validate]] | None = None) -> None:
        self.numpy = numpy
        self.fixed = fixed
        self._records = {} if records is None else records

    def validator(self, annotation: Any) -> Validate:
        """Return the function that gives a value back, converted, or raises pydantic's error.

        Raises
        ------
        TypeError
            When the annotation cannot be used.
        """
        try:
            adapter: Any = _adapter(self.adapted(annotation))
        except (pydantic.errors.PydanticUserError, pydantic.errors.PydanticUndefinedAnnotation, SchemaError, RuntimeError) as error:
            raise TypeError(f"{describe(annotation)} is not a usable annotation: {str(error).splitlines()[0]}") from None
        validate: Validate = adapter.validator.validate_python
        return validate

    def adapted(self, annotation: Any) -> Any:
        """Return an annotation that makes pydantic check by our rules."""
        origin = typing.get_origin(annotation)
        if origin is typing.Annotated:
            return self._annotated(annotation)
        if is_union(annotation):
            return self._union(annotation)
        if isinstance(annotation, typing.NewType):
            return self.adapted(annotation.__supertype__)
        if is_alias(annotation):
            return self._record(annotation, self._named)
        if isinstance(annotation, typing.TypeVar):
            return annotation
        return self._adapted_class(annotation, origin or annotation)

    def _adapted_class(self, annotation: Any, kind: Any) -> Any:
        if kind in NUMBERS:
            return number(kind, self.numpy)
        if kind in _TEXTS or kind is Any or kind is object:
            return Any if kind is object else kind
        if kind is typing.Literal:
            return literal(annotation)
        if kind in _NEVER:
            return checked_by(raising(unexpected(annotation)))
        if kind in _CONTAINERS:
            return self._container(annotation, kind) if kind in _FAILING_FAST or kind is dict else self._copied(annotation, kind)
        if kind is type or kind is abc.Callable or (kind is tuple and not typing.get_args(annotation)):
            return annotation
        if isinstance(kind, type):
            return self._of_a_class(annotation, kind)
        raise TypeError(f"{describe(annotation)} is not a type of values")

    def _of_a_class(self, annotation: Any, kind: Any) -> Any:
        if kind in _SERIES:
            return self._series(annotation, kind)
        if kind in _MAPPINGS:
            return self._mapping(annotation, kind)
        if is_typeddict(kind):
            return self._record(annotation, self._typeddict)
        if is_dataclass(kind) or is_namedtuple(kind):
            return self._record(annotation, self._fields)
        if is_model(kind):
            return annotation if is_open_model(kind) else instance(kind)
        if has_own_check(kind) and not issubclass(kind, enum.Enum):
            return instance(kind) if self.fixed and hasattr(kind, "_converts") else annotation
        refuse_unusable(annotation, kind)
        return array(annotation, kind) if is_array(annotation, kind) else instance(kind)

    # ------------------------------------------------------------ plain ones

    def _annotated(self, annotation: Any) -> Any:
        inner, *notes = typing.get_args(annotation)
        # pydantic knows constraints of its own types better than those of a schema that it is given.
        known = isinstance(inner, type) and (inner in _CONSTRAINED or inner.__module__ in ("decimal", "uuid", "pathlib"))
        adapted = inner if known else self.adapted(inner)
        # Instances say themselves which member of a union they are.
        notes = [one for one in notes if not (isinstance(one, pydantic.Discriminator) or getattr(one, "discriminator", None))]
        return typing.Annotated[(adapted, *notes)] if notes else adapted

    def _union(self, annotation: Any) -> Any:
        kinds = typing.get_args(annotation)
        if self.numpy:
            # pydantic takes the first member that fits: of an integer that is int, wherever it stands.
            kinds = tuple(sorted(kinds, key=lambda one: one is float))
        union = union_of(self.adapted(one) for one in kinds)
        return typing.Annotated[union, pydantic.Field(union_mode="left_to_right")] if self.numpy and is_union(union) else union

    # ------------------------------------------------------------ containers

    def _container(self, annotation: Any, kind: Any) -> Any:
        args = typing.get_args(annotation)
        if not args:
            return annotation
        _check_number(annotation, kind, args)
        adapted: Any = tuple(one if one is Ellipsis else self.adapted(one) for one in args)
        container = kind.__class_getitem__(adapted)
        # The first thing that is wrong is enough, where there may be a million.
        return typing.Annotated[container, _FailingFast()] if kind in _FAILING_FAST else container

    def _copied(self, annotation: Any, kind: Any) -> Any:
        """Check containers that pydantic's versions see differently, and give a copy that is empty like the value and then filled."""
        keyed = issubclass(kind, dict)
        given = typing.get_args(annotation) or (Any,) * (_CONTAINERS[kind] or 1)
        _check_number(annotation, kind, given)
        inner: Any = (given[0], int) if kind is collections.Counter else given
        validate = self.validator(dict.__class_getitem__(inner) if keyed else list.__class_getitem__(inner[0]))

        def check(value: Any) -> Any:
            if not isinstance(value, kind):
                raise unexpected(annotation)
            checked = validate(dict(value) if keyed else list(value), strict=True)
            made = value.copy()
            made.clear()
            (made.update if keyed else made.extend)(checked)
            return made

        return checked_by(check)

    def _series(self, annotation: Any, kind: Any) -> Any:
        item: Any = (typing.get_args(annotation) or (Any,))[0]
        known = {one: self.validator(tuple[item, ...] if one is tuple else one[item]) for one in _SERIES[kind]}
        items = self._unchanging().validator(tuple[item, ...])

        def check(value: Any) -> Any:
            refuse_text_and_iterators(value, annotation)
            if not isinstance(value, kind):
                raise unexpected(annotation)
            validate = known.get(type(value))
            if validate is not None:
                return validate(value, strict=True)
            items(tuple(value), strict=True)
            return value

        return checked_by(check)

    def _mapping(self, annotation: Any, kind: Any) -> Any:
        keys, values = typing.get_args(annotation) or (Any, Any)
        plain = self.validator(dict[keys, values])  # type: ignore[valid-type]
        items = self._unchanging().validator(dict[keys, values])  # type: ignore[valid-type]

        def check(value: Any) -> Any:
            if not isinstance(value, kind):
                raise unexpected(annotation)
            if type(value) is dict:
                return plain(value, strict=True)
            items(dict(value), strict=True)
            return value

        return checked_by(check)

    def _unchanging(self) -> Compiler:
        return self if self.fixed else Compiler(self.numpy, True, self._records)

    # ------------------------------------------------------------ what has fields, and may contain itself

    def _record(self, annotation: Any, make: Callable[[Any], Validate]) -> Any:
        """Return what looks its check up when there is a value: what contains itself is made before its parts are."""
        key = (annotation, self.fixed)
        if key not in self._records:
            self._records[key] = made = []
            try:
                made.append(make(annotation))
            except TypeError:
                del self._records[key]
                raise
        made = self._records[key]

        def check(value: Any) -> Any:
            return made[0](value)

        return checked_by(check)

    def _named(self, annotation: Any) -> Validate:
        validate = self.validator(alias_value(annotation))
        return lambda value: validate(value, strict=True)

    def _fields(self, annotation: Any) -> Validate:
        kind: Any = class_of(annotation)
        types = field_types(annotation)
        names = tuple(types)
        rebuilt = is_namedtuple(kind) and not self.fixed
        # One tuple of all fields is checked in one go.
        compiler = self if rebuilt else self._unchanging()
        validate = _adapter(_tuple_of(tuple(compiler._field(one) for one in types.values()))).validator.validate_python

        def check(value: Any) -> Any:
            if not isinstance(value, kind):
                raise unexpected(annotation)
            given = tuple([getattr(value, name) for name in names])
            checked = validate(given, strict=True)
            return value if not rebuilt or _same(given, checked) else type(value)._make(checked)

        return check

    def _field(self, annotation: Any) -> Any:
        # A class may keep in its fields what no entity could take: it is the class that is declared.
        try:
            return self.adapted(annotation)
        except TypeError:
            return Any

    def _typeddict(self, annotation: Any) -> Validate:
        form = {True: typing_extensions.Required, False: typing_extensions.NotRequired}
        keys = {name: form[required][self._field(one)] for name, (one, required) in key_types(annotation).items()}
        make: Any = typing_extensions.TypedDict
        twin = make(describe(annotation), keys)
        twin.__pydantic_config__ = getattr(class_of(annotation), "__pydantic_config__", _STRICT_DICT)
        validate = _adapter(twin).validator.validate_python
        return lambda value: validate(value, strict=True)


#: pydantic's own checks of these are used where there are constraints.
_CONSTRAINED = (datetime.datetime, datetime.date, datetime.time, datetime.timedelta)


def _adapter(annotation: Any) -> Any:
    try:
        return pydantic.TypeAdapter(annotation, config=_CONFIG)
    except pydantic.errors.PydanticUserError as error:
        if error.code != "type-adapter-config-unused":
            raise
        return pydantic.TypeAdapter(annotation)


def _check_number(annotation: Any, kind: Any, args: tuple[Any, ...]) -> None:
    wanted = _CONTAINERS[kind]
    if wanted is None and Ellipsis in args and (len(args) != 2 or args[0] is Ellipsis):
        raise TypeError(f"{describe(annotation)} has ... where it means nothing; write tuple[{describe(args[0])}, ...]")
    if wanted is not None and len(args) != wanted:
        raise TypeError(f"{describe(annotation)} says {len(args)} types, and {kind.__qualname__} has {wanted}")


def _tuple_of(kinds: tuple[Any, ...]) -> Any:
    return tuple.__class_getitem__(kinds)  # type: ignore[arg-type,unused-ignore]


def _same(left: tuple[Any, ...], right: tuple[Any, ...]) -> bool:
    return all(one is other for one, other in zip(left, right, strict=True))
