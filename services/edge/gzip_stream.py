"""One gzip stream (RFC 1952) of pieces that are compressed one by one, so that each is compressed once.

Official SDKs read a stream of one member, and not what follows a second one. So the pieces are blocks of one
deflate stream (RFC 1951): each ends at a byte, and refers to nothing before it.
"""

import struct
import zlib
from collections.abc import Iterable

COMPRESSION_LEVEL = 6
#: Without a name and a time.
_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
#: An empty block that is marked as the last one.
_LAST_BLOCK = b"\x03\x00"


class Piece:
    """A part of a text, compressed when first asked for, once. It never changes."""

    __slots__ = ("_deflated", "_text")

    def __init__(self, text: bytes | None = None) -> None:
        self._text = text
        self._deflated: bytes | None = None

    @property
    def text(self) -> bytes:
        """The part itself."""
        if self._text is None:
            self._text = self._join()
        return self._text

    @property
    def deflated(self) -> bytes:
        """The part as blocks that can stand anywhere in a stream but at its end. A thread may ask for it."""
        if self._deflated is None:
            self._deflated = deflate(self.text)
        return self._deflated

    def _join(self) -> bytes:
        """Return the text of a piece that was made without one."""
        raise NotImplementedError


def deflate(text: bytes) -> bytes:
    """Return a text as blocks of a deflate stream that goes on after it."""
    compressor = zlib.compressobj(COMPRESSION_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    return compressor.compress(text) + compressor.flush(zlib.Z_SYNC_FLUSH)


def gzip_stream(pieces: Iterable[Piece]) -> bytes:
    """Return the texts of all pieces, one after the other, as one gzip stream."""
    parts, checksum, size = [_HEADER], 0, 0
    for piece in pieces:
        parts.append(piece.deflated)
        checksum = zlib.crc32(piece.text, checksum)
        size += len(piece.text)
    parts += _LAST_BLOCK, struct.pack("<II", checksum, size & 0xFFFFFFFF)
    return b"".join(parts)
