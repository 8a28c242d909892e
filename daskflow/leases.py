"""Leases between processes of one machine: one computes a key, the others wait for it.

A lease is a lock on a file, so it ends with the process that has it, however that ends.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import tempfile
from contextlib import suppress


class Lease:
    """The right to compute one thing; not for more than one thread at a time.

    Parameters
    ----------
    name : str
        Names the thing.

    Examples
    --------
    >>> lease = Lease("example")
    >>> lease.acquire()
    >>> lease.release()
    """

    def __init__(self, name: str) -> None:
        self._folder = os.path.join(tempfile.gettempdir(), f"daskflow-leases-{os.getuid()}")
        self._path = os.path.join(self._folder, hashlib.blake2b(name.encode(), digest_size=16).hexdigest())
        self._file = -1

    def acquire(self) -> None:
        """Wait until nobody else has it.

        Raises
        ------
        OSError
            When the file cannot be made.
        """
        os.makedirs(self._folder, mode=0o700, exist_ok=True)
        while True:
            file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(file, fcntl.LOCK_EX)
            except OSError:
                os.close(file)
                raise
            if self._is_there(file):
                self._file = file
                return
            # Whoever had it before has removed the file: the lock is one on nothing.
            os.close(file)

    def _is_there(self, file: int) -> bool:
        try:
            return os.path.samestat(os.fstat(file), os.stat(self._path))
        except FileNotFoundError:
            return False

    def release(self) -> None:
        """Let others have it."""
        if self._file >= 0:
            # Whoever tidies up temporary files may have been here.
            with suppress(OSError):
                os.unlink(self._path)
            os.close(self._file)
            self._file = -1
