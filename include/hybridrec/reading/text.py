"""Text files: unpacked, decoded, with \\n at the end of every line, block by block."""

from __future__ import annotations

import codecs
import gzip
import io
import shlex
import zlib
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import BinaryIO

from hybridrec.base.errors import PermanentError

BLOCK = 1 << 20
MAX_LINE = 1 << 26  # characters: memory stays bounded whatever is delivered
GZIP = b"\x1f\x8b"
OTHERS = {  # first bytes of other files that have a text file's name
    b"PK\x03\x04": "a ZIP archive (or an Excel workbook)",
    b"PAR1": "a Parquet file",
    b"BZh": "packed with bzip2",
    b"\x28\xb5\x2f\xfd": "packed with zstd",
    b"\xfd7zXZ\x00": "packed with xz",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook",
}
MARKS = {  # the longer one first: UTF-32's begins with UTF-16's
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
    codecs.BOM_UTF8: "utf-8-sig",
}


def text_blocks(file: str, raw: BinaryIO) -> Iterator[str]:
    """Yield a text file from its start, in blocks; gzip is unpacked. PermanentError names the line and byte that cannot be decoded.

    UTF-8, or what a byte order mark says. \\r and \\r\\n become \\n.
    """
    raw.seek(0)
    packed = raw.read(2) == GZIP
    raw.seek(0)
    stream = gzip.GzipFile(fileobj=raw) if packed else raw
    head = _read(file, stream, BLOCK)
    encoding = next((name for mark, name in MARKS.items() if head.startswith(mark)), "utf-8")
    _require_text(file, head, encoding)
    inner = codecs.getincrementaldecoder(encoding)()
    decoder = io.IncrementalNewlineDecoder(inner, translate=True)
    line, offset, block = 1, 0, head
    while True:
        pending = len(inner.getstate()[0])
        try:
            text = decoder.decode(block, final=not block)
        except UnicodeDecodeError as error:
            line += error.object[: error.start].count(b"\n")
            raise _not_decodable(file, encoding, line, offset - pending + error.start) from None
        if text:
            yield text
        if not block:
            return
        line, offset = line + text.count("\n"), offset + len(block)
        block = _read(file, stream, BLOCK)


def _read(file: str, stream: BinaryIO | gzip.GzipFile, size: int) -> bytes:
    try:
        return stream.read(size)
    except (EOFError, gzip.BadGzipFile, zlib.error):
        raise PermanentError(f"files: {file} is no whole gzip file; it may be cut off; deliver it again and land again") from None


def _require_text(file: str, head: bytes, encoding: str) -> None:
    for mark, kind in OTHERS.items():
        if head.startswith(mark):
            raise PermanentError(
                f"files: {file} is {kind}, whatever its name says; unpack or export it, or correct its ending, and land again"
            )
    if encoding == "utf-8" and head.count(0) > len(head) // 4:
        order = "be" if head[::2].count(0) > head[1::2].count(0) else "le"
        raise PermanentError(
            f"files: {file} is no text (many of its bytes are 0); if it is UTF-16 without a byte order mark, "
            f"convert it, as with: iconv -f utf-16{order} -t utf-8 {_quoted(file)}"
        )


def _not_decodable(file: str, encoding: str, line: int, byte: int) -> PermanentError:
    if encoding not in ("utf-8", "utf-8-sig"):
        return PermanentError(
            f"files: {file} is not {encoding.upper()}, as its byte order mark says, from byte {byte} on; deliver it again"
        )
    # what calls itself latin1 has the euro sign of Windows' code page, which iconv's latin1 would make a control character
    return PermanentError(
        f"files: {file} is not UTF-8: line {line}, byte {byte}; convert it, as with: iconv -f cp1252 -t utf-8 {_quoted(file)}"
    )


def _quoted(file: str) -> str:
    return shlex.quote(PurePosixPath(file).name)


def whole_lines(file: str, blocks: Iterator[str]) -> Iterator[str]:
    """Yield the same text in blocks that end with a line's end; PermanentError for a line of more than MAX_LINE characters."""
    rest: list[str] = []
    line, size = 1, 0
    for block in blocks:
        end = block.rfind("\n") + 1
        if end:
            whole = "".join([*rest, block[:end]])
            yield whole
            line, size, rest = line + whole.count("\n"), 0, []
        rest.append(block[end:])
        size += len(block) - end
        if size > MAX_LINE:
            raise PermanentError(
                f"files: {file} line {line} has more than {MAX_LINE} characters; write one row a line, or deliver it as Parquet"
            )
    if size:
        yield "".join([*rest, "\n"])


def lines(file: str, raw: BinaryIO) -> Iterator[str]:
    """Yield the lines of a text file, each with its end."""
    for block in whole_lines(file, text_blocks(file, raw)):
        for line in block[:-1].split("\n"):  # splitlines would cut at further characters
            yield f"{line}\n"
