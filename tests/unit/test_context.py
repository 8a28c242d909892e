"""What a task learns of itself, and what it keeps for its next attempt."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import daskflow as fl
from daskflow.attempts import run_attempts
from daskflow.checkpoints import Checkpoint, FileCheckpoint, forget_run
from daskflow.errors import OptionError, RunCancelled
from daskflow.taskcontext import Place, TaskContext
from daskflow.taskoptions import TaskOptions

seen: list[Any] = []


@pytest.fixture(autouse=True)
def _nothing_seen() -> Iterator[None]:
    seen.clear()
    yield
    seen.clear()


@fl.task
def look(a: int) -> int:
    context = fl.current_context()
    assert fl.current_context() is context
    seen.append(context)
    Path(context.working_directory, "file").write_text("x")
    return a


@fl.task(retries=1)
def look_again(a: int) -> int:
    context = fl.current_context()
    seen.append((context, context.attempt))
    Path(context.working_directory, "file").write_text("x")
    if context.attempt == 0:
        raise fl.RecoverableException
    return a


@fl.workflow
def flow(items: list[int]) -> list[int]:
    return fl.map_task(look)(a=items)  # type: ignore[no-any-return]


def test_a_task_learns_what_it_is() -> None:
    """It knows its run, its name, its address and its map's index, and has a logger of its name."""
    began = datetime.now(UTC)
    flow(items=[7, 8])
    assert [one.map_index for one in seen] == [0, 1]
    assert [one.node for one in seen] == ["look[0]", "look[1]"]
    context = seen[0]
    assert str(context.execution_id) == "ex:local:local:local"
    assert context.execution_id.name == "local"
    assert context.task_id.name == look.name
    assert context.logging.name == f"daskflow.task.{look.name}"
    assert began <= context.execution_date <= datetime.now(UTC)
    assert context.attempt == 0
    assert not context.cancelled


def test_directories_end_with_the_attempt() -> None:
    """Each attempt has a working directory of its own, which is gone after it, whether it failed or not."""
    removed = []

    @fl.task
    def directory() -> str:
        return fl.current_context().working_directory

    @fl.dynamic
    def two() -> list[str]:
        return [directory(), directory()]

    removed = two()
    assert len(set(removed)) == 2
    assert not any(os.path.exists(one) for one in removed)
    look_again(a=1)
    assert [attempt for _, attempt in seen] == [0, 1]
    assert seen[0][0] is not seen[1][0]


def test_a_context_is_not_that_of_another_task() -> None:
    """A task that asks after another one in the same thread gets its own."""
    fl.map_task(look)(a=[1, 2])
    assert seen[0] is not seen[1]
    assert fl.current_context() is not seen[1]


def test_outside_of_tasks_there_are_placeholders() -> None:
    """Plain Python and threads of a task's get what Flyte gives: placeholders that work."""
    context = fl.current_context()
    assert (context.execution_id.name, context.task_id.name, context.attempt, context.map_index) == ("local", "local", 0, None)
    assert os.path.isdir(context.working_directory)
    assert context.checkpoint.read() is None
    with context.stats.timer("x"):
        context.stats.incr("y")
        context.stats.gauge("z", 1)
    inside: list[Any] = []
    with TaskContext(Place("t")).entered():
        thread = threading.Thread(target=lambda: inside.append(fl.current_context()))
        thread.start()
        thread.join()
    assert inside == [context]


def test_outputs_stay(tmp_path: Path) -> None:
    """What a task writes under its prefix stays there, and no other attempt's is the same."""
    place = Place("t", run_id="r1", address="a/b[0]", outputs=str(tmp_path))
    prefixes = [TaskContext(place, attempt).raw_output_prefix for attempt in (0, 1)]
    assert prefixes == [f"{tmp_path}/r1/a/b[0]/0", f"{tmp_path}/r1/a/b[0]/1"]
    assert os.path.isdir(prefixes[0])
    assert TaskContext(Place("t", outputs="memory://x")).raw_output_prefix.startswith("memory://x/")


def test_decks_are_accepted() -> None:
    """Decks can be made and filled, and are seen by their attempt alone."""
    context = TaskContext(Place("t"))
    with context.entered():
        fl.Deck("plots", "<p>")
        fl.Deck.publish()
        assert context.default_deck.append("x").html == "x"
    assert [one.name for one in context.decks] == ["plots", "default"]


def test_the_end_is_told() -> None:
    """An attempt that does not count any more can see it, be told of it, and end itself by it."""
    context = TaskContext(Place("t"))
    told: list[str] = []
    context.raise_if_cancelled()
    with context.ending_with(lambda: told.append("not told")):
        assert not context.cancelled
    with context.ending_with(lambda: told.append("told")):
        context.end(fl.TaskTimeout("late"))
        context.end(fl.TaskTimeout("later"))
    with context.ending_with(lambda: told.append("told at once")):
        assert context.cancelled
    assert told == ["told", "told at once"]
    with pytest.raises(fl.TaskTimeout, match=r"late\Z"):
        context.raise_if_cancelled()
    why = [RunCancelled("by hand")]
    with pytest.raises(RunCancelled, match="by hand"):
        TaskContext(Place("t", cancelled=lambda: why[0])).raise_if_cancelled()


# ---------------------------------------------------------------- checkpoints


