"""Running on a cluster: :func:`run`."""

from __future__ import annotations

import secrets
import sys
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from daskflow import cachedruns, config, context, driver, nodecache, recovering, references, shipping, submissions
from daskflow import keeping as code
from daskflow.caching import CacheSettings
from daskflow.children import Family
from daskflow.entity import LAUNCH_PLAN, Entity
from daskflow.errors import ClusterError, DefinitionError, InputError, NestingError, OptionError
from daskflow.folding import folded
from daskflow.handle import Run
from daskflow.keeping import Keeping, checked_mode
from daskflow.launchplan import top_level
from daskflow.nodecache import NodeCache
from daskflow.options import check_limit
from daskflow.places import located
from daskflow.records import Status
from daskflow.scope import Scope
from daskflow.spilling import root_unit
from daskflow.stacks import root_frame
from daskflow.submissions import Source
from daskflow.terms import NOTHING, Terms
from daskflow.termsteps import plan_limit
from daskflow.unit import scale
from daskflow.versions import versions
from daskflow.wire import spec

if TYPE_CHECKING:
    from distributed import Client


def run(
    entity: Entity[..., Any],
    /,
    *args: Any,
    client: Client | None = None,
    max_parallelism: int | None = None,
    name: str | None = None,
    cache: bool | None = None,
    overwrite_cache: bool = False,
    checkpoint: str | None = None,
    **inputs: Any,
) -> Run:
    """Run an entity on a Dask cluster.

    Parameters
    ----------
    entity
        A task, workflow, dynamic, launch plan or map.
    *args, **inputs
        Its inputs. One with the name of a parameter of this function is given by position, or with :func:`submit`.
    client : distributed.Client, optional
        The cluster. By default the current Dask client's; where there is none, a ``LocalCluster`` that is closed when the run has ended.
    max_parallelism : int, optional
        How many nodes of the run may execute at the same moment: positive, or 0 for unlimited. Goes before what the entity says.
    name : str, optional
        A name for people.
    cache : bool, optional
        Whether results of cached nodes are looked up and stored. By default what ``daskflow.cache.enabled`` says: they are.
    overwrite_cache : bool
        Whether cached nodes are executed all the same, and their results stored anew; child runs included.

    checkpoint : str, optional
        What is kept of the run's work, so that another one can go on from it: ``"auto"`` what took longer to make than it takes to keep,
        ``"all"`` every node's output, ``"off"`` nothing. By default what ``daskflow.checkpoint`` says: ``"auto"``.

    Returns
    -------
    Run
        With ``id``, ``status``, ``wait()``, ``result()`` and ``cancel()``.

    Raises
    ------
    InputError, OptionError, DefinitionError
        When what is given does not fit; nothing has been sent then.
    ClusterError
        When the cluster's versions do not fit, or it cannot be reached.
    """
    own = {"client": client, "max_parallelism": max_parallelism, "name": name, "cache": cache, "overwrite_cache": overwrite_cache or None}
    own["checkpoint"] = checkpoint
    _refuse_ambiguous(entity, len(args), [option for option, given in own.items() if given is not None])
    bound = _bound(entity, args, inputs)
    options = {
        "max_parallelism": max_parallelism,
        "name": name,
        "cache": cache,
        "overwrite_cache": overwrite_cache,
        "checkpoint": checkpoint,
    }
    return submit(entity, bound, client=client, **options)  # type: ignore[arg-type]


def _bound(entity: Any, args: tuple[Any, ...], inputs: dict[str, Any]) -> dict[str, Any]:
    return _entity(entity).interface.bind(args, inputs)


def _refuse_ambiguous(entity: Any, by_position: int, given: list[str]) -> None:
    for option in given:
        if option in list(_entity(entity).interface.parameters)[by_position:]:
            raise InputError(
                f"{option!r} is a parameter of run and an input of {entity.name} as well; "
                f"write run({entity.short_name}, ...) with that input by position, or submit({entity.short_name}, {{{option!r}: ...}})"
            )


def _entity(entity: Any) -> Entity[..., Any]:
    if not isinstance(entity, Entity):
        raise DefinitionError(f"run takes a task, workflow, dynamic, launch plan or map, not {entity!r}; decorate the function with @task")
    return entity


