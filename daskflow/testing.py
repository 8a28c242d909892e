"""Testing users' workflows: mocks of entities that travel with runs."""

from __future__ import annotations

from daskflow.errors import MockError, RealCall, UnusedMock
from daskflow.mocks import Mock, MockCall, mock, patch, task_mock

__all__ = ["Mock", "MockCall", "MockError", "RealCall", "UnusedMock", "mock", "patch", "task_mock"]
