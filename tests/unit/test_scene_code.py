"""The cameras' bar code: what is drawn is read, and what was damaged is refused, never read as something else."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloison.lab.node.scene_code import (
    BLACK,
    CODE_COLUMNS,
    CODE_ROWS,
    GRID_COLUMNS,
    GRID_ROWS,
    LEFT,
    TOP,
    WHITE,
    Scene,
    UnreadableError,
    cells_of,
    draw,
    read,
)

WORD = st.integers(0, (1 << 32) - 1)


def picture(scene: Scene, width: int = 640, height: int = 360) -> bytearray:
    luma = bytearray(b"\x80" * (width * height))
    draw(luma, width, height, cells_of(scene))
    return luma


@given(WORD, WORD)
def test_what_is_drawn_is_read(nonce: int, moment: int) -> None:
    scene = Scene(nonce, moment)
    assert read(bytes(picture(scene)), 640, 360, 640) == scene


@pytest.mark.parametrize(("width", "height"), [(640, 360), (320, 180), (1280, 720), (704, 576), (639, 359)])
def test_it_is_read_at_any_size(width: int, height: int) -> None:
    scene = Scene(0xDEADBEEF, 12345)
    assert read(bytes(picture(scene, width, height)), width, height, width) == scene


def test_padding_at_the_end_of_a_line_is_skipped() -> None:
    luma = picture(Scene(7, 8))
    padded = b"".join(bytes(luma[y * 640 : (y + 1) * 640]) + b"\x00" * 32 for y in range(360))
    assert read(memoryview(padded), 640, 360, 672) == Scene(7, 8)


def test_noise_below_the_threshold_changes_nothing() -> None:
    noise = random.Random(1)  # noqa: S311  a picture's noise, not a key
    luma = bytes(min(255, max(0, value + noise.randint(-60, 60))) for value in picture(Scene(0xA5A5A5A5, 99)))
    assert read(luma, 640, 360, 640) == Scene(0xA5A5A5A5, 99)


@given(WORD, WORD, st.integers(0, CODE_COLUMNS - 1), st.integers(0, CODE_ROWS - 1))
def test_one_inverted_cell_is_refused(nonce: int, moment: int, column: int, row: int) -> None:
    luma = picture(Scene(nonce, moment))
    for y in range((TOP + row) * 20, (TOP + row + 1) * 20):
        for x in range((LEFT + column) * 20, (LEFT + column + 1) * 20):
            luma[y * 640 + x] = BLACK + WHITE - luma[y * 640 + x]
    with pytest.raises(UnreadableError):
        read(bytes(luma), 640, 360, 640)


@given(WORD, WORD, st.lists(st.integers(0, 95), min_size=1, max_size=8, unique=True))
def test_several_inverted_bits_are_never_another_nonce(nonce: int, moment: int, bits: list[int]) -> None:
    luma = picture(Scene(nonce, moment))
    for bit in bits:
        top, left = (TOP + 1 + bit // 16) * 20, (LEFT + 1 + bit % 16) * 20
        for y in range(top, top + 20):
            luma[y * 640 + left : y * 640 + left + 20] = bytes(
                BLACK + WHITE - value for value in luma[y * 640 + left : y * 640 + left + 20]
            )
    with pytest.raises(UnreadableError):
        read(bytes(luma), 640, 360, 640)


@pytest.mark.parametrize(
    ("luma", "reason"),
    [
        (b"\x80" * (640 * 360), "neither black nor white at column 0, row 0"),
        (bytes([BLACK]) * (640 * 360), "ring is broken at column 0, row 0"),
        (bytes([WHITE]) * (640 * 360), "ring is broken at column 1, row 0"),
        (b"\x80" * 100, "100 bytes of luma; expected 640 x 360"),
        (bytes(reversed(picture(Scene(1, 2)))), "ring is broken"),
    ],
    ids=["grey", "black", "white", "short", "turned"],
)
def test_what_is_no_code_is_refused(luma: bytes, reason: str) -> None:
    with pytest.raises(UnreadableError, match=reason):
        read(luma, 640, 360, 640)


def test_the_code_lies_within_the_picture_and_leaves_the_rest() -> None:
    luma = picture(Scene(0, 0))
    assert (LEFT + CODE_COLUMNS <= GRID_COLUMNS, TOP + CODE_ROWS <= GRID_ROWS) == (True, True)
    assert set(luma[: TOP * 20 * 640]) == {0x80}
    assert set(luma[(TOP + CODE_ROWS) * 20 * 640 :]) == {0x80}


@pytest.mark.parametrize("scene", [Scene(1 << 32, 0), Scene(0, 1 << 32), Scene(-1, 0)])
def test_more_than_32_bits_are_refused(scene: Scene) -> None:
    with pytest.raises(ValueError, match="two numbers of 32 bits"):
        cells_of(scene)
