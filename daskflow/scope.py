"""Scopes: where a frame stands in its run. Addresses, keys and limits are made from them."""

from __future__ import annotations

import hashlib
from collections.abc import Container, Iterator, Sequence
from typing import Any, NamedTuple

from daskflow.admission import Pool
from daskflow.levels import Level
from daskflow.options import DEFAULT_MAX_PARALLELISM


class Scope(NamedTuple):
    """Where a frame stands: what its addresses, keys and limits are made from.

    Attributes
    ----------
    run_id : str
        The run that the frame's nodes belong to.
    address : str
        The path of labels from the top-level run down to the frame; empty for the run's own body.
    digest : bytes
        Stands for the path in keys; the same whenever the same run is executed again.
    pool : Pool or None
        The innermost limit on the frame's nodes.
    set_pool : Pool or None
        The innermost limit that a user set: what child runs inherit.
    depth : int
        How many frames are below it; deeper units go first.
    default : int
        The limit of a run that has none set on it or above it; 0 for no limit.
    item : int or None
        The index in the innermost map around the frame.
    overwrite : bool
        Whether cached nodes are executed all the same, and stored anew: what a launch plan says of all that is below it.
    domain : tuple of str
        What fails with the frame, outermost first; empty where its failure is that of the whole run.
    plans : tuple of str
        The launch plans of which there may be only so many runs and that the frame is in a run of, once for each run.
    trail : tuple of Level
        The calls that lead from the run down to the frame, once somebody has asked (:meth:`~daskflow.frame.Frame.traced`).
    """

    run_id: str
    address: str
    digest: bytes
    pool: Pool | None
    set_pool: Pool | None
    depth: int
    default: int
    item: int | None = None
    overwrite: bool = False
    domain: tuple[str, ...] = ()
    plans: tuple[str, ...] = ()
    trail: tuple[Level, ...] = ()

    @classmethod
    def of_run(cls, run_id: str, max_parallelism: int | None, default: int = DEFAULT_MAX_PARALLELISM) -> Scope:
        """Return the scope of a top-level run; no limit set means the default, and 0 none at all."""
        digest = _digest(b"", run_id)
        pool = set_pool = None
        if max_parallelism:
            pool = set_pool = Pool(run_id, max_parallelism)
        elif max_parallelism is None and default:
            pool = Pool(run_id, default)
        return cls(run_id, "", digest, pool, set_pool, 0, default)

    def join(self, label: str) -> str:
        """Return the address of a node in the frame."""
        return join(self.address, label)

    def inner(self, label: str, part: object) -> Scope:
        """Return the scope of a sub-workflow's or dynamic's frame."""
        return self._replace(address=self.join(label), digest=_digest(self.digest, part), depth=self.depth + 1, trail=())

    def in_plan(self, plan: Any) -> Scope:
        """Return the scope within a run of a launch plan, if there may be only so many runs of it."""
        return self if plan.concurrency is None else self._replace(plans=(*self.plans, plan.name))

    def child_run(self, label: str, part: object, limit: int | None, overwrite: bool = False) -> Scope:
        """Return the scope of a child run, whose own limit adds to those set above it."""
        digest = _digest(self.digest, part)
        run_id = _child_id(self.run_id, digest)
        pool = set_pool = self.set_pool
        if limit:
            pool = set_pool = Pool(run_id, limit, self.set_pool)
        elif limit is None and self.set_pool is None and self.default:
            pool = Pool(run_id, self.default)
        overwrite = overwrite or self.overwrite
        return Scope(
            run_id, self.join(label), digest, pool, set_pool, self.depth + 1, self.default, self.item, overwrite, self.domain, self.plans
        )

    def mapped(self, label: str, part: object, concurrency: int | None, over_runs: bool) -> Scope:
        """Return the scope of a map's items; `over_runs` says that each item is a child run."""
        inner = self.inner(label, part)
        if concurrency is None:
            return inner
        # A child run is not bound by the default limit of the run that starts it, only by limits that were set.
        return inner._limited(concurrency, self.set_pool if over_runs else self.pool)

    def sub_workflow(self, label: str, part: object, limit: int | None) -> Scope:
        """Return the scope of a workflow that is called in line; its own limit holds within that of the run."""
        inner = self.inner(label, part)
        return inner._limited(limit, self.pool) if limit else inner

    def _limited(self, limit: int, above: Pool | None) -> Scope:
        pool = Pool(f"{self.run_id}/{self.digest.hex()[:10]}", limit, above)
        return self._replace(pool=pool, set_pool=pool)

    def inner_domain(self, part: object, length: int) -> tuple[str, ...]:
        """Return the domain of a part of the frame that may fail without it; `length` as for :func:`domain_name`."""
        return (*self.domain, domain_name(_digest(self.digest, part).hex()[:16], length))

    @property
    def entry_pool(self) -> Pool | None:
        """The innermost limit on nodes that only start child runs: those are not bound by the default limit of their parent."""
        return self.pool if self.pool is self.set_pool else self.set_pool


def child_id(run_id: str, digest: bytes, part: object) -> str:
    """Return the id of the child run `part` of a body with that digest, which belongs to the run `run_id`."""
    return _child_id(run_id, _digest(digest, part))


def domain_name(id: str, length: int) -> str:
    """Return the name of a domain.

    Parameters
    ----------
    id
        Tells it from others.
    length : int
        How long the address is of the highest node in it: the failure of a node within, or of one around it, is the domain's if
        its address is at least as long.
    """
    return f"{id}:{length}"


def falls(domain: Sequence[str], place: str) -> str | None:
    """Return what falls of the domains, outermost first, of something at or below an address when what is at that address fails.

    Examples
    --------
    >>> falls(["a:7", "b:15"], "flow[3]/step"), falls(["a:7", "b:15"], "flow")
    ('a:7', None)
    """
    return next((one for one in reversed(domain) if int(one.rpartition(":")[2]) <= len(place)), None)


def is_in(address: str, place: str) -> bool:
    """Tell whether an address is another one, or below it; calls of one name in one body are below that name.

    Examples
    --------
    >>> is_in("flow/step[2]", "flow/step"), is_in("flow/step2", "flow/step"), is_in("flow", "flow/step"), is_in("flow", "")
    (True, False, False, True)
    """
    return not place or (address.startswith(place) and address[len(place) : len(place) + 1] in ("", "/", "["))


def join(address: str, label: str) -> str:
    """Return the address of a node in the frame of an address; a map's item follows the map's own label."""
    if not address or label.startswith("["):
        return f"{address}{label}"
    return f"{address}/{label}" if label else address


def above_all(address: str) -> Iterator[str]:
    """Yield an address and all above it, the run's own excepted.

    Examples
    --------
    >>> list(above_all("level1/level2[1]/step"))
    ['level1/level2[1]/step', 'level1/level2[1]', 'level1/level2', 'level1']
    """
    while address:
        yield address
        address = address[: max(address.rfind("/"), address.rfind("["), 0)]


def cancelled_at(address: str, places: Container[str]) -> str | None:
    """Return the innermost of some addresses, however many, that an address is, or is below; ``None`` where there is none.

    Examples
    --------
    >>> cancelled_at("level1/level2[1]/step", {"level1", "level1/level2", "level1/level"})
    'level1/level2'
    """
    return next((one for one in above_all(address) if one in places), None)


def _child_id(run_id: str, digest: bytes) -> str:
    return f"{run_id.partition('.')[0]}.{digest.hex()[:10]}"


def _digest(outer: bytes, part: object) -> bytes:
    return hashlib.blake2b(repr(part).encode(), key=outer, digest_size=16).digest()
