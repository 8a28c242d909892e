"""What a run keeps is not executed again by one that goes on from it; whatever has changed is, and it is told why."""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import daskflow as fl
from daskflow.errors import OptionError, RunCancelled
from daskflow.execute import Execution
from daskflow.frame import Mark
from daskflow.journal import Journal
from daskflow.keeping import Keeper, Keeping, checked_mode, prepare
from daskflow.outputs import Outputs
from daskflow.reports import read
from daskflow.scope import Scope
from daskflow.stacks import root_frame, stack

executed: Counter[str] = Counter()
bodies: Counter[str] = Counter()
fuse = [0]


class Blown(Exception):
    """Too much was executed."""


@fl.task
def leaf(name: str) -> str:
    fuse[0] -= 1
    if fuse[0] == 0:
        raise Blown(name)
    executed[name] += 1
    return name


@fl.task
def join(parts: list[Any]) -> list[Any]:
    return parts


@fl.workflow
def two(name: str) -> list[Any]:
    return join(parts=[leaf(name=name), leaf(name=name)])


@fl.dynamic
def grow(tree: Any, name: str) -> Any:
    bodies[name] += 1
    kind, rest = tree
    if kind == "leaf":
        return leaf(name=name)
    if kind == "map":
        return fl.map_task(leaf)(name=[f"{name}.{i}" for i in range(rest)])
    if kind == "two":
        return two(name=name)
    return join(parts=[grow(tree=one, name=f"{name}.{i}") for i, one in enumerate(rest)])


trees = st.recursive(
    st.one_of(st.just(("leaf", 0)), st.tuples(st.just("map"), st.integers(0, 4)), st.just(("two", 0))),
    lambda inner: st.tuples(st.just("all"), st.lists(inner, max_size=4)),
    max_leaves=12,
)


def execute(entity: Any, inputs: dict[str, Any], keeper: Keeper) -> Any:
    execution = Execution(root_frame(entity, inputs, Scope.of_run("r1", None)))
    execution.keeper = keeper
    try:
        return execution.run()
    finally:
        keeper.close()


def expected(tree: Any, name: str) -> Any:
    kind, rest = tree
    if kind == "leaf":
        return name
    if kind == "map":
        return [f"{name}.{i}" for i in range(rest)]
    return [name, name] if kind == "two" else [expected(one, f"{name}.{i}") for i, one in enumerate(rest)]


@given(trees, st.lists(st.integers(1, 8), max_size=5))
@settings(deadline=None)
def test_nothing_that_was_kept_is_executed_again(tree: Any, fuses: list[int]) -> None:
    """However often a run fails and is gone on from, each task that has succeeded is executed once, and so is each body that has ended."""
    executed.clear()
    bodies.clear()
    with tempfile.TemporaryDirectory() as folder:
        for number, length in enumerate([*fuses, 0]):
            fuse[0] = length
            keeper = Keeper(Keeping("all", folder, "r1", recovers=number > 0), "u", f"r{number}")
            try:
                result = execute(grow, {"tree": tree, "name": "n"}, keeper)
            except Blown:
                continue
            ended = Counter(bodies)
            assert result == expected(tree, "n")
            fuse[0] = 0
            keeper = Keeper(Keeping("all", folder, "r1", recovers=True), "u", f"r{number}+")
            assert execute(grow, {"tree": tree, "name": "n"}, keeper) == result
            assert bodies == ended
            assert set(keeper.take()) <= {("", "recovered")}
            break
    flat: Counter[str] = Counter()
    _count(tree, "n", flat)
    assert executed == flat


def _count(tree: Any, name: str, flat: Counter[str]) -> None:
    kind, rest = tree
    if kind == "leaf":
        flat[name] += 1
    elif kind == "map":
        flat.update(f"{name}.{i}" for i in range(rest))
    elif kind == "two":
        flat[name] += 2
    else:
        for i, one in enumerate(rest):
            _count(one, f"{name}.{i}", flat)


