"""Nested dynamics: a music library, album by album and song by song, to find each song's longest word.

Two albums of two songs each become this:

    library_wf -> each_album -> each_song -> song_wf -> words -> longest
                                          -> song_wf -> words -> longest
                                each_song -> song_wf -> words -> longest
                                          -> song_wf -> words -> longest

The loops are in dynamics, whose inputs are values, so they may loop over them. Each song goes through a launch plan, so it is a
run of its own below the library's. Every level can be called alone, in plain Python; the whole then runs on a Dask cluster: on the
current Dask client's, or, as here, on one of this machine's processes that comes and goes with the run.

It prints:

```
a song:     lighthouse
an album:   ['lighthouse', 'homeward']
in process: {'Harbour': ['lighthouse', 'homeward'], 'Rain': ['umbrellas', 'gutters']}
by fl.run:  {'Harbour': ['lighthouse', 'homeward'], 'Rain': ['umbrellas', 'gutters']}
```
"""

from __future__ import annotations

import daskflow as fl

LIBRARY = {
    "Harbour": ["Out by the lighthouse the bells are asleep", "Row, row, the tide is turning homeward"],
    "Rain": ["Ten black umbrellas, and one of them blue", "Sing to the gutters, sing to the street"],
}


@fl.task
def words(lyrics: str) -> list[str]:
    return lyrics.replace(",", "").split()


@fl.task
def longest(words: list[str]) -> str:
    return max(words, key=len)


@fl.workflow
def song_wf(lyrics: str) -> str:
    return longest(words=words(lyrics=lyrics))


song_lp = fl.LaunchPlan.get_or_create(song_wf)


@fl.dynamic
def each_song(songs: list[str]) -> list[str]:
    return [song_lp(lyrics=lyrics) for lyrics in songs]


@fl.dynamic
def each_album(library: dict[str, list[str]]) -> dict[str, list[str]]:
    return {album: each_song(songs=songs) for album, songs in library.items()}


@fl.workflow
def library_wf(library: dict[str, list[str]]) -> dict[str, list[str]]:
    return each_album(library=library)


if __name__ == "__main__":
    print("a song:    ", song_wf(lyrics=LIBRARY["Harbour"][0]))
    print("an album:  ", each_song(songs=LIBRARY["Harbour"]))
    print("in process:", library_wf(library=LIBRARY))
    print("by fl.run: ", fl.run(library_wf, library=LIBRARY).result())
