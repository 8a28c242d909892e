"""Testing users' workflows: mocks of entities that travel with runs, and what a run would execute."""

from __future__ import annotations

from daskflow.compiled import CompiledGraph, compile  # noqa: A004
from daskflow.errors import MockError, RealCall, UnusedMock
from daskflow.mocks import Mock, MockCall, mock, patch, task_mock

__all__ = ["CompiledGraph", "Mock", "MockCall", "MockError", "RealCall", "UnusedMock", "compile", "mock", "patch", "task_mock"]