def versioned(factor: int) -> Any:
    """Return a program of which a part has another version for each factor."""

    @fl.task
    def scaled(a: int) -> int:
        executed[f"scaled {a}"] += 1
        return factor * a

    @fl.task
    def plain(a: int) -> int:
        executed[f"plain {a}"] += 1
        return a

    @fl.dynamic
    def program(n: int) -> list[Any]:
        return [plain(a=plain(a=1)), *[scaled(a=i) for i in range(n)], plain(a=scaled(a=7))]

    return program, scaled, plain


def versioned_run(folder: str, factor: int, n: int, run: str, recovers: bool) -> tuple[Any, dict[str, str]]:
    executed.clear()
    entities = versioned(factor)
    for one in entities:
        prepare(one)
    keeper = Keeper(Keeping("all", folder, "r1", recovers), "u", run)
    return execute(entities[0], {"n": n}, keeper), dict(keeper.take())


def test_what_has_changed_is_executed_again_and_told(tmp_path: Any) -> None:
    """Where code has changed, what it makes is made anew, and what is made from that if it came out differently; the rest is taken over."""
    folder = str(tmp_path / "cache")
    assert versioned_run(folder, 2, 2, "r1", False)[0] == [1, 0, 2, 14]
    result, told = versioned_run(folder, 3, 2, "r2", True)
    assert result == [1, 0, 3, 21]
    assert told == {
        "": "code", "plain[0]": "recovered", "plain[1]": "recovered", "scaled[0]": "code",
        "scaled[1]": "code", "scaled[2]": "code", "plain[2]": "inputs",
    }  # fmt: skip
    assert executed == Counter(["scaled 0", "scaled 1", "scaled 7", "plain 21"])
    result, told = versioned_run(folder, 3, 3, "r3", True)
    assert result == [1, 0, 3, 6, 21]
    assert {address: what for address, what in told.items() if what != "recovered"} == {"": "inputs", "scaled[2]": "inputs"}
    # By then scaled[2] is another one than before, and so is what follows.
    assert executed == Counter(["scaled 2", "scaled 7"])


@fl.task
def gives(value: Any) -> Any:
    executed["gives"] += 1
    return value


def test_what_cannot_be_kept_is_made_again(tmp_path: Any) -> None:
    """A value that does not pickle, and an input that has no hash, keep nothing from being executed."""
    folder = str(tmp_path / "cache")
    executed.clear()
    for number in range(2):
        keeper = Keeper(Keeping("all", folder, "r1", recovers=number > 0), "u", f"r{number}")
        assert execute(gives, {"value": (one for one in [1])}, keeper) is not None
    assert executed["gives"] == 2


def test_auto_keeps_what_took_long(tmp_path: Any) -> None:
    """What takes longer to make than to keep is kept; what is made in no time, or is too large for that, is not."""
    keeper = Keeper(Keeping("auto", str(tmp_path), "r1"), "u", "r1")
    assert keeper.worthwhile(0.05, b"x" * 1000)
    assert not keeper.worthwhile(0.004, b"x")
    assert not keeper.worthwhile(0.05, b"x" * 100_000_000)
    assert keeper.least == 0.02


