"""Lines from what is written in parts. Pure."""

from __future__ import annotations

#: Characters of a line from which on it is cut.
MOST_LINE = 16 << 10


def cut(text: str) -> str:
    """Return a line, cut where it is too long; what is cut says so.

    Examples
    --------
    >>> cut("a" * 20_000)[16_380:]
    'aaaa…(3 616 characters more)'
    """
    return text if len(text) <= MOST_LINE else text[:MOST_LINE] + _more(len(text) - MOST_LINE)


def _more(characters: int) -> str:
    return f"…({spaced(characters)} characters more)"


def spaced(number: int) -> str:
    """Return a number as it is shown, its thousands apart."""
    return f"{number:,}".replace(",", " ")


class _Open:
    """A line that is not at its end; what a carriage return has overwritten is gone, as on a terminal."""

    __slots__ = ("_kept", "_left", "_more", "_returned", "when")

    def __init__(self) -> None:
        self.when = 0.0
        self._clear()

    def _clear(self) -> None:
        self._kept: list[str] = []
        self._left = MOST_LINE
        self._more = 0
        self._returned = False

    def add(self, text: str, when: float) -> None:
        """Go on with it."""
        self.when = when
        if "\r" not in text and not self._returned:
            self._keep(text)
            return
        for number, piece in enumerate(text.split("\r")):
            self._returned = self._returned or number > 0
            if piece:
                if self._returned:
                    self._clear()
                self._keep(piece)

    def _keep(self, piece: str) -> None:
        kept = piece[: self._left]
        if kept:
            self._kept.append(kept)
            self._left -= len(kept)
        self._more += len(piece) - len(kept)

    def text(self) -> str:
        """Return it as it is now."""
        return "".join(self._kept) + (_more(self._more) if self._more else "")


class Joiner:
    """Makes lines of what comes in parts, by level."""

    __slots__ = ("_open",)

    def __init__(self) -> None:
        self._open: dict[str, _Open] = {}

    def lines(self, level: str, text: str, when: float) -> list[str]:
        """Take a text; return the lines that are at their end now, each cut where it is too long."""
        if "\n" not in text:
            self._opened(level).add(text, when)
            return []
        *ended, rest = text.split("\n")
        lines = [self._ended(level, part, when) for part in ended]
        if rest:
            self._opened(level).add(rest, when)
        return lines

    def _ended(self, level: str, part: str, when: float) -> str:
        if level not in self._open and "\r" not in part:
            return cut(part)
        line = self._opened(level)
        if part:
            line.add(part, when)
        del self._open[level]
        return line.text()

    def _opened(self, level: str) -> _Open:
        line = self._open.get(level)
        if line is None:
            line = self._open[level] = _Open()
        return line

    def rest(self) -> list[tuple[str, str, float]]:
        """Return the level, text and time of what has no end, as lines."""
        opened, self._open = self._open, {}
        return [(level, line.text(), line.when) for level, line in opened.items()]
