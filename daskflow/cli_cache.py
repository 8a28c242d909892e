"""``daskflow cache``: what is in the cache, and how to be rid of it."""

from __future__ import annotations

import fnmatch
import json
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from daskflow.errors import OptionError

if TYPE_CHECKING:
    from daskflow.store import Store

_FAILED, _USAGE, _UNREACHABLE = 1, 2, 3
_as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group()
def cache() -> None:
    """Look at, and clear, what is cached.

    Where that is says the configuration key daskflow.cache.url.
    """


def _store() -> Store:
    from daskflow.config import cache_settings
    from daskflow.store import open_store

    settings = cache_settings(enabled=True)
    assert settings is not None
    return open_store(settings.url, settings.memory_bytes, settings.max_bytes, settings.max_age)


def _told(command: Callable[..., Any]) -> Callable[..., Any]:
    """Say what is wrong with the store or the configuration in one line."""

    @wraps(command)
    def wrapped(*args: Any, **options: Any) -> Any:
        from daskflow.places import StoreError

        try:
            return command(*args, **options)
        except StoreError as error:
            click.echo(f"daskflow: {error}", err=True)
            sys.exit(_UNREACHABLE)
        except OptionError as error:
            click.echo(f"daskflow: {error}", err=True)
            sys.exit(_USAGE)

    return wrapped


def _when(seconds: float | None) -> str:
    return "" if seconds is None else datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _size(nbytes: int) -> str:
    from dask.utils import format_bytes

    return str(format_bytes(nbytes))


def _heads(store: Store) -> Iterator[dict[str, Any]]:
    """Yield what is known of each entry, its key included."""
    stored = store.keys()
    for key in stored:
        head = store.head(key)
        if head is not None:
            yield {"key": key, **head}


@cache.command()
@_as_json
@_told
def info(as_json: bool) -> None:
    """Show where the cache is and how much is in it."""
    found = _store().info()
    if as_json:
        click.echo(json.dumps(found))
        return
    click.echo(f"{found['url']}\n{found['entries']} entries, {_size(found['bytes'])}")
    if found["entries"]:
        click.echo(f"from {_when(found['oldest'])} to {_when(found['newest'])} UTC")


@cache.command()
@click.argument("pattern", default="*")
@_as_json
@_told
def ls(pattern: str, as_json: bool) -> None:
    """List entries, the newest first: those whose entity's name fits PATTERN, such as "flows.*"."""
    rows = [one for one in _heads(_store()) if _fits(one, pattern)]
    rows.sort(key=lambda one: -float(one["created"]))
    if as_json:
        click.echo(json.dumps(rows))
        return
    for one in rows:
        click.echo(f"{one['key'][:16]}  {_when(one['created'])}  {_size(one['nbytes']):>11}  {one.get('entity', '')}")


def _fits(head: dict[str, Any], pattern: str) -> bool:
    """Tell whether an entry is meant: by its entity's name, or the beginning of its key."""
    return fnmatch.fnmatchcase(str(head.get("entity", "")), pattern) or (len(pattern) >= 6 and str(head["key"]).startswith(pattern))


@cache.command()
@click.argument("key")
@_as_json
@_told
def show(key: str, as_json: bool) -> None:
    """Show an entry, by its KEY or the beginning of it."""
    store = _store()
    stored = store.keys()
    found = [one for one in stored if one.startswith(key)]
    if len(found) != 1:
        click.echo(f"daskflow: {len(found)} entries have a key that begins with {key!r}; daskflow cache ls shows them", err=True)
        sys.exit(_USAGE)
    head = store.head(found[0])
    entry = store.get(found[0])
    if head is None or entry is None:
        click.echo(f"daskflow: the entry {found[0]} is damaged or gone", err=True)
        sys.exit(_FAILED)
    if as_json:
        click.echo(json.dumps({"key": found[0], **head, "value": repr(entry.value)}))
        return
    for name, value in {"key": found[0], **head, "created": _when(head["created"])}.items():
        click.echo(f"{name:<8}  {value}")
    import pprint

    click.echo(pprint.pformat(entry.value, width=100, sort_dicts=False))


@cache.command()
@click.argument("pattern")
@_told
def rm(pattern: str) -> None:
    """Remove entries whose entity's name fits PATTERN, or whose key begins with it."""
    store = _store()
    gone = [one["key"] for one in list(_heads(store)) if _fits(one, pattern) and store.remove(one["key"])]
    click.echo(f"{len(gone)} entries removed")
    if not gone:
        sys.exit(_FAILED)


@cache.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
@_told
def clear(yes: bool) -> None:
    """Remove everything."""
    store = _store()
    if not yes:
        click.confirm(f"Remove everything from the cache at {store.url}?", abort=True)
    click.echo(f"{store.clear()} entries removed")


@cache.command()
@_told
def evict() -> None:
    """Remove what is too old, and the least used of what is too much."""
    click.echo(f"{_store().evict(time.time())} entries removed")


@cache.command()
@_told
def verify() -> None:
    """Read every entry, and name the damaged ones."""
    checked = bad = 0
    for key, wrong in _store().verify():
        checked += 1
        if wrong is not None:
            bad += 1
            click.echo(f"{key}  {wrong}")
    click.echo(f"{checked} entries, {bad} damaged")
    if bad:
        sys.exit(_FAILED)
