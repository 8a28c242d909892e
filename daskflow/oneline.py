"""Texts of users' on one line: nothing in them moves the cursor, and what is cut says so."""

from __future__ import annotations

import re

#: What a terminal would not just show: control characters, separators of lines, marks that turn the direction of writing.
_NOT_SHOWN = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
#: Characters of the line that tells of an error.
MOST_LINE = 500
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def one_line(text: str, most: int) -> str:
    r"""Return a text on one line of at most so many characters, and a note of how many more there are.

    Examples
    --------
    >>> one_line("two\nlines", 80)
    'two\\nlines'
    >>> one_line("\x1b[2J" + "x" * 12_000, 6)
    '\\x1b[2…(12 001 characters more)'
    """
    # A text may be huge, and no more of it is shown than this.
    shown = _NOT_SHOWN.sub(_escaped, text[: most + 1])
    if len(text) <= most and len(shown) <= most:
        return shown
    kept, left = "", len(text)
    for character in text[:most]:
        escaped = _NOT_SHOWN.sub(_escaped, character)
        if len(kept) + len(escaped) > most:
            break
        kept, left = kept + escaped, left - 1
    more = f"{left:,}".replace(",", " ")
    return f"{kept}…({more} characters more)"


def error_line(error: BaseException, most: int = MOST_LINE) -> str:
    """Return an error on one line, whatever its class does.

    Examples
    --------
    >>> error_line(ValueError("no"))
    'ValueError: no'
    """
    name = type(error).__name__
    try:
        text = str(error)
    except BaseException:
        return f"{name}: (its text cannot be made)"
    return one_line(f"{name}: {text}" if text else name, most)


def _escaped(match: re.Match[str]) -> str:
    character = match[0]
    return _SHORT.get(character) or (f"\\x{ord(character):02x}" if ord(character) < 256 else f"\\u{ord(character):04x}")
