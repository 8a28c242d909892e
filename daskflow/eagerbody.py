"""The body of an eager while it is executed: its coroutine, run a step at a time, and what its calls give it to await."""

from __future__ import annotations

import asyncio
import hashlib
import selectors
import weakref
from collections.abc import Callable, Coroutine, Generator
from contextlib import suppress
from functools import partial
from typing import Any, NoReturn

from daskflow import abandon, context, coroutines, shipping
from daskflow.builder import Builder
from daskflow.cachekey import token
from daskflow.eagerframe import EagerFrame
from daskflow.entity import Entity
from daskflow.errors import PromiseError
from daskflow.failed import Failed
from daskflow.graph import Node, follow, like
from daskflow.promise import Promise, Step
from daskflow.traces import unseen

#: Seconds between two looks at whether the run was cancelled, while the body waits for what is none of our calls.
_POLL = 0.25


class Call(Coroutine[Any, Any, Any]):
    """A call in an eager's body, to be awaited, or given to another call as it is.

    Parameters
    ----------
    body
        The body that made it.
    made
        The promise of its output, or those of its outputs.
    """

    def __init__(self, body: EagerBody, made: Any) -> None:
        self._body = body
        self._made = made
        self._waiting: Generator[Any, None, Any] | None = None

    @property
    def _promise(self) -> Any:
        return self._made

    @unseen
    def __await__(self) -> Generator[Any, None, Any]:
        promises = self._made if isinstance(self._made, tuple) else (self._made,)
        value = yield from self._body.future(promises[0]._slot)
        if not isinstance(self._made, tuple):
            return follow(value, self._made._path)
        return like(self._made, [follow(value, one._path) for one in promises])

    def send(self, value: Any) -> Any:
        """Go on, as a coroutine does."""
        if self._waiting is None:
            self._waiting = self.__await__()
        return self._waiting.send(value)

    def throw(self, *error: Any) -> Any:
        """Raise where it waits, as a coroutine does."""
        if self._waiting is None:
            self._waiting = self.__await__()
        return self._waiting.throw(*error)

    def close(self) -> None:
        """Wait no more."""
        if self._waiting is not None:
            self._waiting.close()

    def with_overrides(self, **overrides: Any) -> Call:
        """Change options of the call; see :mod:`daskflow.overrides` for the keys."""
        self._made.with_overrides(**overrides)
        return self

    def __rshift__(self, other: Any) -> Any:
        return self._refuse("ordered with >>; await it before the other call is made")

    def _refuse(self, what: str) -> NoReturn:
        raise PromiseError(f"{self!r} cannot be {what}")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return self._refuse(f"asked for {name!r}; await it first: (await call).{name}")

    def __getitem__(self, item: Any) -> Any:
        return self._refuse(f"indexed with {item!r}; await it first: (await call)[{item!r}]")

    def __repr__(self) -> str:
        return f"<call, not awaited, of {self._made!r}>"


_NOT_A_VALUE = {
    "__bool__": "a truth value", "__iter__": "iterated over", "__len__": "measured", "__contains__": "searched", "__str__": "text",
    "__format__": "formatted", "__int__": "a number", "__float__": "a number", "__index__": "an index", "__add__": "added",
    "__radd__": "added to", "__sub__": "subtracted from", "__rsub__": "subtracted", "__mul__": "multiplied", "__rmul__": "multiplied",
    "__truediv__": "divided", "__lt__": "compared", "__le__": "compared", "__gt__": "compared", "__ge__": "compared",
}  # fmt: skip


def _refusing(what: str) -> Callable[..., Any]:
    def refuse(self: Call, *_: Any) -> Any:
        self._refuse(f"{what}; await it first")

    return refuse


for _name, _what in _NOT_A_VALUE.items():
    setattr(Call, _name, _refusing(_what))


