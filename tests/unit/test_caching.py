"""Caching in plain Python: what is executed, and what is not."""

from __future__ import annotations

import functools
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import dask
import pytest

import daskflow as fl
from daskflow.errors import InputError, OptionError
from tests import cached
from tests.cached import marks


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return where executions leave their marks."""
    (tmp_path / "marks").mkdir()
    return tmp_path / "marks"


def test_launch_plans_that_are_cached_by_an_override(folder: Path) -> None:
    """Five launch plans that are cached are executed once each, and a second run executes none of them; a sixth is executed then."""
    assert cached.spawn(folder=str(folder), n=5) == [2, 3, 4, 5, 6]
    assert marks(folder) == ["1", "2", "3", "4", "5"]
    assert cached.spawn(folder=str(folder), n=5) == [2, 3, 4, 5, 6]
    assert marks(folder) == []
    assert cached.spawn(folder=str(folder), n=6) == [2, 3, 4, 5, 6, 7]
    assert marks(folder) == ["6"]


def test_a_launch_plan_that_overwrites(folder: Path) -> None:
    """A launch plan that overwrites the cache is executed whatever is there, and what it gives is stored."""
    cached.respawn(folder=str(folder), n=2)
    cached.respawn(folder=str(folder), n=2)
    assert marks(folder) == ["1", "1", "2", "2"]
    cached.spawn(folder=str(folder), n=2)
    assert marks(folder) == []


def test_items_of_a_map_one_by_one(folder: Path) -> None:
    """Each item of a map has its own entry, which a call outside of a map shares."""
    assert cached.double_all(folder=str(folder), nums=[1, 2, 3]) == [2, 4, 6]
    assert cached.double_all(folder=str(folder), nums=[3, 4, 1]) == [6, 8, 2]
    assert cached.double(folder=str(folder), num=4) == 8
    assert marks(folder) == ["1", "2", "3", "4"]


def test_overrides_of_one_call_add_up(folder: Path) -> None:
    """What a call was told before goes on to hold where it is told more."""

    @fl.workflow
    def several(folder: str, num: int) -> int:
        call = fl.with_overrides(cached.plus(folder=folder, num=num), cache=True, cache_version="1", cache_ignore_input_vars=("folder",))
        return fl.with_overrides(call, cache_serialize=True)

    assert [several(folder=str(folder), num=1), several(folder=f"{folder}/", num=1)] == [2, 2]
    assert marks(folder) == ["1"]


def test_an_override_takes_the_cache_back(folder: Path) -> None:
    """A call of what is cached may not be, or be by other words; what is said of a cache that was taken back is refused."""

    @fl.workflow
    def taken_back(folder: str) -> int:
        return fl.with_overrides(cached.double(folder=folder, num=1), cache=False)

    @fl.workflow
    def anew(folder: str) -> int:
        return fl.with_overrides(cached.double(folder=folder, num=1), cache=fl.Cache(version="anew"))

    @fl.workflow
    def refused(folder: str) -> int:
        call = fl.with_overrides(cached.double(folder=folder, num=1), cache=False)
        return fl.with_overrides(call, cache_serialize=True)

    assert [one(folder=str(folder)) for one in (taken_back, taken_back, anew, anew)] == [2] * 4
    assert marks(folder) == ["1", "1", "1"]
    with pytest.raises(OptionError, match="cache_serialize of with_overrides of task tests.cached.double has no effect without cache=True"):
        refused(folder=str(folder))


def test_a_workflow_that_was_put_together_is_cached_by_its_calls(folder: Path) -> None:
    """One that calls something else is not taken for what had its name."""
    made = []
    for times in (1, 1, 2):
        flow = fl.ImperativeWorkflow("tests.put_together", cache=True)
        node = flow.add_workflow_input("num", int)
        for _ in range(times):
            node = flow.add_entity(cached.plus, folder=str(folder), num=node).o0
        flow.add_workflow_output("o", node)
        made.append(flow(num=1))
    assert made == [2, 2, 3]
    assert marks(folder) == ["1", "1", "2"]


def test_a_map_that_is_cached_by_an_override(folder: Path) -> None:
    """An override caches the items of a map whose target is not cached."""

    @fl.dynamic
    def all_of(folder: str, nums: list[int]) -> list[int]:
        return fl.map_task(functools.partial(cached.plus, folder=folder))(num=nums).with_overrides(cache=True, cache_version="1")  # type: ignore[attr-defined,no-any-return]

    assert all_of(folder=str(folder), nums=[1, 2]) == [2, 3]
    assert all_of(folder=str(folder), nums=[2, 3]) == [3, 4]
    assert marks(folder) == ["1", "2", "3"]


def test_a_dynamic_stands_for_its_subtree(folder: Path) -> None:
    """A cached dynamic is one look-up; a deeper one executes only what is new."""
    assert cached.tree(folder=str(folder), depth=3) == 8
    assert marks(folder) == ["1", "2", "4", "tree0", "tree1", "tree2", "tree3"]
    assert cached.tree(folder=str(folder), depth=5) == 32
    assert marks(folder) == ["16", "8", "tree4", "tree5"]


def test_a_workflow_that_is_cached(folder: Path) -> None:
    """A workflow in line is cached as a whole."""
    assert cached.twice_chain(folder=str(folder), num=1) == 5
    assert marks(folder) == ["1", "2", "3", "4"]
    assert cached.twice_chain(folder=str(folder), num=3) == 7
    assert marks(folder) == ["5", "6"]


def test_failures_are_not_cached(folder: Path) -> None:
    """What a task raises is raised again by executing it again."""

    @fl.task(cache=True, cache_version="1")
    def fail(folder: str) -> int:
        cached.leave(folder, "fail")
        raise ValueError("no")

    for _ in range(2):
        with pytest.raises(ValueError, match="no"):
            fail(folder=str(folder))
    assert marks(folder) == ["fail", "fail"]


def test_nothing_is_used_where_the_cache_is_off(folder: Path) -> None:
    """With the cache configured off nothing is looked up and nothing is stored."""
    with dask.config.set({"daskflow.cache.enabled": False}):
        for _ in range(2):
            cached.double(folder=str(folder), num=1)
    cached.double(folder=str(folder), num=1)
    assert marks(folder) == ["1", "1", "1"]


def test_what_is_cached_is_not_shared(folder: Path) -> None:
    """A value from the cache is a new one each time: who changes it changes nobody else's."""

    @fl.task(cache=True, cache_version="1")
    def numbers() -> list[int]:
        return [1]

    numbers().append(2)
    assert numbers() == [1]


