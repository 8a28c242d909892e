"""Entries: how a cached value is laid out in bytes, and how the bytes are checked before anything in them is believed.

An entry is, one after the other:

- a prefix: what kind of file it is, the version of the format, the length of the header;
- the header, in JSON: the entry's key, when it was made, whether it is signed, the caller's data, the lengths of what follows;
- the value's pickle, and then its large buffers, each from a multiple of 64 on;
- a checksum over all of it;
- where there is a secret, a signature over all of it and the checksum.

The lengths must add up to the entry's before any memory is taken for them, so a torn or lengthened entry is found at once.
"""

from __future__ import annotations

import hmac
import json
import mmap
import pickle
import struct
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from daskflow.classes import loads_by_name

Bytes = bytes | bytearray | memoryview

#: The version of the format, which is also in the path of each entry.
VERSION = 1
#: Entries up to this size are read at once.
SMALL = 1 << 20

_MAGIC = b"\x89dfentry"
_PREFIX = struct.Struct("<8sII")
_ALIGNMENT = 64
_CHECKSUM = 16
_SIGNATURE = 32
# What is hashed is still in the processor's cache when it is written, or has just been read.
_STEP = 1 << 19
# Smaller buffers are copied into the pickle, which is faster than to keep each by itself.
_INSIDE = 4096
_json = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


class Damaged(Exception):
    """The bytes are not an entry as it was written, or not one that may be believed; says why."""


class Head(NamedTuple):
    """What an entry says of itself.

    Attributes
    ----------
    key
        The key that it was written for.
    created
        When, in seconds since the epoch.
    signed
        Whether a signature follows.
    meta
        The caller's data.
    pickle
        The length of the pickle.
    buffers
        The length of each buffer.
    """

    key: str
    created: float
    signed: bool
    meta: dict[str, Any]
    pickle: int
    buffers: tuple[int, ...]


class Encoded(NamedTuple):
    """The pieces of an entry, which was checked or made here.

    Attributes
    ----------
    header
        The header's JSON.
    pickle
        The value's pickle.
    buffers
        Its large buffers; those that can be written to belong to the value that is made of them.
    nbytes
        The length of the whole entry.
    parsed
        What the header says, for the first who asks; who keeps the entry for more lets go of it.
    stamp
        What tells it from another entry of the same key, where it was read.
    """

    header: Bytes
    pickle: Bytes
    buffers: Sequence[Bytes]
    nbytes: int
    parsed: Head | None = None
    stamp: Any = None

    @property
    def head(self) -> Head:
        """What the entry says of itself."""
        return self.parsed or _head(self.header)

    def value(self) -> Any:
        """Unpickle the value."""
        return loads_by_name(self.pickle, [bytearray(one) if type(one) is bytes else one for one in self.buffers])

    def copied(self) -> Encoded:
        """Return the same with nothing in it that anybody can change."""
        return Encoded(self.header, self.pickle, tuple([bytes(one) for one in self.buffers]), self.nbytes, stamp=self.stamp)


class Outside:
    """Collects the buffers that stay out of a pickle.

    Attributes
    ----------
    buffers : list of memoryview
        Those met so far, as bytes, not copied.
    """

    __slots__ = ("buffers",)

    def __init__(self) -> None:
        self.buffers: list[Bytes] = []

    def __call__(self, buffer: pickle.PickleBuffer) -> bool:
        raw = buffer.raw()
        if raw.nbytes < _INSIDE:
            return True
        self.buffers.append(raw)
        return False


def encoded(key: str, pickled: bytes, buffers: Sequence[Bytes], meta: dict[str, Any], *, signed: bool) -> Encoded:
    """Make an entry, now, of a value that is pickled."""
    lengths = [len(one) for one in buffers]
    head = {"key": key, "created": time.time(), "signed": signed, "meta": meta, "pickle": len(pickled), "buffers": lengths}
    header = _json(head).encode()
    return Encoded(header, pickled, buffers, _layout(len(header), len(pickled), lengths, signed)[1])


def sealed(entry: Encoded, secret: bytes | None) -> Iterator[Bytes]:
    """Give the bytes of an entry in pieces, with its checksum and its signature at the end."""
    checks = _Checks(secret)
    for piece in _pieces(entry):
        yield from checks.over(piece)
    yield checks.checksum()
    if secret is not None:
        yield checks.signature()


