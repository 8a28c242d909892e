"""``conditional``: one of several branches, chosen when the graph runs.

A conditional is a node. Each branch is a graph of its own, of the calls that are written inside its ``then``; what those take from outside
are inputs of the node. When it is entered, its conditions are looked at in order, and the graph of the first that holds is executed
in its place: what the others would have called has no node and no address.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from daskflow import context
from daskflow.builder import Builder
from daskflow.entity import BRANCH, Entity
from daskflow.errors import BranchFailed, GraphError, PromiseError
from daskflow.expressions import Expression, Plain, holds, plain, promises
from daskflow.graph import Graph
from daskflow.interface import Interface, Outputs, Parameter
from daskflow.overrides import check_name
from daskflow.promise import Promise
from daskflow.types import assignable, describe


class Branch(NamedTuple):
    """One branch.

    Attributes
    ----------
    condition
        When it is taken.
    graph : Graph or None
        What is executed then; ``None`` where the conditional fails.
    captured : tuple of str
        The inputs of the conditional that are the graph's inputs.
    message : str
        What the failure says.
    """

    condition: Plain
    graph: Graph | None
    captured: tuple[str, ...] = ()
    message: str = ""


class Conditional(Entity[..., Any]):
    """A choice between graphs. Made by :func:`conditional`."""

    kind = BRANCH
    kind_name = "conditional"
    may_cache = False
    names_inputs = False

    def __init__(self, name: str, owner: str, branches: list[Branch], parameters: dict[str, Parameter], annotation: Any) -> None:
        self.name = f"{owner}.{name}"
        self.short_name = name
        self.branches = branches
        self.interface = Interface(self.name, parameters, Outputs(annotation))

    def choose(self, inputs: dict[str, Any]) -> tuple[Graph, list[Any]]:
        """Return the graph of the first branch whose condition holds, and its inputs' values.

        Raises
        ------
        BranchFailed
            When that branch is one that fails.
        """
        for branch in self.branches:
            if holds(branch.condition, inputs):
                if branch.graph is None:
                    raise BranchFailed(branch.message)
                return branch.graph, [inputs[name] for name in branch.captured]
        raise BranchFailed(f"no branch of the conditional {self.name} was taken")

    def prepare(self) -> None:
        """Prepare what the branches call."""
        for branch in self.branches:
            for node in branch.graph.nodes if branch.graph is not None else ():
                node.entity.prepare()


class _BranchBuilder(Builder):
    """Records the calls of one branch; promises from outside become inputs, which have negative slots until all are known."""

    def __init__(self, section: ConditionalSection) -> None:
        super().__init__(f"{section.name} in {section.outer.owner}")
        self.section = section
        self.captured: dict[tuple[int, tuple[Any, ...]], Promise] = {}

    def own(self, promise: Promise) -> Promise:
        """Return a promise as one of this graph's."""
        if promise._builder is self:
            return promise
        outer = self.section.outer.own(promise)
        key = (outer._slot, outer._path)
        if key not in self.captured:
            self.captured[key] = Promise(self, -1 - len(self.captured), outer._annotation)
            self.section.capture(outer)
        return self.captured[key]

    def describe_slot(self, slot: int) -> str:
        if slot < 0:
            (outer,) = [key for key, own in self.captured.items() if own._slot == slot]
            return self.section.outer.describe_slot(outer[0])
        return super().describe_slot(slot)

    def branch(self, condition: Plain, returned: Any, annotation: Any) -> Branch:
        """Close the branch with what it gives."""
        graph = self.finish(returned, Outputs(annotation))
        names = tuple(self.section.names[key] for key in self.captured)
        return Branch(condition, graph.with_inputs(len(names)), names)


class ConditionalSection:
    """A conditional that is being written."""

    def __init__(self, name: str, outer: Builder) -> None:
        self.name = name
        self.outer = outer
        self.branches: list[Branch] = []
        self.annotations: list[Any] = []
        self.inputs: dict[str, Promise] = {}
        self.names: dict[tuple[int, tuple[Any, ...]], str] = {}
        outer.open.append(self)

    def capture(self, promise: Promise) -> str:
        """Return the name of the input that a promise becomes."""
        promise = self.outer.own(promise)
        key = (promise._slot, promise._path)
        if key not in self.names:
            self.names[key] = f"in{len(self.names)}"
            self.inputs[self.names[key]] = promise
        return self.names[key]

    def if_(self, expression: Any) -> Case:
        """Begin the first branch, which is taken if the expression holds."""
        return Case(self, expression)

    def end(self) -> Any:
        """Record the node of the whole; return its promise."""
        self.outer.open.remove(self)
        parameters = {name: Parameter(name, promise._annotation) for name, promise in self.inputs.items()}
        entity = Conditional(self.name, self.outer.owner, self.branches, parameters, self._annotation())
        return self.outer.add(entity, dict(self.inputs))

    def _annotation(self) -> Any:
        """Return the declared type of what any of the branches gives."""
        if not self.annotations:
            return None
        widest = self.annotations[0]
        for one in self.annotations[1:]:
            if _names(widest) != _names(one):
                raise GraphError(
                    f"the branches of conditional {self.name!r} in {self.outer.owner} give outputs of different names or number: "
                    f"{_names(widest) or 'one'} and {_names(one) or 'one'}; have all give the same"
                )
            if assignable(widest, one):
                widest = one
            elif not assignable(one, widest):
                raise GraphError(
                    f"the branches of conditional {self.name!r} in {self.outer.owner} give different types: "
                    f"{' and '.join(describe(annotation) for annotation in (widest, one))}; have all give the same"
                )
        return widest

    def __repr__(self) -> str:
        return f"<conditional {self.name!r}>"


