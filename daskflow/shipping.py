"""Shipping: how entities, frames and values travel between processes.

A run's code is shipped once: the entity that is run, with all that it reaches, is pickled by value as one *shipment*, which
the scheduler keeps as opaque bytes under its digest and hands to each worker process that asks. The entities inside are numbered
in the order in which they were met, so later messages name them by digest and number. What a user wrote in modules of their own
travels by value too, so workers need not have those modules; what is installed is imported where it arrives.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import os
import pickle
import site
import sys
import sysconfig
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import CodeType, ModuleType, TracebackType
from typing import Any

import cloudpickle

from daskflow import classes
from daskflow.classes import travelling
from daskflow.entity import Entity
from daskflow.errors import DaskflowError, InputError

_PACKAGE = os.path.dirname(os.path.abspath(__file__))


def _installed_paths() -> tuple[str, ...]:
    paths = {*sysconfig.get_paths().values(), *site.getsitepackages(), site.getusersitepackages(), _PACKAGE}
    named = {os.path.realpath(path) + os.sep for path in paths if path}
    # The scripts' directory and the data root hold no modules, but may be above a user's project.
    return tuple(named - {os.path.realpath(sysconfig.get_path(name)) + os.sep for name in ("data", "scripts")})


_INSTALLED = _installed_paths()
_by_value_lock = threading.Lock()
_seen_modules: dict[str, bool] = {}
_looked_at: set[str] = set()
_users: set[str] = set()


def _is_ours(name: str) -> bool:
    return name.partition(".")[0] in ("daskflow", "daskflow_plugins")


def is_users(module: ModuleType) -> bool:
    """Tell whether a module is a user's own file, and not part of Python or of an installed distribution."""
    name = module.__name__
    if name not in _seen_modules:
        path = getattr(module, "__file__", None)
        _seen_modules[name] = (
            path is not None and name != "__main__" and not os.path.realpath(path).startswith(_INSTALLED) and not _is_ours(name)
        )
    return _seen_modules[name]


@contextmanager
def _users_modules_by_value() -> Iterator[None]:
    # The registry of modules is the process' own, and somebody else may be using it as well.
    with _by_value_lock:
        known = cloudpickle.list_registry_pickle_by_value()
        found = [module for name in _users_names() if (module := _module(name)) is not None and module.__name__ not in known]
        # A child process of multiprocessing has its main module under two names.
        added = {module.__name__: module for module in found}
        for module in added.values():
            cloudpickle.register_pickle_by_value(module)
        try:
            yield
        finally:
            for module in added.values():
                cloudpickle.unregister_pickle_by_value(module)


def _users_names() -> set[str]:
    """Return the names of users' modules; of thousands of modules only those are looked at that are new."""
    new = sys.modules.keys() - _looked_at
    _users.update(name for name in new if (module := _module(name)) is not None and is_users(module))
    _looked_at.update(new)
    return _users


def _module(name: str) -> ModuleType | None:
    module: Any = sys.modules.get(name)
    return module if isinstance(module, ModuleType) and module.__name__ in sys.modules else None


def users_module_of(thing: Any) -> ModuleType | None:
    """Return the script, or the user's module, that has a variable for a thing which does not say where it comes from."""
    with _by_value_lock:
        names = ["__main__", *_users_names()]
    modules = [module for module in map(sys.modules.get, names) if module is not None]
    return next((module for module in modules if any(one is thing for one in list(vars(module).values()))), None)


#: Dataclasses compare with this sentinel by identity, which a copy made by pickling would not have.
_SENTINEL = type(dataclasses.MISSING)


#: What cloudpickle writes in the place of a code object's file, which users want to see in tracebacks.
_NO_FILE = "<dynamic-code>"


#: How exceptions, and their tracebacks, are pickled among values; set by :mod:`daskflow.outcome`.
reduced_error: Callable[[BaseException | TracebackType], Any] | None = None


def _missing() -> Any:
    return dataclasses.MISSING


class Pickler(cloudpickle.Pickler):
    """Pickles entities by name where they have one, by value otherwise."""

    def __init__(
        self,
        file: io.BytesIO,
        buffers: Callable[[pickle.PickleBuffer], Any] | None = None,
        names: Mapping[int, tuple[str, int]] | None = None,
    ) -> None:
        super().__init__(file, protocol=5, buffer_callback=buffers)
        self._names = names or {}

    def reducer_override(self, obj: Any) -> Any:
        if type(obj) is _SENTINEL:
            return _missing, ()
        if type(obj) is CodeType:
            code: Any = self.dispatch_table[CodeType](obj)
            make, arguments = code
            return make, tuple(obj.co_filename if one == _NO_FILE else one for one in arguments)
        if isinstance(obj, Entity):
            name = obj.shipment or self._names.get(id(obj))
            if name is not None:
                return entity_of, name
        if reduced_error is not None and isinstance(obj, (BaseException, TracebackType)):
            return reduced_error(obj)
        reduced: Any = super().reducer_override(obj)
        return travelling(obj, reduced) if isinstance(obj, type) else reduced