class _Builder(Builder):
    """Records calls as nodes of the frame; one that is known already is not recorded again."""

    #: That calls here are awaited.
    awaits = True

    def __init__(self, body: EagerBody) -> None:
        super().__init__(body.entity.name)
        # Not strongly, so that a body that is over goes at once, and its frame with it.
        self._known_body = weakref.ref(body)
        self._times: dict[str, int] = {}
        self.pending: list[Node] = []
        self.by_slot: dict[int, Node] = {}

    @property
    def _body(self) -> EagerBody:
        body = self._known_body()
        assert body is not None
        return body

    def describe_slot(self, slot: int) -> str:
        node = self.by_slot.get(slot)
        return f"{node.entity.short_name if node is not None else f'call {slot}'} in {self.owner}"

    def add(self, entity: Entity[..., Any], bound: dict[str, Any]) -> Any:
        inputs = {name: _promised(value) for name, value in bound.items()}
        made = super().add(entity, inputs)
        node = self.nodes.pop()
        slot, is_new = self._body.frame.slot_of(self._place(node), entity.short_name)
        if is_new:
            moved = node.moved({node.slot: slot})
            self.pending.append(moved)
            self.by_slot[slot] = moved
        else:
            self.by_slot.setdefault(slot, node)
        return Call(self._body, _at(made, slot))

    def override(self, slot: int, overrides: dict[str, Any]) -> None:
        # What a call that is known already was given it has been executed with.
        from daskflow.overrides import apply

        apply(self.by_slot[slot], overrides)

    def _place(self, node: Node) -> int:
        """Return what a call is known by: what it calls, with which inputs, and for the how manyeth time."""
        inputs = "".join(f"{name}={_token(value)};" for name, value in sorted(node.constants.items()))
        others = [(name, self._named(slot)) for name, slot, _ in node.whole]
        text = f"{node.entity.name}({inputs}{others}{[(name, repr(one)) for name, one in node.nested]})"
        times = self._times[text] = self._times.get(text, -1) + 1
        return int.from_bytes(hashlib.blake2b(f"{text} {times}".encode(), digest_size=8).digest()) >> 1

    def _named(self, slot: int) -> int:
        return self._body.frame.place(slot)


def _token(value: Any) -> str:
    try:
        return token(value)
    except Exception:
        return hashlib.blake2b(shipping.dumps(value), digest_size=16).hexdigest()


def _promised(value: Any) -> Any:
    """Put promises in the place of calls that are not awaited."""
    if isinstance(value, Call):
        return value._promise
    if type(value) is list:
        return [_promised(one) for one in value]
    if type(value) is dict:
        return {key: _promised(one) for key, one in value.items()}
    return like(value, [_promised(one) for one in value]) if isinstance(value, tuple) else value


def _at(made: Any, slot: int) -> Any:
    if isinstance(made, tuple):
        return type(made)(*(_at(one, slot) for one in made))
    path: tuple[Step, ...] = made._path
    return Promise(made._builder, slot, made._annotation, path)


class _Selector(selectors.DefaultSelector):
    """Ends a step of the event loop where it would wait, if there is anything better to do than to wait."""

    def __init__(self, idle: Callable[[], bool]) -> None:
        super().__init__()
        self._idle = idle

    def select(self, timeout: float | None = None) -> Any:
        """Wait for files, unless the body waits for calls."""
        if timeout is not None and timeout <= 0:
            return super().select(timeout)
        if self._idle():
            return super().select(0)
        return super().select(_POLL if timeout is None else min(timeout, _POLL))


