"""Text that a user wrote: UTF-8, with or without a byte order mark; other encodings are named, not guessed."""

from __future__ import annotations

import codecs
import io
import tokenize
from pathlib import Path

# UTF-32's little-endian mark begins with that of UTF-16, so it comes first.
_OTHERS = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)


class EncodingError(ValueError):
    """A file that is not UTF-8. Its words follow the file's name, as in `'a.json' is UTF-16, not UTF-8: save it as UTF-8`."""


def read_text(file: Path) -> str:
    r"""A user's text file without a byte order mark; line ends are \n. Raises OSError, and EncodingError if it is not UTF-8."""
    return decoded(file.read_bytes())


def decoded(content: bytes) -> str:
    """The same of a file's content."""
    for mark, encoding in _OTHERS:
        if content.startswith(mark):
            raise EncodingError(f"is {encoding}, not UTF-8: save it as UTF-8")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise EncodingError(
            f"is not UTF-8 (byte 0x{content[error.start]:02x} in line {line}): save it as UTF-8"
        ) from None
    if "\0" in text:  # UTF-16 without a mark, mostly; no text has them
        line = text.count("\n", 0, text.index("\0")) + 1
        raise EncodingError(f"is not UTF-8 text (a zero byte in line {line}): save it as UTF-8")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def check_python(file: Path) -> None:
    """Raises EncodingError unless Python could read a source file: UTF-8, or another encoding that its first lines name."""
    content = file.read_bytes()
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(content).readline)
        if encoding not in ("utf-8", "utf-8-sig"):
            content.decode(encoding)
            return
    except (SyntaxError, ValueError):  # an unknown encoding, or bytes that are none of its
        pass
    decoded(content)