def submit(
    entity: Entity[..., Any],
    inputs: Mapping[str, Any],
    *,
    client: Client | None = None,
    max_parallelism: int | None = None,
    name: str | None = None,
    cache: bool | None = None,
    overwrite_cache: bool = False,
    checkpoint: str | None = None,
) -> Run:
    """Run an entity, with its inputs in a mapping; otherwise as :func:`run`."""
    return begin(entity, inputs, Given(client, max_parallelism, name, cache, overwrite_cache, checkpoint))


class Given(NamedTuple):
    """What is said of a run beside its inputs; for each see :func:`run`."""

    client: Client | None = None
    max_parallelism: int | None = None
    name: str | None = None
    cache: bool | None = None
    overwrite_cache: bool = False
    checkpoint: str | None = None


def begin(entity: Entity[..., Any], inputs: Mapping[str, Any], given: Given, source: Source | None = None) -> Run:
    """Run an entity; `source` is the run that it repeats, or goes on from."""
    _refuse_inside(entity)
    interface = _entity(entity).interface
    if not isinstance(inputs, Mapping):
        raise InputError(f"submit takes the inputs of {entity.name} in a mapping, by their names; got {inputs!r}")
    checked = interface.check_inputs(interface.bind((), dict(inputs)))
    entity.prepare()
    limit = _limit(entity, given.max_parallelism)
    _check_name_and_client(entity, given.name, given.client)
    settings = _cache_settings(entity, given.cache, given.overwrite_cache)
    mode = checked_mode(config.get("checkpoint") if given.checkpoint is None else given.checkpoint, f"the run of {entity.name}")
    if given.checkpoint not in (None, "off") and source is None and not config.get("history.enabled"):
        raise OptionError(
            f"checkpoint={mode!r} of the run of {entity.name} has no effect without a history, from which alone a run is gone on from; "
            "set daskflow.history.enabled to true"
        )
    name, whole = given.name or entity.short_name, entity
    probe = context.mocks and context.mocks(entity)
    plan = plan_limit(entity) if entity.kind == LAUNCH_PLAN else None
    as_given = checked
    entity, checked = top_level(entity, checked)
    run_id = f"r{secrets.token_hex(5)}"
    scope = Scope.of_run(run_id, limit if limit >= 0 else None, config.get("max-parallelism"))
    scope = scope if plan is None else scope._replace(plans=(plan.plan,))
    started = time.time()
    over = folded(entity, checked, scope, NodeCache(lambda: settings)) if probe is None else None
    if over is not None:
        value, report = over
        client, about = given.client or driver.known_client(), submissions.about(whole, as_given, _plain(given), source, None)
        assert settings is not None
        told = cachedruns.tell(client, run_id, name, about, started, settings.url, report, value)
        return Run.folded(run_id, name, client, value, Family([report] if report else [], Status.SUCCEEDED), told)
    keeping = _keeping(mode, run_id, source)
    message = _message(entity, checked, scope, settings, Terms(plan=plan) if plan is not None else NOTHING, keeping)
    message["about"] = submissions.about(whole, as_given, _plain(given), source, keeping.lineage if keeping is not None else None)
    if probe is not None:
        message["options"]["probe"] = probe.shipped()
    client, close = given.client, None
    if client is None:
        client, close = _current_client()
    # Whoever goes on from a run whose cluster was its own looks for no scheduler.
    message["about"]["embedded"] = close is not None
    run = Run(run_id, name, client, close)
    message["name"] = name
    try:
        run._start(message)
        if probe is not None:
            probe.follow(run)
    except BaseException:
        if close is not None:
            close()
        raise
    return run


def _plain(given: Given) -> dict[str, Any]:
    """Return what is said of a run, as it is kept for another that repeats it."""
    return {name: value for name, value in given._asdict().items() if name != "client" and value is not None}


def _keeping(mode: str, run: str, source: Source | None) -> Keeping | None:
    if source is not None and source.recovers:
        return Keeping(mode, source.outputs or _outputs_url(), source.lineage, recovers=True)
    # Nobody can go on from a run that is in no history.
    return Keeping(mode, _outputs_url(), run) if mode != "off" and config.get("history.enabled") else None


