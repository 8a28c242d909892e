"""Expressions of promises: what a conditional decides by. Pure.

Comparing a promise, or asking it :meth:`~daskflow.promise.Promise.is_true`, gives an expression; ``&`` and ``|`` join two. Its value is
known when the graph runs, so it is no truth value for Python.
"""

from __future__ import annotations

import datetime
import operator
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, NoReturn

from daskflow.errors import PromiseError

#: What a promise may be compared with.
PRIMITIVES = (int, float, str, bool, type(None), datetime.datetime, datetime.date, datetime.timedelta)

_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
    "is": lambda left, right: left is right,
}  # fmt: skip


class Expression:
    """A comparison of promises, or several."""

    __slots__ = ()

    def __and__(self, other: Any) -> Joined:
        return Joined("&", self, _expression(other, "&"))

    def __or__(self, other: Any) -> Joined:
        return Joined("|", self, _expression(other, "|"))

    def __bool__(self) -> NoReturn:
        raise PromiseError(
            f"the expression {self!r} is no truth value while the graph is built; give it to conditional(...).if_(...), "
            "join expressions with & and | instead of and, or and not, or branch inside a @dynamic or @task"
        )

    def __invert__(self) -> NoReturn:
        raise PromiseError(f"the expression {self!r} cannot be inverted; compare with the opposite operator, or with is_false()")


def _expression(other: Any, symbol: str) -> Expression:
    if not isinstance(other, Expression):
        raise PromiseError(f"{symbol} joins two expressions of promises, as (a > 1) {symbol} (b == 2); got {other!r}")
    return other


class Comparison(Expression):
    """A promise compared with another one, or with a value."""

    __slots__ = ("left", "right", "symbol")

    def __init__(self, symbol: str, left: Any, right: Any) -> None:
        self.symbol = symbol
        self.left = left
        self.right = right

    def __repr__(self) -> str:
        return f"({self.left!r} {self.symbol} {self.right!r})"


class Joined(Expression):
    """Two expressions joined by ``&`` or ``|``."""

    __slots__ = ("left", "right", "symbol")

    def __init__(self, symbol: str, left: Expression, right: Expression) -> None:
        self.symbol = symbol
        self.left = left
        self.right = right

    def __repr__(self) -> str:
        return f"({self.left!r} {self.symbol} {self.right!r})"


class Input(NamedTuple):
    """In an expression that travels, an input by its name."""

    name: str


#: An expression that travels: a constant; or an operator with two inputs, constants or expressions.
Plain = bool | tuple[str, Any, Any]


def plain(expression: Any, capture: Callable[[Any], str]) -> Plain:
    """Return an expression as it travels; `capture` names the inputs that promises become."""
    if isinstance(expression, bool):
        return expression
    if isinstance(expression, Joined):
        return (expression.symbol, plain(expression.left, capture), plain(expression.right, capture))
    sides = (expression.left, expression.right)
    left, right = (side if isinstance(side, PRIMITIVES) else Input(capture(side)) for side in sides)
    return (expression.symbol, left, right)


def holds(expression: Any, inputs: Mapping[str, Any]) -> bool:
    """Tell whether an expression that has travelled holds for some inputs.

    Examples
    --------
    >>> holds(("&", (">", Input("a"), 1), ("==", Input("b"), "x")), {"a": 2, "b": "x"})
    True
    """
    if isinstance(expression, bool):
        return expression
    symbol, left, right = expression
    if symbol == "&":
        return holds(left, inputs) and holds(right, inputs)
    if symbol == "|":
        return holds(left, inputs) or holds(right, inputs)
    values = (inputs[side.name] if type(side) is Input else side for side in (left, right))
    return bool(_OPERATORS[symbol](*values))


def promises(expression: Any) -> Iterator[Any]:
    """Yield the promises in an expression."""
    if isinstance(expression, Expression):
        for side in (expression.left, expression.right):  # type: ignore[attr-defined]
            yield from promises(side)
    elif not isinstance(expression, PRIMITIVES):
        yield expression
