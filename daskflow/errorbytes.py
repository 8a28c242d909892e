"""Exceptions as bytes: whole if that can be, else without their longest texts, or without those that they are chained to."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from types import TracebackType, WrapperDescriptorType
from typing import Any

from daskflow import shipping
from daskflow.shortform import cut
from daskflow.traces import bounded_traceback

#: An exception that takes more bytes does not travel.
MOST_BYTES = 1 << 20

#: The place of what an exception was raised in the handling of, in what tblib makes of one.
_CONTEXT = 4

_Change = Callable[[BaseException, int], AbstractContextManager[None]]


def dumps(error: BaseException, most_text: int) -> bytes | None:
    """Return an exception as bytes, if it comes through pickling as what it was. Never raises.

    Parameters
    ----------
    error
        The exception.
    most_text : int
        Characters: where it is too large, longer texts in it are cut.
    """
    for changes in _CHANGES:
        data = _changed(error, changes, most_text)
        if data is not None:
            return data
    return None


def _changed(error: BaseException, changes: tuple[_Change, ...], most_text: int) -> bytes | None:
    try:
        with ExitStack() as changed:
            for change in changes:
                changed.enter_context(change(error, most_text))
            return _whole(error)
    except BaseException:
        return None


def loads(data: bytes) -> BaseException | None:
    """Return the exception; None where it cannot be had here. Never raises."""
    try:
        error = pickle.loads(data)
    except BaseException:
        return None
    try:
        return error if isinstance(error, BaseException) else None
    finally:
        # The frames of the traceback that was made here know who called: were it here still, all callers would stay with it.
        del error


def _whole(error: BaseException) -> bytes | None:
    file = _Bounded()
    _Pickler(file).dump(error)
    data = file.getvalue()
    return data if type(loads(data)) is type(error) else None


class _Bounded(io.BytesIO):
    """Takes no more bytes than may travel: an exception may hold a table of gigabytes."""

    def write(self, data: Any) -> int:
        if self.tell() + memoryview(data).nbytes > MOST_BYTES:
            raise OverflowError
        return super().write(data)


class _Pickler(shipping.Pickler):
    """Pickles exceptions as what they are, whatever was noted with them."""

    def reducer_override(self, obj: Any) -> Any:
        return reduced(obj) if isinstance(obj, (BaseException, TracebackType)) else super().reducer_override(obj)


def reduced(error: BaseException | TracebackType) -> Any:
    """Return what is pickled of an exception, with all that Python knows of it; or of a traceback."""
    from tblib import pickling_support

    if isinstance(error, TracebackType):
        return pickling_support.pickle_traceback(bounded_traceback(error))
    # What is not shown of an exception need not travel: who raises something `from None` does not want it told.
    hidden = error.__suppress_context__
    if type(type(error).__init__) is not WrapperDescriptorType or type(error).__reduce__ is not BaseException.__reduce__:
        make, given, *state = pickling_support.pickle_exception(error)
        return make, (*given[:_CONTEXT], None if hidden else given[_CONTEXT], *given[_CONTEXT + 1 :]), *state
    # What only Python's own constructors set, such as the message of a SyntaxError, is made again by them.
    made: Any = error.__reduce__()
    kind, arguments, *state = made
    context, noted = None if hidden else error.__context__, getattr(error, "__notes__", None)
    return pickling_support.unpickle_exception, (kind, arguments, error.__cause__, error.__traceback__, context, hidden, noted), *state


@contextmanager
def _shorter(error: BaseException, most: int) -> Iterator[None]:
    """Have the longest texts of an exception, and of those that it is chained to, cut: their classes, and what was noted, matter more."""
    kept: list[tuple[BaseException, tuple[Any, ...], dict[str, Any]]] = []
    try:
        for one in _chain(error):
            texts = {name: text for name, text in vars(one).items() if _is_long(text, most)}
            kept.append((one, one.args, texts))
            one.args = tuple(cut(given, most) if _is_long(given, most) else given for given in one.args)
            vars(one).update({name: cut(text, most) for name, text in texts.items()})
        yield
    finally:
        for one, args, texts in kept:
            one.args = args
            vars(one).update(texts)


def _is_long(value: Any, most: int) -> bool:
    return type(value) is str and len(value) > most


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop()
        if one is not None and id(one) not in seen:
            seen.add(id(one))
            yield one
            waiting += [one.__cause__, one.__context__]


@contextmanager
def _alone(error: BaseException, _: int) -> Iterator[None]:
    """Have an exception without those that it is chained to: one of them, or a value in it, may not pickle where it itself does."""
    chain = error.__cause__, error.__context__, error.__suppress_context__
    error.__cause__ = error.__context__ = None
    try:
        yield
    finally:
        error.__cause__, error.__context__, error.__suppress_context__ = chain


#: What is changed in an exception until it can travel, one after the other.
_CHANGES: tuple[tuple[_Change, ...], ...] = (
    (),
    (_shorter,),
    (_alone,),
    (_alone, _shorter),
)
