"""Promises: references to values that a graph will have, and the refusal to be anything else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NoReturn

from daskflow.errors import PromiseError
from daskflow.expressions import PRIMITIVES, Comparison, Expression
from daskflow.types import SCALARS, assignable, describe, item_type

if TYPE_CHECKING:
    from daskflow.builder import Builder

_WAY_OUT = "its value is known only when the graph runs; do this inside a @task, or in a @dynamic that takes it as an input"

#: One step of a path into a value: an index or key, or an attribute (marked, since ``v["a"]`` is not ``v.a``).
Step = tuple[bool, Any]


class Promise:
    """A reference to the output of a node, or to a part of it.

    Indexing and attribute access extend the path into the value, to any depth. Whatever would need the value
    itself raises :class:`~daskflow.errors.PromiseError`, which names the node and the way out.

    Attributes
    ----------
    slot : int
        Where the graph keeps the node's output.
    path : tuple
        The way into that output.
    annotation
        The declared type of what the promise stands for; ``Any`` where it is not known.
    """

    __slots__ = ("_annotation", "_builder", "_path", "_slot")

    def __init__(self, builder: Builder, slot: int, annotation: Any, path: tuple[Step, ...] = ()) -> None:
        self._builder = builder
        self._slot = slot
        self._annotation = annotation
        self._path = path

    def __getitem__(self, key: Any) -> Promise:
        if isinstance(key, slice):
            self._refuse("sliced", "; slice it inside a @task")
        if isinstance(key, Promise):
            self._refuse("indexed by another promise")
        return self._step(False, key)

    def __getattr__(self, name: str) -> Promise:
        if name.startswith("_"):
            raise AttributeError(name)
        return self._step(True, name)

    def _step(self, attribute: bool, part: Any) -> Promise:
        try:
            annotation = item_type(self._annotation, part, attribute)
        except TypeError as error:
            raise PromiseError(f"{self!r} {f'has no attribute {part!r}' if attribute else 'cannot be indexed so'}: {error}") from None
        return Promise(self._builder, self._slot, annotation, (*self._path, (attribute, part)))

    def with_overrides(self, **overrides: Any) -> Promise:
        """Change options of the call that made this promise; see :mod:`daskflow.overrides` for the keys."""
        self._builder.override(self._slot, overrides)
        return self

    def __rshift__(self, other: Any) -> Any:
        """Have the call of another promise wait for this one's; return the other."""
        later = other._promise if hasattr(other, "_promise") else other[0] if isinstance(other, tuple) and other else other
        if type(later) is not Promise:
            raise PromiseError(f"{self!r} >> {other!r}: only calls are ordered with >>; order them one by one")
        if later._builder is not self._builder:
            raise PromiseError(f"{self!r} and {later!r} are of different graphs, and cannot be ordered")
        self._builder.order(self._slot, later._slot)
        return other

    def is_true(self) -> Comparison:
        """Return the expression that the value, a bool, is true."""
        return self._asks("is", True)

    def is_false(self) -> Comparison:
        """Return the expression that the value, a bool, is false."""
        return self._asks("is", False)

    def is_none(self) -> Comparison:
        """Return the expression that the value is ``None``."""
        return self._asks("is", None)

    def is_(self, value: bool | None) -> Comparison:
        """Return the expression that the value is ``True``, ``False`` or ``None``."""
        if value is not None and not isinstance(value, bool):
            self._refuse(f"asked is_({value!r})", "; is_ takes True, False or None: compare with ==")
        return self._asks("is", value)

    def _asks(self, symbol: str, other: Any) -> Comparison:
        if type(other) is Promise:
            annotation = other._annotation
        elif isinstance(other, PRIMITIVES):
            annotation = type(other)
        else:
            self._refuse(f"compared with {other!r}", "; compare with another promise, or with a number, text, time, bool or None")
        if not (assignable(self._annotation, annotation) or assignable(annotation, self._annotation)):
            raise PromiseError(f"{self!r} is never comparable with {other!r}: the types have nothing in common")
        return Comparison(symbol, self, other)

    def _refuse(self, what: str, way_out: str | None = None) -> NoReturn:
        raise PromiseError(f"{self!r} cannot be {what}: {way_out.lstrip('; ') if way_out else _WAY_OUT}")

    def __repr__(self) -> str:
        steps = "".join(f".{part}" if attribute else f"[{part!r}]" for attribute, part in self._path)
        return f"<promise of {self._builder.describe_slot(self._slot)}{steps}: {describe(self._annotation)}>"

    def __str__(self) -> str:
        self._refuse("turned into text (an f-string, str() or print())")

    def __format__(self, spec: str) -> str:
        self._refuse("formatted (an f-string or format())")

    def __bool__(self) -> bool:
        self._refuse("used as a truth value (if, and, or, not)")

    def __iter__(self) -> Iterator[Any]:
        self._refuse("iterated over", "; use map_task to run an entity over it, or take it as an input of a @dynamic and loop there")

    def __len__(self) -> int:
        self._refuse("measured with len()")

    def __contains__(self, item: Any) -> bool:
        self._refuse("searched with 'in'")

    def __setitem__(self, key: Any, value: Any) -> None:
        self._refuse("changed")

    def __delitem__(self, key: Any) -> None:
        self._refuse("changed")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self._refuse("called")

    def __hash__(self) -> int:
        return id(self)