def opened(data: bytes, key: str, secret: bytes | None) -> Encoded:
    """Check the bytes of a whole entry, and take it apart.

    Raises
    ------
    Damaged
        When it is not the entry of that key as it was written, or not signed with the secret.
    """
    start, end = _bounds(data)
    if end > len(data):
        raise Damaged("it is too short")
    header = data[start:end]
    head = _head(header)
    offsets, total = _layout(len(header), head.pickle, head.buffers, head.signed)
    _check_head(head, key, total, len(data), secret)
    checked = total - _CHECKSUM - (_SIGNATURE if head.signed else 0)
    checks = _Checks(secret)
    checks.update(memoryview(data)[:checked])
    checks.compare(data[checked:], head)
    buffers = tuple(data[offset : offset + length] for offset, length in zip(offsets, head.buffers, strict=True))
    return Encoded(header, data[end : end + head.pickle], buffers, total, head)


def read(readinto: Callable[[memoryview], int], size: int, key: str, secret: bytes | None) -> Encoded:
    """Read an entry of a known size piece by piece, and check it while it is read.

    Parameters
    ----------
    readinto
        Reads what comes next into memory given to it, and returns how much that was.
    size
        How long the entry is.
    key, secret
        What it must be the entry of, and be signed with.

    Raises
    ------
    Damaged
        As for :func:`opened`.
    """
    return _read(readinto, size, key, secret, _memory)


def check(readinto: Callable[[memoryview], int], size: int, key: str, secret: bytes | None) -> None:
    """Read and check an entry as :func:`read` does, without keeping it."""
    scratch = memoryview(bytearray(_STEP))
    _read(readinto, size, key, secret, lambda _: scratch)


def head_of(start: bytes, key: str) -> tuple[Head, int] | int:
    """Read the header at an entry's start, which proves nothing of what follows.

    Returns
    -------
    tuple of Head and int, or int
        The header, and how long the entry must be; or, where more of the entry is needed, how much from its start on.

    Raises
    ------
    Damaged
        When there is no header that can be read, or it is another key's.
    """
    found = head_at(start)
    if not isinstance(found, int):
        _check_key(found[0], key)
    return found


def head_at(start: bytes) -> tuple[Head, int] | int:
    """Read the header at an entry's start, whatever its key; otherwise as :func:`head_of`."""
    begin, end = _bounds(start)
    if len(start) < end:
        return end
    head = _head(start[begin:end])
    return head, _layout(end - begin, head.pickle, head.buffers, head.signed)[1]


class _Checks:
    """The checksum, and the signature where there is a secret, over what has gone by so far."""

    __slots__ = ("_checksum", "_signature")

    def __init__(self, secret: bytes | None) -> None:
        from xxhash import xxh3_128

        self._checksum = xxh3_128()
        self._signature = None if secret is None else hmac.new(secret, digestmod="sha256")

    def update(self, data: Bytes) -> None:
        self._checksum.update(data)
        if self._signature is not None:
            self._signature.update(data)

    def over(self, piece: Bytes) -> Iterator[Bytes]:
        if len(piece) <= _STEP:
            self.update(piece)
            yield piece
            return
        view = memoryview(piece)
        for offset in range(0, len(view), _STEP):
            step = view[offset : offset + _STEP]
            self.update(step)
            yield step

    def checksum(self) -> bytes:
        digest = self._checksum.digest()
        if self._signature is not None:
            self._signature.update(digest)
        return digest

    def signature(self) -> bytes:
        assert self._signature is not None
        return self._signature.digest()

    def compare(self, trailer: Bytes, head: Head) -> None:
        """Compare with what an entry ends with."""
        if self.checksum() != trailer[:_CHECKSUM]:
            raise Damaged("its checksum is wrong")
        # The signature of an entry that is not to be signed is nothing to rely on, and nothing to mind.
        if self._signature is not None and not (head.signed and hmac.compare_digest(self.signature(), bytes(trailer[_CHECKSUM:]))):
            raise Damaged("its signature is wrong")


