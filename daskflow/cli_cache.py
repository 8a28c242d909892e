"""``daskflow cache``: what is in the cache, and how to be rid of it."""

from __future__ import annotations

import fnmatch
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from daskflow.cli_common import as_text, json_option, say
from daskflow.exits import FAILED, USAGE, fail, told

if TYPE_CHECKING:
    from daskflow.store import Store


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
@json_option
@told
def info(as_json: bool) -> None:
    """Show where the cache is and how much is in it."""
    found = _store().info()
    if as_json:
        say(as_text(found))
        return
    say(f"{found['url']}\n{found['entries']} entries, {_size(found['bytes'])}")
    if found["entries"]:
        say(f"from {_when(found['oldest'])} to {_when(found['newest'])} UTC")


@cache.command()
@click.argument("pattern", default="*")
@json_option
@told
def ls(pattern: str, as_json: bool) -> None:
    """List entries, the newest first: those whose entity's name fits PATTERN, such as "flows.*"."""
    rows = [one for one in _heads(_store()) if _fits(one, pattern)]
    rows.sort(key=lambda one: -float(one["created"]))
    if as_json:
        say(as_text(rows))
        return
    for one in rows:
        say(f"{one['key'][:16]}  {_when(one['created'])}  {_size(one['nbytes']):>11}  {one.get('entity', '')}")


def _fits(head: dict[str, Any], pattern: str) -> bool:
    """Tell whether an entry is meant: by its entity's name, or the beginning of its key."""
    return fnmatch.fnmatchcase(str(head.get("entity", "")), pattern) or (len(pattern) >= 6 and str(head["key"]).startswith(pattern))


@cache.command()
@click.argument("key")
@json_option
@told
def show(key: str, as_json: bool) -> None:
    """Show an entry, by its KEY or the beginning of it."""
    store = _store()
    stored = store.keys()
    found = [one for one in stored if one.startswith(key)]
    if len(found) != 1:
        fail(f"{len(found)} entries have a key that begins with {key!r}; daskflow cache ls shows them", USAGE)
    head = store.head(found[0])
    entry = store.get(found[0])
    if head is None or entry is None:
        fail(f"the entry {found[0]} is damaged or gone", FAILED)
    if as_json:
        say(as_text({"key": found[0], **head, "value": repr(entry.value)}))
        return
    for name, value in {"key": found[0], **head, "created": _when(head["created"])}.items():
        say(f"{name:<8}  {value}")
    import pprint

    say(pprint.pformat(entry.value, width=100, sort_dicts=False))


@cache.command()
@click.argument("pattern")
@told
def rm(pattern: str) -> None:
    """Remove entries whose entity's name fits PATTERN, or whose key begins with it."""
    store = _store()
    gone = [one["key"] for one in list(_heads(store)) if _fits(one, pattern) and store.remove(one["key"])]
    say(f"{len(gone)} entries removed")
    if not gone:
        sys.exit(FAILED)


@cache.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
@told
def clear(yes: bool) -> None:
    """Remove everything."""
    store = _store()
    if not yes:
        click.confirm(f"Remove everything from the cache at {store.url}?", abort=True)
    say(f"{store.clear()} entries removed")


@cache.command()
@told
def evict() -> None:
    """Remove what is too old, and the least used of what is too much."""
    say(f"{_store().evict(time.time())} entries removed")


@cache.command()
@told
def verify() -> None:
    """Read every entry, and name the damaged ones."""
    checked = bad = 0
    for key, wrong in _store().verify():
        checked += 1
        if wrong is not None:
            bad += 1
            say(f"{key}  {wrong}")
    say(f"{checked} entries, {bad} damaged")
    if bad:
        sys.exit(FAILED)