def _refusing(operator: str) -> Any:
    def refuse(self: Promise, *others: Any) -> NoReturn:
        self._refuse(f"used in an expression ({operator})")

    return refuse


def _comparing(symbol: str) -> Any:
    def compare(self: Promise, other: Any) -> Comparison:
        return self._asks(symbol, other)

    return compare


_OPERATORS = {
    "+": "add", "-": "sub", "*": "mul", "/": "truediv", "//": "floordiv", "%": "mod", "**": "pow",
    "@": "matmul", "&": "and", "|": "or", "^": "xor", "<<": "lshift", "divmod": "divmod",
}  # fmt: skip
_UNARY = {"-": "neg", "+": "pos", "abs": "abs", "~": "invert", "int()": "int", "float()": "float", "complex()": "complex",
          "an index": "index", "round()": "round"}  # fmt: skip
_COMPARISONS = {"==": "eq", "!=": "ne", "<": "lt", "<=": "le", ">": "gt", ">=": "ge"}

for _symbol, _name in _UNARY.items():
    setattr(Promise, f"__{_name}__", _refusing(_symbol))
for _symbol, _name in _COMPARISONS.items():
    setattr(Promise, f"__{_name}__", _comparing(_symbol))
for _symbol, _name in _OPERATORS.items():
    for _prefix in ("", "r", "i"):
        setattr(Promise, f"__{_prefix}{_name}__", _refusing(_symbol))


def holds_promise(value: Any) -> bool:
    """Tell whether a promise stands anywhere inside a container."""
    if type(value) is Promise:
        return True
    if isinstance(value, dict):
        return any(map(holds_promise, value.values()))
    return isinstance(value, (list, tuple)) and any(map(holds_promise, value))


def hides_promise(value: Any) -> bool:
    """Tell whether a promise stands where no value can take its place: in a set, a dict's key, or the field of an object.

    Examples
    --------
    >>> hides_promise([1, {"a": {2}}])
    False
    """
    left, seen = [(value, False)], set()
    while left:
        one, hidden = left.pop()
        kind = type(one)
        if kind is Promise or isinstance(one, Expression):
            if hidden or kind is not Promise:
                return True
        elif kind not in SCALARS and (id(one), hidden) not in seen:
            seen.add((id(one), hidden))
            left.extend(_inside(one, hidden))
    return False


def _inside(value: Any, hidden: bool) -> Iterator[tuple[Any, bool]]:
    if isinstance(value, dict):
        yield from ((one, True) for one in value)
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        yield from ((one, hidden) for one in value)
    elif isinstance(value, (set, frozenset)):
        yield from ((one, True) for one in value)
    else:
        kind: Any = type(value)
        fields = getattr(kind, "__dataclass_fields__", None) or getattr(kind, "__pydantic_fields__", {})
        yield from ((getattr(value, name, None), True) for name in fields)
