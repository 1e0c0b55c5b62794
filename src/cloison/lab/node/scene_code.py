"""The bar code a camera draws into its picture, and how it is read back: 32 bits of nonce, 32 bits of time, a CRC-32.

96 bits in 6 rows of 16 large cells, within a ring of cells that alternate. A frame is read only when every cell is
clearly black or white, the ring is whole and the CRC holds: a damaged frame is unreadable, never another nonce.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

GRID_COLUMNS, GRID_ROWS = 32, 18
"""The picture in cells, whatever its size in pixels: 20 x 20 pixels each at 640 x 360."""
CODE_COLUMNS, CODE_ROWS = 18, 8
LEFT, TOP = 7, 5
"""The cell where the code's own first cell stands."""
BLACK, WHITE = 16, 235
"""Luma of ITU-R BT.601 video range."""
_BLACK_UP_TO, _WHITE_FROM = 80, 176
"""A cell between these is undecided; measured H.264 noise at 400 kbit/s stays within 12 of the drawn value."""
_WORDS = 3 * 32
Cells = tuple[tuple[bool, ...], ...]


class Scene(NamedTuple):
    """What one frame says: which scene the camera looks at, and when the frame was drawn."""

    nonce: int
    """0 to 2^32 - 1."""
    moment: int
    """Milliseconds since the epoch, modulo 2^32."""


class UnreadableError(ValueError):
    """The frame holds no bar code, or a damaged one."""


def cells_of(scene: Scene) -> Cells:
    """Return the code as CODE_ROWS rows of CODE_COLUMNS cells, true for white; raise ValueError beyond 32 bits."""
    if not (0 <= scene.nonce < 1 << 32 and 0 <= scene.moment < 1 << 32):
        msg = f"{scene}: expected two numbers of 32 bits"
        raise ValueError(msg)
    body = scene.nonce << 32 | scene.moment
    word = body << 32 | zlib.crc32(body.to_bytes(8, "big"))
    bits = (bool(word >> (_WORDS - 1 - index) & 1) for index in range(_WORDS))
    return tuple(
        tuple(_ring(column, row) if _is_ring(column, row) else next(bits) for column in range(CODE_COLUMNS))
        for row in range(CODE_ROWS)
    )


def draw(luma: bytearray, width: int, height: int, cells: Cells) -> None:
    """Write the code into a luma plane of `width` x `height` bytes without padding."""
    left, right = _edge(LEFT, GRID_COLUMNS, width), _edge(LEFT + CODE_COLUMNS, GRID_COLUMNS, width)
    for index, row in enumerate(cells):
        line = b"".join(
            bytes((WHITE if white else BLACK,))
            * (_edge(LEFT + column + 1, GRID_COLUMNS, width) - _edge(LEFT + column, GRID_COLUMNS, width))
            for column, white in enumerate(row)
        )
        for y in range(_edge(TOP + index, GRID_ROWS, height), _edge(TOP + index + 1, GRID_ROWS, height)):
            luma[y * width + left : y * width + right] = line


def read(luma: bytes | memoryview, width: int, height: int, stride: int) -> Scene:
    """Return the scene that a decoded luma plane shows; raise UnreadableError when it shows none without doubt.

    `stride` is the length of one line in bytes, padding included.
    """
    if len(luma) < stride * (height - 1) + width or stride < width:
        msg = f"{len(luma)} bytes of luma; expected {width} x {height} with lines of {stride}"
        raise UnreadableError(msg)
    word = 0
    for row in range(CODE_ROWS):
        for column in range(CODE_COLUMNS):
            white = _is_white(luma, column, row, (width, height, stride))
            if not _is_ring(column, row):
                word = word << 1 | white
            elif white is not _ring(column, row):
                msg = f"no bar code: the ring is broken at column {column}, row {row}"
                raise UnreadableError(msg)
    body, check = word >> 32, word & 0xFFFFFFFF
    if zlib.crc32(body.to_bytes(8, "big")) != check:
        msg = "damaged bar code: the CRC does not hold"
        raise UnreadableError(msg)
    return Scene(body >> 32, body & 0xFFFFFFFF)


def _edge(cell: int, cells: int, pixels: int) -> int:
    return cell * pixels // cells


def _is_ring(column: int, row: int) -> bool:
    return column in {0, CODE_COLUMNS - 1} or row in {0, CODE_ROWS - 1}


def _ring(column: int, row: int) -> bool:
    # The last row is inverted, so that a picture upside down is refused.
    return ((column + row) % 2 == 0) is not (row == CODE_ROWS - 1)


def _is_white(luma: bytes | memoryview, column: int, row: int, size: tuple[int, int, int]) -> bool:
    samples = list(_samples(luma, column, row, size))
    mean = sum(samples) / len(samples)
    if _BLACK_UP_TO < mean < _WHITE_FROM:
        msg = f"neither black nor white at column {column}, row {row} (luma {mean:.0f})"
        raise UnreadableError(msg)
    return mean >= _WHITE_FROM


def _samples(luma: bytes | memoryview, column: int, row: int, size: tuple[int, int, int]) -> Iterator[int]:
    """Yield 25 values from the inner half of a cell, away from the edges that the codec smears."""
    width, height, stride = size
    for step_y in range(5):
        y = ((TOP + row) * 8 + 2 + step_y) * height // (GRID_ROWS * 8)
        for step_x in range(5):
            yield luma[y * stride + ((LEFT + column) * 8 + 2 + step_x) * width // (GRID_COLUMNS * 8)]
