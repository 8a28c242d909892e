"""Units and pools as they travel between workers, drivers and the scheduler: plain data and opaque bytes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from daskflow import shipping
from daskflow.admission import Pool
from daskflow.records import Spec
from daskflow.spilling import Unit
from daskflow.stacks import unit_address
from daskflow.terms import read_terms


def spec(unit: Unit, names: Mapping[int, tuple[str, int]] | None = None) -> tuple[Any, ...]:
    """Return a unit as it travels to the scheduler: plain data and opaque bytes."""
    # What a driver gives may be of a class in a module of the user's, which workers need not have.
    data = shipping.dumps(unit.frames) if names is None else shipping.dumps_by_value(unit.frames, names)
    return (unit.key, data, unit.deps, pool_chain(unit.pool), unit.depth, tuple(unit.terms), unit.domain, unit_address(unit.frames))


def pool_chain(pool: Any) -> list[tuple[str, int]]:
    """Return the ids and limits of a pool's chain, innermost first."""
    return [] if pool is None else [(one.id, one.limit) for one in pool.chain()]


def read_pool(chain: list[Any]) -> Pool | None:
    """Rebuild a pool from the ids and limits of its chain, innermost first."""
    pool: Pool | None = None
    for id, limit in reversed(chain):
        pool = Pool(id, limit, pool)
    return pool


def read_spec(record: Any) -> Spec:
    """Read a unit that came from a worker or driver."""
    key, payload, deps, chain, depth, terms, domain, address = record
    return Spec(key, payload, tuple(deps), read_pool(chain), depth, read_terms(terms), tuple(domain), address)
