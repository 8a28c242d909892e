"""Doubles: what a test puts in the place of an entity, as it travels with a run."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterable
from typing import Any

from daskflow.entity import MAP, Entity
from daskflow.errors import MockError, OptionError
from daskflow.patterns import check_pattern, matches


class _Unset:
    """The only value of its class stands for "nothing was said", since ``None`` is a value that a user may mean."""

    __slots__ = ()

    def __reduce__(self) -> str:
        return "UNSET"

    def __repr__(self) -> str:
        return "UNSET"


UNSET: Any = _Unset()


class Double:
    """What answers in the place of an entity.

    An entity is known by its kind and name, which are the same in every process.

    Attributes
    ----------
    entity_name : str
        What it stands for.
    number : int
        Tells it from the others of a run.
    inputs : tuple of str
        The names of its inputs.
    strict : bool
        Whether the entity may not be executed where the double does not answer.
    """

    def __init__(self, entity: Entity[..., Any], number: int, at: str | None, strict: bool) -> None:
        self.entity_name = entity.name
        self.number = number
        self.inputs = tuple(entity.interface.parameters)
        self.at = None if at is None else check_pattern(at)
        self.strict = strict
        self._kind = entity.kind
        self._outputs = entity.interface.outputs
        self._value: Any = None if self._outputs.annotation is type(None) else UNSET
        self._effect: Any = None
        self._asked = itertools.count()

    @property
    def return_value(self) -> Any:
        """What every call gives."""
        return self._value

    @return_value.setter
    def return_value(self, value: Any) -> None:
        self._value = value if value is UNSET else self._outputs.check(value, self._owner)

    @property
    def side_effect(self) -> Any:
        """What every call does: a function of the inputs, an exception to raise, or a list of values and exceptions, one for each call."""
        return self._effect

    @side_effect.setter
    def side_effect(self, effect: Any) -> None:
        if effect is None or callable(effect) or isinstance(effect, BaseException):
            self._effect = effect
        elif isinstance(effect, Iterable) and not isinstance(effect, (str, bytes, dict)):
            self._effect, self._asked = list(effect), itertools.count()
        else:
            raise OptionError(f"side_effect of {self._owner} is a function, an exception or a list, one for each call; got {effect!r}")

    @property
    def _owner(self) -> str:
        return f"the mock of {self.entity_name}"

    def covers(self, entity: Entity[..., Any]) -> bool:
        """Tell whether it stands for an entity."""
        return entity.kind == self._kind and entity.name == self.entity_name

    def is_at(self, path: str) -> bool:
        """Tell whether it stands for the entity at a path."""
        return self.at is None or matches(self.at, path, indexed=self._kind == MAP)

    def answer(self, inputs: dict[str, Any]) -> Any:
        """Do what a call of the double does."""
        effect = self._effect
        if isinstance(effect, list):
            effect = self._next(effect)
            return self._checked(_raised(effect) if _is_exception(effect) else effect)
        if _is_exception(effect):
            return _raised(effect)
        return self._checked(self._plain() if effect is None else effect(**inputs))

    def _plain(self) -> Any:
        if self._value is UNSET:
            raise MockError(f"{self._owner} was called, but it has neither return_value nor side_effect; set one before the call")
        return self._value

    def _next(self, effects: list[Any]) -> Any:
        turn = next(self._asked)
        if turn >= len(effects):
            raise MockError(f"{self._owner} was called once more than its side_effect has items, which are {len(effects)}")
        return effects[turn]

    def _checked(self, value: Any) -> Any:
        return self._outputs.check(value, self._owner)

    def check_travels(self) -> None:
        """Refuse what means nothing where calls happen in many processes.

        Raises
        ------
        OptionError
            When the answers are a list.
        """
        if isinstance(self._effect, list):
            raise OptionError(
                f"side_effect of {self._owner} is a list, one for each call, but on a cluster calls happen in several processes, "
                "in no order; "
                f'give a function of the inputs, or a mock for each node: mock(..., return_value=..., at="**/name[0]")'
            )

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_asked": None}

    def renewed(self) -> None:
        """Begin again with the first of a list of answers."""
        self._asked = itertools.count()


def _is_exception(effect: Any) -> bool:
    return isinstance(effect, BaseException) or (isinstance(effect, type) and issubclass(effect, BaseException))


def _raised(error: Any) -> Any:
    raise _copied(error) if isinstance(error, BaseException) else error


def _copied(error: BaseException) -> BaseException:
    """Return an exception like another one, unless that cannot be copied: what is raised is noted upon, and each call has its own."""
    try:
        made = copy.copy(error)
        # Who has told copyreg how exceptions are pickled may have them share their attributes.
        made.__dict__ = {name: list(value) if name == "__notes__" else value for name, value in error.__dict__.items()}
    except Exception:
        made = error
    return made.with_traceback(None)