class _ShippingPickler(Pickler):
    """Numbers the entities that it meets."""

    def __init__(self, file: io.BytesIO, prepare: Callable[[Entity[..., Any]], None]) -> None:
        super().__init__(file)
        self.entities: list[Entity[..., Any]] = []
        self._prepare = prepare

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, Entity) and obj.shipment is None:
            self.entities.append(obj)
            self._prepare(obj)
            return NotImplemented
        return super().reducer_override(obj)


class Shipment:
    """The code of a run.

    Attributes
    ----------
    digest : str
        Names it: the same bytes have the same digest.
    data : bytes
        The pickle.
    """

    __slots__ = ("_entities", "data", "digest")

    def __init__(self, data: bytes, entities: list[Entity[..., Any]]) -> None:
        self.data = data
        self.digest = hashlib.blake2b(data, digest_size=16).hexdigest()
        self._entities = entities

    @property
    def names(self) -> dict[int, tuple[str, int]]:
        """How the entities are named where they arrive, by their ``id()`` here."""
        return {id(entity): (self.digest, number) for number, entity in enumerate(self._entities)}

    @classmethod
    def of(cls, entity: Entity[..., Any], prepare: Callable[[Entity[..., Any]], None] = lambda _: None) -> Shipment:
        """Ship an entity with all that it reaches; its number is 0. Each is prepared before it is pickled.

        Raises
        ------
        InputError
            When something that it reaches cannot be pickled.
        """
        file = io.BytesIO()
        pickler = _ShippingPickler(file, prepare)
        try:
            with _users_modules_by_value():
                pickler.dump(entity)
                numbered = pickler.entities
                pickler.dump(numbered)
        except DaskflowError:
            raise
        except Exception as error:
            raise InputError(f"{entity.name} cannot travel to workers, since what it uses does not pickle: {error}") from error
        return cls(file.getvalue(), numbered)


_loaded: dict[str, list[Entity[..., Any]]] = {}
_loading = threading.RLock()
#: So many shipments are kept in a process, the last that came: an older one is fetched again if it is needed.
_MOST_LOADED = 100

#: How a process that does not have a shipment gets its bytes; set by who runs units.
fetch: Callable[[str], bytes] | None = None


def entity_of(digest: str, number: int) -> Entity[..., Any]:
    """Return an entity of a shipment, which is fetched and unpickled if this process has not met it."""
    entities = _loaded.get(digest)
    if entities is None:
        entities = _load(digest)
    return entities[number]


def _load(digest: str) -> list[Entity[..., Any]]:
    with _loading:
        if digest not in _loaded:
            assert fetch is not None
            _loaded[digest] = unpack(fetch(digest), digest)
            _let_go_of_oldest()
        return _loaded[digest]


def _let_go_of_oldest() -> None:
    if len(_loaded) > _MOST_LOADED:
        del _loaded[next(iter(_loaded))]
        classes.forget_unused()


def unpack(data: bytes, digest: str) -> list[Entity[..., Any]]:
    """Unpickle a shipment's entities and give each its name."""
    unpickler = pickle.Unpickler(io.BytesIO(data))
    with classes.unpacking(digest):
        unpickler.load()
        entities: list[Entity[..., Any]] = unpickler.load()
    for number, entity in enumerate(entities):
        entity.shipment = (digest, number)
    return entities


@contextmanager
def at_hand(digest: str, data: bytes) -> Iterator[None]:
    """Have a shipment in this process for a while, for what names its entities."""
    with _loading:
        known = digest in _loaded
        if not known:
            _loaded[digest] = unpack(data, digest)
        try:
            yield
        finally:
            if not known:
                del _loaded[digest]


def dumps(
    value: Any,
    buffers: Callable[[pickle.PickleBuffer], Any] | None = None,
    names: Mapping[int, tuple[str, int]] | None = None,
) -> bytes:
    """Pickle frames or values; entities that came in a shipment travel as names.

    Parameters
    ----------
    value
        What to pickle.
    buffers
        Called with each large buffer that stays out of the bytes.
    names
        The names of entities that are in a shipment made here.
    """
    file = io.BytesIO()
    Pickler(file, buffers, names).dump(value)
    return file.getvalue()


def dumps_by_value(value: Any, names: Mapping[int, tuple[str, int]] | None = None) -> bytes:
    """Pickle anything, with users' own modules by value, for processes that may not have those; otherwise as :func:`dumps`."""
    with _users_modules_by_value():
        return dumps(value, names=names)


class _WholePickler(Pickler):
    """Pickles all entities by value, those that came in a shipment too."""

    def reducer_override(self, obj: Any) -> Any:
        return NotImplemented if isinstance(obj, Entity) else super().reducer_override(obj)


def dumps_whole(value: Any) -> bytes:
    """Pickle anything with all that it needs, for a process that can ask nobody for a shipment."""
    file = io.BytesIO()
    with _users_modules_by_value():
        _WholePickler(file).dump(value)
    return file.getvalue()


loads = pickle.loads
