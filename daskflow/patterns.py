"""Patterns of paths: how tests name nodes, by their addresses. Pure."""

from __future__ import annotations

import functools
import re

from daskflow.errors import OptionError


def matches(pattern: str, path: str, *, indexed: bool = False) -> bool:
    """Tell whether a pattern is one of a node's path.

    A path is what addresses are made of: ``level1/level2[1]/core_wf[0]/step2``. In a pattern ``*`` stands for any part of one
    component and ``**`` for any number of components, none included, as it does for :meth:`pathlib.PurePath.full_match`. An index
    ``[*]`` stands for any number, and for none where what is called only once has no number.

    Parameters
    ----------
    pattern : str
        The pattern; it is of the whole path.
    path : str
        The path.
    indexed : bool
        Whether an index at the end must be there: that of a map's items, for the map itself, which is none of its items.

    Raises
    ------
    OptionError
        When the pattern has an empty component, or ``**`` inside of one.

    Examples
    --------
    >>> matches("level1/level2[*]/*", "level1/level2[3]/core_wf")
    True
    >>> matches("level1/level2[*]/*", "level1/level2/core_wf")
    True
    >>> matches("**/step2", "step2"), matches("level1/**", "level1/level2[0]/step2")
    (True, True)
    >>> matches("squares[*]", "squares", indexed=True)
    False
    """
    return _compiled(pattern, indexed).fullmatch(f"{path}/") is not None


@functools.lru_cache(maxsize=512)
def _compiled(pattern: str, indexed: bool) -> re.Pattern[str]:
    components = check_pattern(pattern).split("/")
    last = len(components) - 1
    return re.compile("".join(_component(one, indexed and number == last) for number, one in enumerate(components)))


def check_pattern(pattern: str) -> str:
    """Return a pattern, or raise :class:`OptionError` where it cannot be one."""
    if not isinstance(pattern, str) or not all(one and (one == "**" or "**" not in one) for one in pattern.split("/")):
        raise OptionError(
            "a pattern of paths is text such as 'level1/level2[*]/**', with * for any part of a component and ** for any number of them; "
            f"got {pattern!r}"
        )
    return pattern


def _component(component: str, indexed: bool) -> str:
    if component == "**":
        return "(?:[^/]*/)*"
    index = r"\[[^]/]*\]" if indexed else r"(?:\[[^]/]*\])?"
    parts = [_stars(one) for one in component.split("[*]")]
    return f"{index.join(parts)}/"


def _stars(text: str) -> str:
    return "[^/]*".join(re.escape(one) for one in text.split("*"))


def is_below(path: str, ancestor: str) -> bool:
    """Tell whether a node is in another one, at any depth; a map's items are in the map.

    Examples
    --------
    >>> is_below("a/b[0]", "a/b"), is_below("a/bc", "a/b"), is_below("a", "a")
    (True, False, False)
    """
    return path.startswith(ancestor) and path[len(ancestor) :][:1] in ("/", "[")
