"""Keys of the cache: the same for the same, other for anything else, in every process and version."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import daskflow as fl
from daskflow.cachekey import key, token
from daskflow.errors import InputError


class Colour(enum.Enum):
    """Some."""

    RED = 1
    BLUE = 2


@dataclasses.dataclass
class Point:
    """Two numbers."""

    x: int
    y: float = 0.0


class Pair(NamedTuple):
    """Two numbers."""

    x: int
    y: float


@fl.task
def add(a: int, b: float) -> float:
    return a + b


@fl.task
def anything(value: Any, verbose: bool = False) -> int:
    return 0


#: Keys as they were when the format was first used: if one changes, every user's cache is lost.
GOLDEN: list[tuple[Any, str]] = [
    (1, "33f61a997312c8113a6efeb437e2080e9c69b36f"),
    ("text", "04d91b8ea45c532f14e665542b1411e4dd38a723"),
    (None, "d569214eda2ffa576afe63d28a5ff8a1fc1e745e"),
    (True, "e6fef10b55e9afa2459c1442c44b733789391c91"),
    (1.5, "8410e151b62ff09cf8bde09bf07f2cb678c146ef"),
    (b"bytes", "97fb7677c9400c65717cd2f535167b11adec2878"),
    ([1, 2, "3"], "4cd36173f79f3ef8edb41b682b94e80f8dcbb077"),
    ({"a": [1], "b": (2.0, None)}, "44b694353a19750be8fff7dbde518984f788fcbc"),
    ({3, 1, 2}, "d852ebf08fe3d66586002d9f4ebfe5c5856109d5"),
    (Colour.RED, "6085d28986bef294bfa47e753129c42a25ceea1a"),
    (Point(1, 2.0), "8dcf82fa3a024cd0d061716c58046d9a1d50c07e"),
    (Pair(1, 2.0), "d3f6eacf32cca694f8b7e931f90d241b721a35de"),
    (datetime.date(2024, 2, 29), "797211e64cc8cd9c4721ca5cfca8f3907695cb1a"),
    (datetime.timedelta(seconds=3), "686ef1ae53b77f9074f14b056f80baa790bffd7a"),
]

VALUES: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.binary(max_size=5) | st.sampled_from(Colour),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=4)
        | st.builds(Point, st.integers(), st.floats())
        | st.tuples(inner, inner)
        | st.sets(st.integers(), max_size=4)
    ),
    max_leaves=12,
)


@pytest.mark.parametrize(("value", "expected"), GOLDEN)
def test_keys_stay_what_they_are(value: Any, expected: str) -> None:
    """No change of the code changes a key: what users have cached stays within reach."""
    assert key(anything, "1", {"value": value, "verbose": False}) == expected


def test_keys_are_the_same_in_every_process() -> None:
    """Another process, with another seed for hashes, makes the same keys."""
    values = [value for value, _ in GOLDEN]
    script = "from tests.unit.test_cachekey import *\nprint([key(anything, '1', {'value': v, 'verbose': False}) for v, _ in GOLDEN])"
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == str([key(anything, "1", {"value": value, "verbose": False}) for value in values])


def same(one: Any, other: Any) -> bool:
    """Tell whether two values are equal and of the same types throughout."""
    return repr(canonical(one)) == repr(canonical(other))


def canonical(value: Any) -> Any:
    if isinstance(value, dict):
        return ("dict", sorted((repr(canonical(name)), repr(canonical(one))) for name, one in value.items()))
    if isinstance(value, (set, frozenset)):
        return (type(value).__name__, sorted(map(repr, value)))
    if isinstance(value, (list, tuple)):
        return (type(value).__name__, [canonical(one) for one in value])
    if dataclasses.is_dataclass(value):
        return ("Point", [canonical(getattr(value, one.name)) for one in dataclasses.fields(value)])
    return (type(value).__name__, repr(value))


@given(VALUES, VALUES)
@settings(max_examples=1500, deadline=None)
def test_tokens_tell_values_apart(one: Any, other: Any) -> None:
    """Two values have one token exactly if they are equal and of the same types."""
    assert (token(one) == token(other)) == same(one, other)


@given(st.integers(-3, 3), st.integers(-3, 3), st.sampled_from(["1", "2"]), st.sampled_from(["1", "2"]))
def test_what_is_in_a_key(a: int, b: int, one: str, other: str) -> None:
    """A key changes with any input and the version, and with nothing else."""
    keys = key(add, one, {"a": a, "b": 1.0}), key(add, other, {"b": 1.0, "a": b})
    assert (keys[0] == keys[1]) == ((a, one) == (b, other))


def test_the_interface_is_in_a_key() -> None:
    """Other types, names or outputs make another key; another default does not."""

    def variant(annotations: dict[str, Any], default: Any) -> str:
        def fn(a, b=default):  # type: ignore[no-untyped-def]
            return a

        fn.__annotations__ = annotations
        return key(fl.task(fn), "1", {"a": 1, "b": 2})

    first = variant({"a": int, "b": int, "return": int}, 1)
    assert variant({"a": int, "b": int, "return": int}, 2) == first
    others = [
        variant({"a": float, "b": int, "return": int}, 1), variant({"a": int, "b": int | None, "return": int}, 1),
        variant({"a": int, "b": int, "return": str}, 1),
    ]  # fmt: skip
    assert len({first, *others}) == 4


def test_ignored_inputs_are_not_in_a_key() -> None:
    """An input that is ignored does not change the key."""
    keys = {key(anything, "1", {"value": 1, "verbose": verbose}, ignored=("verbose",)) for verbose in (True, False)}
    assert len(keys) == 1


def test_a_hash_method_makes_the_token() -> None:
    """Where an input says how it is hashed, only that counts, and the value need not be one that can be hashed otherwise."""

    def variant(value: Any) -> str:
        @fl.task
        def hashed(value: Annotated[Any, fl.HashMethod(lambda one: str(len(one)))]) -> int:
            return 0

        return key(hashed, "1", {"value": value})

    assert variant([object()]) == variant([object()]) == variant("a")
    assert variant("ab") != variant("a")


def test_arrays_are_told_apart() -> None:
    """Arrays with other contents, shape or type have other tokens; how they lie in memory does not matter."""
    np = pytest.importorskip("numpy")
    base = np.arange(12, dtype="i4")
    same_token = {token(base.reshape(3, 4)), token(np.asfortranarray(base.reshape(3, 4))), token(np.repeat(base, 2)[::2].reshape(3, 4))}
    assert len(same_token) == 1
    others = [base, base.reshape(4, 3), base.astype("i8").reshape(3, 4), base.astype("u4").reshape(3, 4), np.zeros(0), np.zeros((0, 1))]
    assert len({token(one) for one in others} | same_token) == len(others) + 1


def test_what_cannot_be_hashed_is_refused() -> None:
    """A value with no hash that is the same everywhere is an error that names the input and the way out."""
    with pytest.raises(InputError, match=r"input 'value' of .*anything cannot be part of a cache's key: .*HashMethod, or list it"):
        key(anything, "1", {"value": (one for one in "abc"), "verbose": False})


def test_a_script_and_its_module_share_keys(tmp_path: Path) -> None:
    """A function has the same key whether its file is run or imported."""
    (tmp_path / "flows.py").write_text(
        "import daskflow as fl\nfrom daskflow.cachekey import key\n"
        "@fl.task\ndef f(a: int) -> int:\n    return a\n\nprint(key(f, '1', {'a': 1}))\n"
    )
    outputs = {
        subprocess.run([sys.executable, *command], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
        for command in (["flows.py"], ["-c", "import flows"])
    }
    assert len(outputs) == 1
