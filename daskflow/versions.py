"""What must agree between client, scheduler and workers, since code and messages travel between them."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from daskflow._version import __version__


def versions() -> dict[str, str]:
    """Return the versions in this process: of daskflow, and of Python, whose code is shipped as it is."""
    return {"daskflow": __version__, "python": f"{sys.version_info.major}.{sys.version_info.minor}"}


def mismatch(others: Mapping[str, str] | None) -> str:
    """Say in what another process differs from this one; nothing where it does not.

    Examples
    --------
    >>> mismatch(versions())
    ''
    >>> mismatch({**versions(), "daskflow": "0.0.1"}).startswith("daskflow is 0.0.1 there and ")
    True
    """
    if others is None:
        return "daskflow is not installed there"
    own = versions()
    return ", ".join(f"{name} is {others.get(name)} there and {own[name]} here" for name in own if others.get(name) != own[name])
