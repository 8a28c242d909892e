"""Mixed parallelism: a workflow that maps, inside a dynamic that loops.

Squares of numbers are added up row by row: the dynamic decides how many rows there are, and in each row a map task goes over
the columns. ``functools.partial`` binds what is the same for all items.

Prints::

    squares of 1..12, four in a row: [30, 174, 446]
    squares of 1..12, six in a row:  [91, 559]
"""

from __future__ import annotations

import functools

import daskflow as fl


@fl.task
def power(base: int, exponent: int) -> int:
    return base**exponent


@fl.task
def add_up(numbers: list[int]) -> int:
    return sum(numbers)


@fl.workflow
def row_total(row: list[int]) -> int:
    squares = fl.map_task(functools.partial(power, exponent=2))(base=row)
    return add_up(numbers=squares)


@fl.dynamic
def totals(numbers: list[int], width: int) -> list[int]:
    return [row_total(row=numbers[i : i + width]) for i in range(0, len(numbers), width)]


if __name__ == "__main__":
    numbers = list(range(1, 13))
    print("squares of 1..12, four in a row:", fl.run(totals, numbers=numbers, width=4).result())
    print("squares of 1..12, six in a row: ", fl.run(totals, numbers=numbers, width=6).result())