@pytest.fixture(params=["file", "memory"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A place for checkpoints: a directory, or a URL."""
    return str(tmp_path) if request.param == "file" else f"memory://{tmp_path.name}"


def test_what_is_written_is_read(root: str) -> None:
    """Bytes, files, directories and readers can be kept; each takes the place of what was kept."""
    store = FileCheckpoint.of_node(root, "r1", "a")
    checkpoint = Checkpoint(store)
    assert (checkpoint.read(), checkpoint.restore(), checkpoint.prev_exists()) == (None, None, False)
    checkpoint.write(b"one")
    assert (checkpoint.read(), checkpoint.prev_exists()) == (b"one", True)
    checkpoint.save(io.BytesIO(b"two"))
    assert Checkpoint(FileCheckpoint.of_node(root, "r1", "a")).read() == b"two"
    assert Checkpoint(FileCheckpoint.of_node(root, "r1", "b")).read() is None
    store.clear()
    store.clear()
    assert checkpoint.read() is None


def test_files_and_directories(root: str, tmp_path: Path) -> None:
    """A file keeps its name, a directory all that is in it; several files are restored, not read."""
    source = tmp_path / "source"
    (source / "deep").mkdir(parents=True)
    (source / "deep" / "weights").write_bytes(b"w")
    (source / "step").write_text("3")
    checkpoint = Checkpoint(FileCheckpoint.of_node(root, "r1", "a"))
    checkpoint.save(source / "step")
    assert checkpoint.read() == b"3"
    assert checkpoint.restore(tmp_path / "one") == tmp_path / "one"
    assert (tmp_path / "one" / "step").read_text() == "3"
    checkpoint.save(str(source))
    restored = checkpoint.restore()
    assert restored is not None
    assert (restored / "deep" / "weights").read_bytes() == b"w"
    with pytest.raises(OptionError, match=r"has 2 files, and read\(\) is for one"):
        checkpoint.read()
    checkpoint.close()
    assert not restored.exists()


def test_wrong_uses_of_checkpoints(tmp_path: Path) -> None:
    """What cannot be kept, or restored to, is said; a failed save leaves what was kept."""
    checkpoint = Checkpoint(FileCheckpoint(str(tmp_path / "c.zip")))
    checkpoint.write(b"kept")
    with pytest.raises(OptionError, match="saved from a path or a binary reader, not from 3"):
        checkpoint.save(3)  # type: ignore[arg-type]
    with pytest.raises(FileNotFoundError):
        checkpoint.save(tmp_path / "missing")
    with pytest.raises(OptionError, match="is restored to a directory"):
        checkpoint.restore(tmp_path / "c.zip")
    assert checkpoint.read() == b"kept"
    assert [one.name for one in tmp_path.iterdir()] == ["c.zip"]


def test_a_damaged_checkpoint_is_none(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What cannot be unpacked counts as not there, and is said."""
    (tmp_path / "c.zip").write_bytes(b"torn")
    assert Checkpoint(FileCheckpoint(str(tmp_path / "c.zip"))).read() is None
    assert "a checkpoint is damaged" in caplog.text


def test_a_runs_checkpoints_go_together(root: str) -> None:
    """All that a run and its child runs kept can be removed at once; other runs keep theirs."""
    stores = [FileCheckpoint.of_node(root, run, "a") for run in ("r1", "r1.child", "r2")]
    for store in stores:
        Checkpoint(store).write(b"x")
    forget_run(root, "r1")
    forget_run(root, "r1")
    assert [Checkpoint(store).read() for store in stores] == [None, None, b"x"]


def test_an_attempt_goes_on_where_the_last_one_was() -> None:
    """What an attempt kept is there for the next one, in process too, and for no later call."""

    @fl.task(retries=fl.Retry(3))
    def count() -> int:
        checkpoint = fl.current_context().checkpoint
        steps = int(checkpoint.read() or b"0") + 1
        checkpoint.write(str(steps).encode())
        if steps < 3:
            raise RuntimeError("stopped")
        return fl.current_context().attempt

    assert count() == 2
    assert count() == 2


def test_checkpoints_last_as_long_as_they_are_of_use(tmp_path: Path) -> None:
    """Where a store is given, a failure leaves the checkpoint to whoever recovers the run; success removes it."""
    store = FileCheckpoint.of_node(str(tmp_path), "r1", "a")
    place = Place("t", options=TaskOptions.of({"retries": 1}, "t"), checkpoint=store)

    def fails() -> None:
        fl.current_context().checkpoint.write(b"x")
        raise fl.RecoverableException

    with pytest.raises(fl.RecoverableException):
        run_attempts(fails, {}, place)
    assert Checkpoint(store).read() == b"x"
    assert run_attempts(lambda: fl.current_context().checkpoint.read(), {}, place) == b"x"
    assert Checkpoint(store).read() is None


def test_an_attempt_that_does_not_count_keeps_nothing() -> None:
    """A task whose time is up cannot write over what the next attempt keeps."""
    context = TaskContext(Place("t", checkpoint=FileCheckpoint.temporary()))
    context.end(fl.TaskTimeout("late"))
    with pytest.raises(fl.TaskTimeout, match="late"):
        context.checkpoint.write(b"x")
    assert context.checkpoint.read() is None
