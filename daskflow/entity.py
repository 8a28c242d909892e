"""What every entity has in common: a name, an interface, and the three meanings of a call."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine
from typing import Any, ClassVar, Generic, ParamSpec, TypeVar, cast

from daskflow import context
from daskflow.caching import CacheOptions
from daskflow.errors import DefinitionError, NestingError
from daskflow.interface import Interface
from daskflow.taskoptions import TaskOptions
from daskflow.traces import unseen, users_traceback

P = ParamSpec("P")
R_co = TypeVar("R_co", covariant=True)

#: What an executor does with a node, by kind of entity.
TASK, WORKFLOW, DYNAMIC, MAP, LAUNCH_PLAN, BRANCH, GATE, EAGER = range(8)


class Entity(Generic[P, R_co]):
    """Something that can be called: base of tasks, workflows, dynamics, maps and launch plans.

    Attributes
    ----------
    name : str
        The full name: module and qualified name of what the user wrote.
    short_name : str
        The last part of it, as used in addresses.
    interface : Interface
        Its typed inputs and outputs.
    kind : int
        One of the constants of this module.
    """

    kind: int
    kind_name: str
    name: str
    short_name: str
    interface: Interface
    #: The digest of the shipment that brought the entity to this process, and its number there. An entity of
    #: this process' own has none, and travels whole.
    shipment: tuple[str, int] | None = None
    #: The version of its code, made when it is shipped.
    code: str | None = None
    #: Whether it was kept with an earlier run, and has its code's version from there.
    stored: bool = False
    #: How its results are cached, if they are; of a map those of its items.
    cache: CacheOptions | None = None
    #: Whether its other nodes are executed when one has failed; only workflows have the choice.
    keep_going: bool = False
    #: What is executed once it has failed; only workflows have one.
    handler: Any = None
    #: How attempts of it run, if it is a task or dynamic; of a map those of its items.
    options: TaskOptions | None = None
    #: Whether its inputs have names of the user's, by which it is known which of them are secrets.
    names_inputs: bool = True
    #: Whether its results can be cached at all.
    may_cache: bool = True
    #: What is to be done before the first call, if anything.
    before_first_call: Callable[[], None] | None = None

    @unseen
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Run the entity; inside a workflow's or dynamic's body, record a call and return its promise."""
        if self.before_first_call is not None:
            self.before_first_call()
        bound = self.interface.bind(args, kwargs)
        state = context.state
        if state.builder is not None:
            return cast("R_co", state.builder.add(self, bound))
        self._refuse_in_task()
        __tracebackhide__ = True
        try:
            return cast("R_co", self._in_process(bound))
        except BaseException as error:
            raise BaseException.with_traceback(error, users_traceback(error.__traceback__))  # noqa: B904, it is the same one

    def aio(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R_co]:
        """Return a coroutine that runs the entity in process, in one of the threads that ``asyncio.to_thread`` uses.

        Who stops to wait for it does not stop the run.

        Raises
        ------
        NestingError
            When it is called in a workflow's or dynamic's body, or in a task.

        Examples
        --------
        >>> import asyncio
        >>> from daskflow import task
        >>> @task
        ... def double(a: int) -> int:
        ...     return 2 * a
        >>> async def both() -> list[int]:
        ...     return await asyncio.gather(double.aio(a=1), double.aio(a=2))
        >>> asyncio.run(both())
        [2, 4]
        """
        bound = self.interface.bind(args, kwargs)
        if context.state.builder is not None and context.state.builder.awaits:
            return cast("Coroutine[Any, Any, R_co]", context.state.builder.add(self, bound))
        if context.state.builder is not None:
            raise NestingError(f"{self.name}.aio was called in the body of {context.state.builder.owner}: leave out .aio there")
        self._refuse_in_task()
        return self._awaited(bound)

    def _refuse_in_task(self) -> None:
        executing = context.state.executing
        if executing is not None:
            raise NestingError(
                f"{self.title} was called inside the running task {executing()}: "
                f"a task's body is plain Python. Make the caller a @dynamic, {self._plain_way_out()}"
            )

    def _in_process(self, bound: dict[str, Any]) -> Any:
        return context.run_in_process(self, bound)

    def _awaited(self, bound: dict[str, Any]) -> Coroutine[Any, Any, Any]:
        from daskflow import coroutines

        return coroutines.awaited(self, bound)

    def to_delayed(self, *args: P.args, **kwargs: P.kwargs) -> Any:
        """Return an ordinary ``dask.delayed`` graph of the call, with one Dask task for each node.

        Any Dask scheduler computes it, and ``dask.visualize`` draws it; no daskflow plug-in is needed. A dynamic is one task that
        executes all that it starts; limits and caching have no effect.

        Raises
        ------
        InputError
            When the inputs do not fit.

        Examples
        --------
        >>> from daskflow import task
        >>> @task
        ... def add(a: int, b: int) -> int:
        ...     return a + b
        >>> add.to_delayed(a=1, b=2).compute(scheduler="synchronous")
        3
        """
        return context.to_delayed(self, self.interface.bind(args, kwargs))

    def _plain_way_out(self) -> str:
        return "or call plain functions there"

    @property
    def title(self) -> str:
        """The kind and the name, for messages."""
        return f"{self.kind_name} {self.name}"

    def check_lengths(self, bound: dict[str, Any]) -> None:
        """Refuse inputs that do not go together, as far as they are known while a graph is built; only maps have such."""

    def check_options(self, options: TaskOptions, owner: str) -> None:
        """Refuse options of attempts that such an entity cannot have."""

    def prepare(self) -> None:
        """Build what can be built before a run, so that mistakes show before anything starts."""

    def __repr__(self) -> str:
        return f"<{self.title}>"


_NOT_PLAIN = {
    inspect.isasyncgenfunction: "an async generator",
    inspect.isgeneratorfunction: "a generator",
}


class FunctionEntity(Entity[P, R_co]):
    """An entity made from a user's function.

    Attributes
    ----------
    fn
        The function itself.
    """

    _MAY_BE_ASYNC: ClassVar[bool] = False

    def __init__(self, fn: Any, *, untyped: bool = False) -> None:
        if isinstance(fn, Entity):
            raise DefinitionError(f"{fn!r} is an entity already; decorate a function with @{self.kind_name}")
        if not callable(fn) or not hasattr(fn, "__qualname__") or isinstance(fn, type):
            raise DefinitionError(f"@{self.kind_name} decorates a function, not {fn!r}")
        if inspect.iscoroutinefunction(fn) and not self._MAY_BE_ASYNC:
            raise DefinitionError(f"{fn.__qualname__} is an async function, as only tasks may be; @{self.kind_name} takes a plain one")
        for test, what in _NOT_PLAIN.items():
            if test(fn):
                raise DefinitionError(f"{fn.__qualname__} is {what}; @{self.kind_name} takes a plain function: return a value")
        self.fn = fn
        self.name = f"{fn.__module__}.{fn.__qualname__}".replace(".<locals>", "")
        self.short_name = fn.__name__
        self.interface = Interface.of(fn, self.name, untyped=untyped)
        self.__doc__ = fn.__doc__
        self.__name__ = fn.__name__
        self.__qualname__ = fn.__qualname__
        self.__module__ = fn.__module__
        self.__wrapped__ = fn

    def _plain_way_out(self) -> str:
        return f"or call the plain function, {self.short_name}.fn(...)"
