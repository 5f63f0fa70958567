"""The wire format of protocol buffers, as far as logs need it: fields by number, without a schema and without their library."""

import struct
from collections.abc import Iterator

VARINT, DOUBLE, BYTES, FLOAT = 0, 1, 2, 5  # kinds of fields; groups (3, 4) are not used any more
MOST_BYTES = 10  # of a varint of 64 bits


def fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield number and value of each field: an integer for a varint, the bytes for anything else.

    Raises:
        ValueError: the data are damaged.
    """
    at, end = 0, len(data)
    while at < end:
        key, at = _varint(data, at)
        kind = key & 7
        if kind == VARINT:
            value, at = _varint(data, at)
            yield key >> 3, value
            continue
        if kind == BYTES:
            size, at = _varint(data, at)
        elif kind in (DOUBLE, FLOAT):
            size = 8 if kind == DOUBLE else 4
        else:
            raise ValueError(f"a field of kind {kind}")
        if at + size > end:
            raise ValueError("a field that is longer than its message")
        yield key >> 3, data[at : at + size]
        at += size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    for byte in data[at : at + MOST_BYTES]:
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
    raise ValueError("a number without an end")


def number(value: int | bytes) -> float:
    """Return the number in the bytes of a float or double field.

    Raises:
        ValueError: it is of another kind.
    """
    if isinstance(value, bytes) and len(value) in (4, 8):
        return float(struct.unpack("<f" if len(value) == 4 else "<d", value)[0])
    raise ValueError("no float")


def text(value: int | bytes) -> str:
    """Return the text in the bytes of a field.

    Raises:
        ValueError: it is of another kind, or not UTF-8.
    """
    if isinstance(value, bytes):
        return value.decode()
    raise ValueError("no text")


def signed(value: int | bytes) -> int:
    """Return a varint of 64 bits as a signed number.

    Raises:
        ValueError: it is of another kind.
    """
    if isinstance(value, bytes):
        raise ValueError("no varint")
    return value - (1 << 64) if value >> 63 else value
