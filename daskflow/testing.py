"""Testing users' workflows: mocks of entities that travel with runs, what a run would execute, and what it did execute.

In process and on a cluster the same is said in the same words. Fixtures for pytest are in :mod:`daskflow_plugins.pytest_plugin`.
"""

from __future__ import annotations

from daskflow.compiled import CompiledGraph, compile  # noqa: A004
from daskflow.errors import MockError, RealCall, UnusedMock
from daskflow.flowrecord import NodeRecord, Record
from daskflow.mocks import Mock, MockCall, mock, patch, task_mock
from daskflow.recording import FlowRun, Recorder, record, run

__all__ = [
    "CompiledGraph",
    "FlowRun",
    "Mock",
    "MockCall",
    "MockError",
    "NodeRecord",
    "RealCall",
    "Record",
    "Recorder",
    "UnusedMock",
    "compile",
    "mock",
    "patch",
    "record",
    "run",
    "task_mock",
]
