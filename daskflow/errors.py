"""Every error that daskflow raises, in one tree.

::

    DaskflowError
    ├── DefinitionError (TypeError)     an entity is declared wrongly: at decoration
    ├── OptionError (ValueError)        an option, override or limit is unknown or has a bad value
    ├── InputError (TypeError)          a call's inputs do not fit the interface
    ├── OutputError (TypeError)         a function returned what it did not declare
    ├── PromiseError (TypeError)        a promise was used as if it were its value
    ├── GraphError (ValueError)         a graph cannot be built
    ├── NestingError (RuntimeError)     an entity was called inside a running task
    ├── ClusterError (RuntimeError)     the cluster cannot serve us
    │   ├── SchedulerUnreachable        nothing answers at that address
    │   ├── VersionMismatch             client, scheduler and workers differ
    │   └── SchedulerLost               the scheduler went away during a run
    ├── MockError (AssertionError)      a test's mock cannot answer
    │   ├── RealCall                    what a strict mock stands for was to be executed elsewhere
    │   └── UnusedMock                  nothing called it
    └── RunError (RuntimeError)         a run did not succeed
        ├── RunFailed                   stands in for an exception that could not travel
        ├── WorkerCrashed               workers died under a node, again and again
        └── RunCancelled                somebody cancelled the run

A task that raises fails its run with the task's own exception, not with one of these.
All are picklable: each takes its message alone.
"""

from __future__ import annotations


class DaskflowError(Exception):
    """Base of all errors raised by daskflow."""


class DefinitionError(DaskflowError, TypeError):
    """An entity is declared wrongly; raised where it is decorated or created."""


class OptionError(DaskflowError, ValueError):
    """An option, an override or a limit is unknown or has a value that it cannot have."""


class InputError(DaskflowError, TypeError):
    """The inputs of a call do not fit the entity's interface."""


class OutputError(DaskflowError, TypeError):
    """A function returned something other than it declares."""


class PromiseError(DaskflowError, TypeError):
    """A promise was used as though its value were known while the graph is built."""


class GraphError(DaskflowError, ValueError):
    """A graph cannot be built from what the body did."""


class NestingError(DaskflowError, RuntimeError):
    """An entity was called from inside a running task."""


class ClusterError(DaskflowError, RuntimeError):
    """The Dask cluster cannot serve daskflow."""


class SchedulerUnreachable(ClusterError):
    """No Dask scheduler answers at the address given."""


class VersionMismatch(ClusterError):
    """Client, scheduler and workers do not run the same daskflow."""


class SchedulerLost(ClusterError):
    """The connection to the scheduler broke while a run was under way."""


class MockError(DaskflowError, AssertionError):
    """A mock was called in a way that it has no answer for."""


class RealCall(MockError):
    """An entity that a strict mock stands for was to be executed where the mock does not answer."""


class UnusedMock(MockError):
    """No call was answered by a mock."""


class RunError(DaskflowError, RuntimeError):
    """A run ended without a result."""


class RunFailed(RunError):
    """A node failed with an exception that could not be brought back as it was."""


class WorkerCrashed(RunError):
    """Worker processes died under a node more often than its budget allows."""


class RunCancelled(RunError):
    """The run was cancelled."""