def _outputs_url() -> str:
    """Return where outputs are kept, as it is understood in any directory."""
    return located(config.get("cache.url"))[0]


def _refuse_inside(entity: Any) -> None:
    state = context.state
    if state.builder is not None or state.executing is not None:
        where = f"the body of {state.builder.owner}" if state.builder is not None else f"the running task {state.executing()}"  # type: ignore[misc]
        raise NestingError(f"run of {entity!r} was called in {where}; call the entity itself, in a @workflow or @dynamic")


def _check_name_and_client(entity: Any, name: Any, client: Any) -> None:
    if name is not None and (not isinstance(name, str) or not name):
        raise OptionError(f"name of the run of {entity.name} must be text; got {name!r}")
    if client is not None and not hasattr(client, "scheduler"):
        raise OptionError(f"client of the run of {entity.name} must be a Dask client, such as Client('tcp://HOST:8786'); got {client!r}")


def _limit(entity: Any, max_parallelism: int | None) -> int:
    """Return the limit of a run: the nearest word counts."""
    given = check_limit(max_parallelism, "max_parallelism", f"the run of {entity.name}", zero=True)
    target = entity.workflow if entity.kind == LAUNCH_PLAN else entity
    for said in (given, getattr(entity, "max_parallelism", None), getattr(target, "max_parallelism", None)):
        if said is not None:
            return int(said)
    return -1


#: What units must know of the configuration: that of the driver holds for the whole run.
_UNIT_OPTIONS = (
    *("spill-after", "chunk", "reference-bytes", "unit-output-bytes"),
    *("logs.enabled", "logs.level", "logs.node-bytes", "logs.run-bytes"),
)


def _cache_settings(entity: Any, cache: bool | None, overwrite: bool) -> CacheSettings | None:
    for option, given in (("cache", cache is None or cache), ("overwrite_cache", overwrite)):
        if not isinstance(given, bool):
            raise OptionError(f"{option} of the run of {entity.name} must be bool; got {given!r}")
    return config.cache_settings(cache, overwrite or getattr(entity, "overwrite_cache", False))


def _prepare(keeping: Keeping | None, entity: Any) -> None:
    nodecache.prepare(entity)
    if keeping is not None:
        code.prepare(entity)


def _message(
    entity: Entity[..., Any], inputs: dict[str, Any], scope: Scope, cache: CacheSettings | None, terms: Terms, keeping: Keeping | None
) -> dict[str, Any]:
    shipment = shipping.Shipment.of(entity, partial(_prepare, keeping))
    options = {name.replace("-", "_"): value for name, value in zip(_UNIT_OPTIONS, config.values(*_UNIT_OPTIONS), strict=True)}
    root, large = references.inputs(root_unit(root_frame(entity, inputs, scope)), options["reference_bytes"], scale())
    specs = [spec(unit, shipment.names) for unit in (root._replace(terms=terms), *large)]
    return {
        "run": scope.run_id,
        "spec": specs[0],
        "inputs": specs[1:],
        "digest": shipment.digest,
        "code": shipment.data,
        "options": {
            **options,
            "versions": versions(),
            "cache": None if cache is None else tuple(cache),
            "started": time.time(),
            "checkpoints": config.get("cache.url"),
            "keeping": None if keeping is None else tuple(keeping),
            "digest": shipment.digest,
        },
    }


# ---------------------------------------------------------------- the cluster


def _current_client() -> tuple[Client, Callable[[], None] | None]:
    client = driver.known_client()
    return (client, None) if client is not None else _embedded()


def _embedded() -> tuple[Client, Callable[[], None]]:
    from daskflow.connecting import embedded

    if sys.modules["__main__"].__name__ == "__mp_main__":
        raise ClusterError(
            'daskflow.run was called while a worker process imports the main script; put the call under: if __name__ == "__main__":'
        )
    cluster, client = embedded()
    closed = threading.Lock()

    def close() -> None:
        if closed.acquire(blocking=False):
            client.close()
            cluster.close()

    return client, close


recovering.begin = lambda entity, inputs, given, source: begin(entity, inputs, Given(**given), source)