class EagerBody:
    """A body that is being executed.

    Parameters
    ----------
    entity
        The eager.
    frame
        Its frame.
    cancelled
        Gives why the run is cancelled, once it is.
    """

    def __init__(self, entity: Any, frame: EagerFrame, cancelled: Callable[[], BaseException | None]) -> None:
        self.entity = entity
        self.frame = frame
        self.builder = _Builder(self)
        self._cancelled = cancelled
        self._futures: dict[int, asyncio.Future[Any]] = {}
        self._awaited = 0
        self._loop = asyncio.SelectorEventLoop(_Selector(self._is_idle))
        self._loop.set_exception_handler(lambda *_: None)
        self._task: asyncio.Task[Any] | None = None

    @unseen
    def future(self, slot: int) -> Generator[Any, None, Any]:
        """Wait for the value of a call."""
        if self._loop.is_closed():
            raise PromiseError(f"a call in {self.entity.name} is awaited when that is over; await it there, and pass on its value")
        future = self._futures.get(slot)
        if future is None:
            future = self._futures[slot] = self._loop.create_future()
            if slot in self.frame.told:
                self._give(slot, self.frame.values[slot])
        self._awaited += 1
        try:
            # Who stops to wait, by a timeout or since another one was first, does not take the value from others.
            return (yield from asyncio.shield(future).__await__())
        finally:
            self._awaited -= 1

    def give(self, slot: int, value: Any) -> None:
        """Give the body the value of a call, or its failure."""
        self.frame.told.add(slot)
        if slot in self._futures:
            self._give(slot, value)

    def _give(self, slot: int, value: Any) -> None:
        future = self._futures[slot]
        if future.done():
            return
        if type(value) is Failed:
            future.set_exception(_raisable(value.exception()))
            # Whether anybody awaits it is the body's affair.
            future.exception()
        else:
            future.set_result(value)

    def _is_idle(self) -> bool:
        """Tell, and end the step, if it is the engine's turn: calls are to be executed, or awaited from elsewhere."""
        if self.builder.pending or self.frame.left or self.frame.outstanding or self._cancelled() is not None:
            self._loop.stop()
            return True
        return False

    def step(self) -> None:
        """Run the body until it waits for calls, or is over."""
        state = context.state
        outer, state.builder = state.builder, self.builder
        try:
            self._run()
        finally:
            state.builder = outer

    def _run(self) -> None:
        if self._task is None:
            self._task = self._loop.create_task(self.entity.fn(**self.frame.inputs))
            self._task.add_done_callback(partial(_stop, self._loop))
        if self._task.done():
            return
        if coroutines.has_loop():
            # A notebook's loop runs in this thread, and one thread runs one loop.
            abandon.call(self._loop.run_forever, name="daskflow eager")
        else:
            self._loop.run_forever()

    @property
    def done(self) -> bool:
        """Whether the body is over."""
        return self._task is not None and self._task.done()

    def result(self) -> Any:
        """Return what the body gave, or raise what it raised."""
        assert self._task is not None
        value = self._task.result()
        if isinstance(value, Call):
            raise PromiseError(f"{self.entity.name} returned {value!r}; return await ... instead")
        return value

    def close(self) -> None:
        """Drop the body; what it has open is closed."""
        state = context.state
        outer, state.builder = state.builder, self.builder
        try:
            self._drop()
        finally:
            state.builder = outer

    def _drop(self) -> None:
        left = asyncio.all_tasks(self._loop)
        for task in left:
            # It is run again elsewhere, or has failed: that it did not end is nothing to be warned of.
            task._log_destroy_pending = False  # type: ignore[attr-defined]
            with suppress(BaseException):
                task.get_coro().close()
        self._loop.close()
        # What still waits for a call knows the body: all that was executing would stay with it until the garbage collector comes by.
        del self.frame, self._cancelled
        self._futures.clear()
        self._task = None


def _stop(loop: asyncio.AbstractEventLoop, _: object) -> None:
    loop.stop()


def _raisable(error: BaseException) -> BaseException:
    """Return what a future can hold: not every exception may be raised into a coroutine."""
    if isinstance(error, (StopIteration, KeyboardInterrupt)):
        stand_in = RuntimeError(f"{type(error).__name__}: {error}")
        stand_in.__cause__ = error
        return stand_in
    return error