class Case:
    """A branch that is being written: what is called inside :meth:`then` is executed only if the branch is taken."""

    def __init__(self, section: ConditionalSection, expression: Any, last: bool = False) -> None:
        self._section = section
        self._last = last
        self._condition = plain(_checked(expression, section), section.capture)
        self._builder = context.state.builder = _BranchBuilder(section)

    def then(self, gives: Any) -> Any:
        """End the branch with what it gives: a promise, several, a value, or ``None``."""
        annotation = _annotation_of(gives)
        value = tuple(gives) if isinstance(gives, tuple) else getattr(gives, "_promise", gives)
        # A call that gives nothing is executed all the same.
        self._close(self._builder.branch(self._condition, None if annotation is type(None) else value, annotation))
        self._section.annotations.append(annotation)
        return self._next()

    def fail(self, message: str) -> Any:
        """End the branch with a failure: if it is taken, :class:`~daskflow.errors.BranchFailed`, a ``ValueError``, says so."""
        if not isinstance(message, str):
            raise GraphError(f"fail of {self._section!r} takes the text of the failure; got {message!r}")
        self._close(Branch(self._condition, None, message=message))
        return self._next()

    def _close(self, branch: Branch) -> None:
        context.state.builder = self._section.outer
        self._section.branches.append(branch)

    def _next(self) -> Any:
        return self._section.end() if self._last else Condition(self._section)

    def __repr__(self) -> str:
        return f"<a branch of {self._section!r}, which needs then(...) or fail(...)>"


class Condition:
    """A conditional with a branch or more, and not the last one."""

    def __init__(self, section: ConditionalSection) -> None:
        self._section = section

    def elif_(self, expression: Any) -> Case:
        """Begin another branch, which is taken if none before is, and the expression holds."""
        return Case(self._section, expression)

    def else_(self) -> Case:
        """Begin the last branch, which is taken if none before is."""
        return Case(self._section, True, last=True)

    def __repr__(self) -> str:
        return f"{self._section!r}, which needs else_()"


def _checked(expression: Any, section: ConditionalSection) -> Any:
    if isinstance(expression, Promise):
        raise PromiseError(f"{expression!r} is no condition for {section!r}; write .is_true(), or compare it: conditional(...).if_(p > 1)")
    if not isinstance(expression, (Expression, bool)):
        raise PromiseError(f"{expression!r} is no condition for {section!r}; compare a promise: conditional(...).if_(p > 1)")
    for promise in promises(expression):
        section.outer.own(promise)
    return expression


def _names(annotation: Any) -> str:
    return ", ".join(Outputs(annotation).names)


def _annotation_of(gives: Any) -> Any:
    gives = getattr(gives, "_promise", gives)
    if isinstance(gives, Promise):
        return gives._annotation
    # What holds the promises of several outputs knows their type.
    return getattr(type(gives), "annotation", type(gives)) if isinstance(gives, tuple) else type(gives)


def conditional(name: str) -> ConditionalSection:
    """Choose one of several branches when the graph runs.

    Parameters
    ----------
    name : str
        Its name in addresses.

    Returns
    -------
    ConditionalSection
        Go on with ``.if_(expression).then(call)``, any number of ``.elif_(expression).then(call)``, and ``.else_().then(call)`` or
        ``.else_().fail(message)``, which gives the promise of what the taken branch gives.

    Raises
    ------
    GraphError
        Outside a workflow's or dynamic's body, or when branches give different types.

    Notes
    -----
    What is called inside an ``if_`` is executed whatever is chosen; what is called inside a ``then`` only if that branch is taken.

    Examples
    --------
    >>> from daskflow import task, workflow
    >>> @task
    ... def half(a: int) -> int:
    ...     return a // 2
    >>> @task
    ... def triple(a: int) -> int:
    ...     return 3 * a
    >>> @workflow
    ... def shrink(a: int) -> int:
    ...     return conditional("size").if_(a > 10).then(half(a=a)).elif_(a < 0).fail("too small").else_().then(triple(a=a))
    >>> shrink(a=20), shrink(a=2)
    (10, 6)
    """
    check_name(name, "the name of a conditional")
    builder = context.state.builder
    if builder is None:
        raise GraphError(f"conditional({name!r}) belongs into a @workflow's or @dynamic's body; in plain Python, write if")
    return ConditionalSection(name, builder)
