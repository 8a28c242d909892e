"""Mixed parallelism: a dynamic that loops over weather stations, and a workflow in it that maps over a station's days.

Two stations of three days each become this:

    network_wf -> each_station -> station_wf -> to_celsius
                                             -> to_celsius
                                             -> to_celsius -> warmest
                                  station_wf -> to_celsius
                                             -> to_celsius
                                             -> to_celsius -> warmest
                               -> report

A map is the way to do one thing to many inputs: it is one node with items, and needs no loop. What `functools.partial`
binds is the same for all of its items. The dynamic is the way to do different things, here to stations that differ in their scales.

It prints:

```
a station:  25.0
in process: ['Coast: 25.0', 'Summit: 4.5']
by fl.run:  ['Coast: 25.0', 'Summit: 4.5']
```
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import daskflow as fl


@dataclass(frozen=True)
class Station:
    name: str
    scale: str
    readings: list[float]


NETWORK = [Station("Coast", "F", [68.0, 77.0, 59.0]), Station("Summit", "C", [-3.0, 4.5, 0.0])]


@fl.task
def to_celsius(reading: float, scale: str) -> float:
    return (reading - 32) * 5 / 9 if scale == "F" else reading


@fl.task
def warmest(days: list[float]) -> float:
    return max(days)


@fl.workflow
def station_wf(readings: list[float], scale: str) -> float:
    return warmest(days=fl.map_task(functools.partial(to_celsius, scale=scale))(reading=readings))


@fl.task
def report(names: list[str], warmest: list[float]) -> list[str]:
    return [f"{name}: {degrees}" for name, degrees in zip(names, warmest, strict=True)]


@fl.dynamic
def each_station(network: list[Station]) -> list[str]:
    found = [station_wf(readings=station.readings, scale=station.scale) for station in network]
    return report(names=[station.name for station in network], warmest=found)


@fl.workflow
def network_wf(network: list[Station]) -> list[str]:
    return each_station(network=network)


if __name__ == "__main__":
    print("a station: ", station_wf(readings=NETWORK[0].readings, scale="F"))
    print("in process:", network_wf(network=NETWORK))
    print("by fl.run: ", fl.run(network_wf, network=NETWORK).result())