def _pieces(entry: Encoded) -> Iterator[Bytes]:
    yield _PREFIX.pack(_MAGIC, VERSION, len(entry.header))
    yield entry.header
    yield entry.pickle
    at = _PREFIX.size + len(entry.header) + len(entry.pickle)
    for buffer in entry.buffers:
        yield bytes(-at % _ALIGNMENT)
        yield buffer
        at += -at % _ALIGNMENT + len(buffer)


def _layout(header: int, pickled: int, buffers: Iterable[int], signed: bool) -> tuple[list[int], int]:
    """Return where each buffer starts, and the length of the entry."""
    at = _PREFIX.size + header + pickled
    offsets = []
    for length in buffers:
        at += -at % _ALIGNMENT
        offsets.append(at)
        at += length
    return offsets, at + _CHECKSUM + (_SIGNATURE if signed else 0)


def _bounds(start: Bytes) -> tuple[int, int]:
    if len(start) < _PREFIX.size:
        raise Damaged("it is too short")
    magic, version, length = _PREFIX.unpack_from(start)
    if magic != _MAGIC:
        raise Damaged("it is no entry of a cache")
    if version != VERSION:
        raise Damaged(f"its format has version {version}, where {VERSION} is known")
    return _PREFIX.size, _PREFIX.size + length


def _head(header: Bytes) -> Head:
    try:
        found = json.loads(str(header, "utf-8"))
        found["buffers"] = tuple(found["buffers"])
        head = Head(**found)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise Damaged("its header cannot be read") from error
    lengths = (head.pickle, *head.buffers)
    typed = isinstance(head.key, str) and isinstance(head.created, int | float) and isinstance(head.meta, dict)
    if not typed or type(head.signed) is not bool or not all(type(one) is int and one >= 0 for one in lengths):
        raise Damaged("its header cannot be read")
    return head


def _check_head(head: Head, key: str, expected: int, size: int, secret: bytes | None) -> None:
    if expected != size:
        raise Damaged(f"it has {size} bytes where there should be {expected}")
    _check_key(head, key)
    if secret is not None and not head.signed:
        raise Damaged("it is not signed")


def _check_key(head: Head, key: str) -> None:
    if head.key != key:
        raise Damaged(f"it was written for another key, {head.key[:80]!r}")


def _memory(length: int) -> memoryview:
    if length < SMALL:
        return memoryview(bytearray(length))
    # Memory that is not cleared before it is read into, and comes in large pages, takes a quarter of the time to fill.
    private = mmap.mmap(-1, length, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with suppress(OSError):
            private.madvise(mmap.MADV_HUGEPAGE)
    return memoryview(private)


class _Reading:
    """Reads an entry from its start on, and checks it as it goes by."""

    def __init__(self, readinto: Callable[[memoryview], int], secret: bytes | None) -> None:
        self._readinto = readinto
        self.checks = _Checks(secret)
        self.at = 0

    def take(self, length: int, memory: Callable[[int], memoryview] = _memory) -> memoryview:
        """Read so much into new memory, or over and over into what memory there is."""
        into = memory(length)
        for offset in range(0, length, _STEP):
            place = offset if len(into) >= length else 0
            step = into[place : place + min(_STEP, length - offset)]
            self.fill(step)
            self.checks.update(step)
        self.at += length
        return into[:length]

    def fill(self, into: memoryview) -> None:
        while len(into):
            count = self._readinto(into)
            if not count:
                raise Damaged("it is too short")
            into = into[count:]


def _read(readinto: Callable[[memoryview], int], size: int, key: str, secret: bytes | None, memory: Callable[[int], memoryview]) -> Encoded:
    reading = _Reading(readinto, secret)
    start, end = _bounds(reading.take(_PREFIX.size))
    if end > size:
        raise Damaged("it is too short")
    header = reading.take(end - start)
    head = _head(header)
    offsets, total = _layout(len(header), head.pickle, head.buffers, head.signed)
    _check_head(head, key, total, size, secret)
    pickled = reading.take(head.pickle, memory)
    buffers = []
    for offset, length in zip(offsets, head.buffers, strict=True):
        reading.take(offset - reading.at)
        buffers.append(reading.take(length, memory))
    trailer = _memory(total - reading.at)
    reading.fill(trailer)
    reading.checks.compare(trailer, head)
    return Encoded(header, pickled, buffers, total, head)