@fl.task
def lasts(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


@fl.dynamic
def lasting(seconds: float) -> float:
    return lasts(seconds=seconds)


@fl.workflow
def around(seconds: float) -> float:
    return lasting(seconds=seconds)


@pytest.mark.parametrize(
    ("mode", "kept"), [("auto", {"lasting", "lasting/lasts"}), ("all", {"", "lasting", "lasting/lasts"}), ("off", set())]
)
def test_what_the_run_itself_gives_is_not_kept_beside_what_it_is_made_of(tmp_path: Any, mode: str, kept: set[str]) -> None:
    """When the body of a run ends, so does the run: what it gives is kept only where everything is; each body below it is."""
    keeper = Keeper(Keeping(mode, str(tmp_path / "cache"), "r1"), "u", "r1")
    assert execute(around, {"seconds": 0.05}, keeper) == 0.05
    assert set(Outputs(str(tmp_path / "cache"), "r1").index()) == kept


executing: list[Execution] = []


@fl.task
def is_cancelled_meanwhile(a: int) -> int:
    executing[0].cancelled = RunCancelled("cancelled")
    return a


@pytest.mark.parametrize("url", ["{}", "memory://{}"])
@pytest.mark.parametrize("there", [True, False])
def test_what_a_task_gives_when_its_run_has_ended_is_kept_where_that_is_removed(tmp_path: Any, url: str, there: bool, caplog: Any) -> None:
    """A task that gives its result when its run has failed, or was cancelled, keeps it, unless what the run kept is gone already."""
    outputs = Outputs(url.format(tmp_path / "cache"), "r1")
    if there:
        outputs.make()
    keeper = Keeper(Keeping("all", outputs.url, "r1"), "u", "r1")
    executing[:] = [Execution(root_frame(is_cancelled_meanwhile, {"a": 1}, Scope.of_run("r1", None)))]
    executing[0].keeper = keeper
    with pytest.raises(RunCancelled):
        executing[0].run()
    keeper.close()
    assert len(outputs.index()) == there
    assert not caplog.records
    outputs.forget()


@pytest.mark.parametrize("mode", ["some", None, True, "ALL"])
def test_modes(mode: Any) -> None:
    """A mode that there is not is refused, with those that there are."""
    with pytest.raises(OptionError, match="checkpoint of the run must be one of 'auto', 'all', 'off'; got"):
        checked_mode(mode, "the run")


def test_what_cannot_be_read_is_executed_again_and_told(tmp_path: Any) -> None:
    """Of an output that is damaged it is not said that the inputs have changed."""
    folder = tmp_path / "cache"
    assert versioned_run(str(folder), 2, 1, "r1", False)[0] == [1, 0, 14]
    (file,) = (folder / "outputs" / "r1").iterdir()
    data = bytearray(file.read_bytes())
    kept = Outputs(str(folder), "r1").index()
    for address in ("", "scaled[1]"):
        (one,) = kept[address]
        data[one.offset + one.nbytes - 1] ^= 1
    file.write_bytes(data)
    result, told = versioned_run(str(folder), 2, 1, "r2", True)
    assert result == [1, 0, 14]
    assert told == {
        "": "unreadable", "plain[0]": "recovered", "plain[1]": "recovered", "scaled[0]": "recovered", "scaled[1]": "unreadable",
        "plain[2]": "recovered",
    }  # fmt: skip
    assert executed == Counter(["scaled 7"])


def test_what_is_reached_through_a_lambda_counts(tmp_path: Any) -> None:
    """A helper that has changed behind a lambda, which has no source of its own, is not passed over."""

    def run(number: int, run: str, recovers: bool) -> Any:
        def helper(a: int) -> int:
            return a + number

        through = lambda a: helper(a)  # noqa: E731

        @fl.task
        def calls(a: int) -> int:
            return through(a)  # type: ignore[no-any-return]

        prepare(calls)
        return execute(calls, {"a": 1}, Keeper(Keeping("all", str(tmp_path), "r1", recovers), "u", run))

    assert run(1, "r1", False) == 2
    assert run(2, "r2", True) == 3


def test_a_node_has_ended_before_its_output_is_kept(tmp_path: Any) -> None:
    """Keeping takes a while, in which others may execute what follows; whoever reports then tells that the node has succeeded."""
    told: list[tuple[str, int]] = []

    class Watched(Keeper):
        def keep(self, mark: Mark, value: Any, late: bool = False) -> None:
            report = execution.journal and execution.journal.report(stack(execution.frame))
            told.append((mark.address, sum(len(done.ends) for done in read(report).done) if report else 0))

    fuse[0] = 0
    execution = Execution(root_frame(two, {"name": "a"}, Scope.of_run("r1", None)), lambda _: None)
    execution.journal = Journal()
    execution.keeper = Watched(Keeping("all", str(tmp_path), "r1"), "u", "r1")
    execution.run()
    assert told[:3] == [("leaf[0]", 1), ("leaf[1]", 1), ("join", 1)]