@pytest.mark.parametrize("url", ["/proc/no/such/place", "nosuchscheme://somewhere"])
def test_a_cache_that_fails_fails_no_run(folder: Path, url: str, caplog: pytest.LogCaptureFixture) -> None:
    """Where nothing can be stored or looked up, everything is executed, and that is said once."""
    with dask.config.set({"daskflow.cache.url": url}), caplog.at_level(logging.WARNING, "daskflow"):
        assert cached.double_all(folder=str(folder), nums=[1, 2, 3]) == [2, 4, 6]
    assert marks(folder) == ["1", "2", "3"]
    assert len(caplog.records) == 1
    assert "the run goes on without it" in caplog.text


def test_a_lease_that_cannot_be_had_fails_no_run(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where the locks of leases cannot be made, what is to be computed once at a time is computed all the same, and that is said."""
    monkeypatch.setattr("tempfile.tempdir", "/proc/no/such/place")
    with caplog.at_level(logging.WARNING, "daskflow"):
        assert cached.slowly(folder=str(folder), num=1) == 1
        assert cached.slowly(folder=str(folder), num=1) == 1
    assert marks(folder) == ["1"]
    assert caplog.text.count("fails at leases") == 1


def test_a_value_that_cannot_be_stored(folder: Path) -> None:
    """A result that does not pickle is the task's result all the same."""

    @fl.task(cache=True, cache_version="1")
    def generator() -> Any:
        return (one for one in "ab")

    assert list(generator()) == ["a", "b"]


def test_an_input_that_cannot_be_hashed() -> None:
    """An input that has no stable hash is refused, with the way out; not where it is ignored."""

    @fl.task(cache=True, cache_version="1")
    def take(value: Any) -> int:
        return 1

    @fl.task(cache=fl.Cache(version="1", ignored_inputs="value"))
    def ignore(value: Any) -> int:
        return 1

    with pytest.raises(InputError, match="cannot be part of a cache's key"):
        take(value=(one for one in "ab"))
    assert ignore(value=(one for one in "ab")) == 1


def test_the_code_is_the_version(tmp_path: Path) -> None:
    """Without a version an edit of a helper is noticed, and an edit of something else is not."""
    source = (
        "import daskflow as fl\n\ndef helper(a):\n    return a + {n}\n\n\ndef other():\n    return {m}\n\n"
        "@fl.task(cache=True)\ndef f(a: int) -> int:\n    print('executed')\n    return helper(a)\n\nprint(f(a=1))\n"
    )
    printed = []
    for n, m in ((1, 1), (1, 2), (2, 2)):
        (tmp_path / "flow.py").write_text(source.format(n=n, m=m))
        printed.append(subprocess.run([sys.executable, "flow.py"], cwd=tmp_path, capture_output=True, text=True, check=True).stdout)
    assert printed == ["executed\n2\n", "2\n", "executed\n3\n"]


class Yesterday:
    """A policy."""

    def __init__(self, version: str) -> None:
        self.version = version

    def get_version(self, salt: str, params: fl.VersionParameters) -> str:
        """Return a version."""
        if not self.version:
            raise ValueError("none")
        return f"{salt}{params.func.__name__}{self.version}"


def test_policies_make_the_version(folder: Path) -> None:
    """A policy of a user's own makes the version, with the salt; one that fails is named."""

    def variant(version: str, salt: str = "") -> None:
        @fl.task(cache=fl.Cache(policies=Yesterday(version), salt=salt))
        def f(folder: str) -> int:
            cached.leave(folder, "f")
            return 1

        f(folder=str(folder))

    for version, salt in (("1", ""), ("1", ""), ("2", ""), ("2", "s"), ("2", "s")):
        variant(version, salt)
    assert len(marks(folder)) == 3
    with pytest.raises(OptionError, match=r"Failed to generate version for cache policy .*Yesterday.*none"):
        variant("")


def test_a_hash_method_of_what_gives_a_value(folder: Path) -> None:
    """Where a task's output says how it is hashed, that counts in the keys of those that take it."""
    from typing import Annotated

    @fl.task
    def make(n: int) -> Annotated[Any, fl.HashMethod(lambda one: str(next(iter(one))))]:
        return iter([n % 2])

    @fl.task(cache=True, cache_version="1")
    def take(folder: str, value: Any) -> int:
        cached.leave(folder, "take")
        return 1

    @fl.workflow
    def both(folder: str, n: int) -> int:
        return take(folder=folder, value=make(n=n))

    for n in (1, 2, 3, 4):
        both(folder=str(folder), n=n)
    assert len(marks(folder)) == 2
