"""Every error that daskflow raises, in one tree.

::

    DaskflowError
    ├── DefinitionError (TypeError)     an entity is declared wrongly: at decoration
    ├── OptionError (ValueError)        an option, override or limit is unknown or has a bad value
    ├── InputError (TypeError)          a call's inputs do not fit the interface
    ├── OutputError (TypeError)         a function returned what it did not declare
    ├── PromiseError (TypeError)        a promise was used as if it were its value
    ├── GraphError (ValueError)         a graph cannot be built
    ├── FileMissing (FileNotFoundError) a File or Directory is not where it is said to be
    ├── NestingError (RuntimeError)     an entity was called inside a running task
    ├── AttemptError (RuntimeError)     an attempt of a task did not come to an end of its own
    │   ├── TaskTimeout (TimeoutError)  it lasted longer than its timeout
    │   ├── ProcessDied                 the process of its own that it had died
    │   └── ScriptFailed                the script of a shell task failed
    ├── SecretError (ValueError)        a secret is not there, or was not requested
    ├── RecoverableException            a task raises it: another attempt may succeed
    ├── NonRecoverableError             a task raises it: no other attempt is to be made
    ├── ClusterError (RuntimeError)     the cluster cannot serve us
    │   ├── SchedulerUnreachable        nothing answers at that address
    │   ├── VersionMismatch             client, scheduler and workers differ
    │   └── SchedulerLost               the scheduler went away during a run
    ├── HistoryError (RuntimeError)     the history of runs cannot be read or written
    ├── UnknownRun (LookupError)        no run, or more than one, is meant by what was given
    ├── MockError (AssertionError)      a test's mock cannot answer
    │   ├── RealCall                    what a strict mock stands for was to be executed elsewhere
    │   └── UnusedMock                  nothing called it
    └── RunError (RuntimeError)         a run did not succeed
        ├── RunFailed                   stands in for an exception that could not travel
        ├── BranchFailed (ValueError)   the branch of a conditional that was taken says so
        ├── GateTimeout (TimeoutError)  nobody answered in time
        ├── Disapproved                 somebody said no
        ├── PlanBusy                    a launch plan has as many runs as it may have
        │   └── RunSkipped              and one more is to be left out then
        ├── WorkerCrashed               workers died under a node, again and again
        └── RunCancelled                somebody cancelled the run

A task that raises fails its run with the task's own exception, not with one of these.
All are picklable: each takes its message alone.
"""

from __future__ import annotations

from dataclasses import dataclass


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


class FileMissing(DaskflowError, FileNotFoundError):
    """A file or directory is not where its path or URL says, as this process sees it."""


class NestingError(DaskflowError, RuntimeError):
    """An entity was called from inside a running task."""


class AttemptError(DaskflowError, RuntimeError):
    """An attempt of a task did not come to an end of its own."""


class TaskTimeout(TimeoutError, AttemptError):
    """An attempt of a task lasted longer than its timeout."""


class ProcessDied(AttemptError):
    """The process that an attempt had for itself died, by a signal or by leaving."""


class ScriptFailed(AttemptError):
    """The script of a shell task ended with an exit code other than 0."""


class SecretError(DaskflowError, ValueError):
    """A secret is not there, or the task did not request it."""


class RecoverableException(DaskflowError):
    """Raised by a task: another attempt may succeed. What ``retries=3`` makes attempts for, as in Flyte."""


class NonRecoverableError(DaskflowError):
    """Raised by a task: no other attempt is to be made, whatever its retries say."""


#: Their names in Flyte's SDK.
FlyteRecoverableException = RecoverableException
FlyteTimeout = TaskTimeout


class ClusterError(DaskflowError, RuntimeError):
    """The Dask cluster cannot serve daskflow."""


class SchedulerUnreachable(ClusterError):
    """No Dask scheduler answers at the address given."""


class VersionMismatch(ClusterError):
    """Client, scheduler and workers do not run the same daskflow."""


class SchedulerLost(ClusterError):
    """The connection to the scheduler broke while a run was under way."""


class HistoryError(DaskflowError, RuntimeError):
    """The history of runs cannot be read or written."""


class UnknownRun(DaskflowError, LookupError):
    """No run, or more than one, is meant by what was given."""


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


class BranchFailed(RunError, ValueError):
    """The branch of a conditional that was taken is one that fails."""


class GateTimeout(TimeoutError, RunError):
    """Nobody answered in time what a run waited for."""


class Disapproved(RunError):
    """Somebody said no where a run waited for approval. Flyte's ``FlyteDisapprovalException``."""


class PlanBusy(RunError):
    """A launch plan has as many runs as its concurrency policy allows."""


class RunSkipped(PlanBusy):
    """A launch plan has as many runs as its concurrency policy allows, and the policy leaves out one more."""


class WorkerCrashed(RunError):
    """Worker processes died under a node more often than its budget allows."""


class RunCancelled(RunError):
    """The run was cancelled."""


@dataclass(frozen=True)
class NodeError:
    """What a workflow's ``on_failure`` is told: the input `err`, if it declares one. Flyte's ``FlyteError``.

    Attributes
    ----------
    message : str
        The exception's type and text.
    failed_node_id : str
        The address of the node that failed, within the run.
    """

    message: str
    failed_node_id: str


#: Flyte's names.
FlyteDisapprovalException = Disapproved
FlyteError = NodeError
