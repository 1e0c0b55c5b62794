"""What an optical module says of itself (SFF-8472), and what a fibre link should let through. Pure.

An image is 512 bytes: A0h (what the module is) then A2h (what it measures), as Linux gives them one after the other.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PAGE_LENGTH = 256
IMAGE_LENGTH = 2 * PAGE_LENGTH
NO_LIGHT_DBM = -40.0
"""What a power of 0 mW is shown as: its logarithm is no number (SFF-8472 cannot tell less than 0.1 µW)."""


def dbm(milliwatts: float) -> float:
    """Return a power in dBm; NO_LIGHT_DBM for what is no light."""
    return max(NO_LIGHT_DBM, 10 * math.log10(milliwatts)) if milliwatts > 0 else NO_LIGHT_DBM


def milliwatts(power_dbm: float) -> float:
    """Return a power in mW; 0 for NO_LIGHT_DBM and below."""
    return 10 ** (power_dbm / 10) if power_dbm > NO_LIGHT_DBM else 0.0


@dataclass(frozen=True, slots=True)
class Specification:
    """What the standard asks of a kind of module: average powers in dBm, losses in dB, wavelength in nm."""

    wavelength: int
    transmit_minimum: float
    transmit_maximum: float
    sensitivity: float
    overload: float
    insertion_loss: float
    """The most that the channel may lose, whatever the powers are."""
    reach: int
    """Metres."""
    partner: str
    """The kind of module at the other end: a bidirectional one needs its counterpart."""

    @property
    def transmit_typical(self) -> float:
        """Midway between the least and the most."""
        return (self.transmit_minimum + self.transmit_maximum) / 2


SPECIFICATIONS: Mapping[str, Specification] = {
    "1000BASE-LX": Specification(1310, -11.0, -3.0, -19.0, -3.0, 4.57, 5_000, "1000BASE-LX"),
    "1000BASE-LX10": Specification(1310, -9.0, -3.0, -19.5, -3.0, 6.0, 10_000, "1000BASE-LX10"),
    "1000BASE-BX10-D": Specification(1490, -9.0, -3.0, -19.5, -3.0, 5.5, 10_000, "1000BASE-BX10-U"),
    "1000BASE-BX10-U": Specification(1310, -9.0, -3.0, -19.5, -3.0, 6.0, 10_000, "1000BASE-BX10-D"),
}
"""IEEE 802.3 clauses 38 (LX) and 59 (LX10, BX10)."""


@dataclass(frozen=True, slots=True)
class Losses:
    """What the parts of a link lose, in dB."""

    per_kilometre: Mapping[int, float]
    """By wavelength in nm."""
    connector: float
    splice: float


PLANNED = Losses({1310: 0.4, 1490: 0.25, 1550: 0.2}, connector=0.5, splice=0.15)
"""What the Fiber Optic Association's calculator plans with; 1490 nm is interpolated."""
WORST = Losses({1310: 0.5, 1490: 0.5, 1550: 0.5}, connector=0.75, splice=0.3)
"""The most that TIA-568 allows each part of an outside plant."""


@dataclass(frozen=True, slots=True)
class Link:
    """A fibre link as built, seen in one direction."""

    length: int
    """Metres."""
    connectors: int
    splices: int
    transmitter: str
    """The kind of the sending module, a key of SPECIFICATIONS."""
    receiver: str

    def reversed(self) -> Self:
        """Return the same link in the other direction."""
        return replace(self, transmitter=self.receiver, receiver=self.transmitter)

    def loss(self, losses: Losses = PLANNED) -> float:
        """Return what the link loses, in dB."""
        per_kilometre = losses.per_kilometre[SPECIFICATIONS[self.transmitter].wavelength]
        return self.length / 1000 * per_kilometre + self.connectors * losses.connector + self.splices * losses.splice


@dataclass(frozen=True, slots=True)
class Budget:
    """What a link promises in one direction: dB for losses and margins, dBm for powers."""

    loss: float
    expected: float
    """Power received from a typical transmitter over the planned loss."""
    margin: float
    """What is left above the sensitivity in the worst case: the weakest transmitter, every part at its maximum."""
    headroom: float
    """What is left below the overload when the strongest transmitter meets the planned loss."""
    within_channel: bool
    """The planned loss is within what the standard lets a channel of this kind lose."""
    paired: bool
    """The two modules are made for each other."""


def budget(link: Link) -> Budget:
    """Return the budget of a link in one direction; KeyError for a kind of module that is not known."""
    sent, received = SPECIFICATIONS[link.transmitter], SPECIFICATIONS[link.receiver]
    loss = link.loss()
    return Budget(
        loss=loss,
        expected=sent.transmit_typical - loss,
        margin=sent.transmit_minimum - link.loss(WORST) - received.sensitivity,
        headroom=received.overload - (sent.transmit_maximum - loss),
        within_channel=loss <= sent.insertion_loss,
        paired=sent.partner == link.receiver,
    )


QUANTITIES = ("temperature", "voltage", "bias", "transmit", "receive")
"""What a module measures, in the order of the standard: °C, V, mA, mW, mW."""
LIMITS = ("high alarm", "low alarm", "high warning", "low warning")
_UNIT = {"temperature": 1 / 256, "voltage": 1e-4, "bias": 2e-3, "transmit": 1e-4, "receive": 1e-4}
"""Of one count: °C, V, mA, mW, mW (SFF-8472 section 9.6)."""
_LINEAR_AT = {"temperature": 84, "voltage": 88, "bias": 76, "transmit": 80}
_IMPLEMENTED, _INTERNAL, _EXTERNAL, _AVERAGE, _FLAGS = 0x40, 0x20, 0x10, 0x08, 0x80
_A2 = PAGE_LENGTH


@dataclass(frozen=True, slots=True)
class Measurement:
    """What a module measures, or a limit for it."""

    temperature: float
    """°C."""
    voltage: float
    """V."""
    bias: float
    """Laser bias current in mA."""
    transmit: float
    """Average power in mW."""
    receive: float
    """Average power in mW."""

    def values(self) -> tuple[float, ...]:
        """Return the values in the order of QUANTITIES."""
        return self.temperature, self.voltage, self.bias, self.transmit, self.receive


FACTORY_LIMITS = (
    Measurement(85.0, 3.6, 60.0, milliwatts(-2.0), milliwatts(-2.0)),
    Measurement(-15.0, 3.0, 2.0, milliwatts(-11.0), milliwatts(-21.5)),
    Measurement(80.0, 3.5, 55.0, milliwatts(-2.5), milliwatts(-2.5)),
    Measurement(-5.0, 3.1, 3.0, milliwatts(-10.0), milliwatts(-20.5)),
)
"""In the order of LIMITS: what a module for 10 km comes with (1 dB over the most, 2 dB under the least)."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """How counts become values in an externally calibrated module (SFF-8472 section 9.4)."""

    slopes: Mapping[str, float] = field(default_factory=lambda: dict.fromkeys(_LINEAR_AT, 1.0))
    """By quantity; in steps of 1/256."""
    offsets: Mapping[str, int] = field(default_factory=lambda: dict.fromkeys(_LINEAR_AT, 0))
    """By quantity, in counts."""
    receive: tuple[float, float, float, float, float] = (0.0, 1.0, 0.0, 0.0, 0.0)
    """Rx_PWR(0) to Rx_PWR(4): received counts are a polynomial of the raw ones."""

    def counts(self, quantity: str, raw: int) -> float:
        """Return the calibrated counts of raw ones."""
        if quantity == "receive":
            return sum(factor * float(raw) ** power for power, factor in enumerate(self.receive))
        return self.slopes[quantity] * raw + self.offsets[quantity]


@dataclass(frozen=True, slots=True)
class Module:
    """What a module is."""

    vendor: str
    """16 ASCII characters at most, as part and serial."""
    part: str
    serial: str
    wavelength: int
    """nm."""
    reach: int
    """Metres of single-mode fibre."""


@dataclass(frozen=True, slots=True)
class Reading:
    """Everything that an image says."""

    module: Module
    measured: Measurement | None
    """None when the module has no diagnostics."""
    limits: tuple[Measurement, ...]
    """In the order of LIMITS; empty without diagnostics."""
    flags: tuple[str, ...]
    """The limits that the module itself says are passed, such as `receive low alarm`."""
    calibration: str
    """`internal`, `external` or `none`."""
    average_power: bool
    """Received power is an average; False: optical modulation amplitude."""
    sound: bool
    """All three checksums hold."""


def _encoded(quantity: str, value: float, calibration: Calibration | None) -> int:
    """Return the raw counts that a value is stored as; ValueError when they do not fit in 16 bits."""
    wanted = value / _UNIT[quantity]
    low, high = (-0x8000, 0x7FFF) if quantity == "temperature" else (0, 0xFFFF)
    if calibration is None:
        raw = round(wanted)
    else:
        raw = min(
            _search(low, high, quantity, wanted, calibration),
            key=lambda r: abs(calibration.counts(quantity, r) - wanted),
        )
    if not low <= raw <= high:
        msg = f"{quantity} {value:g} does not fit in 16 bits"
        raise ValueError(msg)
    return raw


def _search(low: int, high: int, quantity: str, wanted: float, calibration: Calibration) -> Iterator[int]:
    """Yield the two raw counts around the wanted ones; a calibration is expected to rise."""
    while high - low > 1:
        middle = (low + high) // 2
        if calibration.counts(quantity, middle) < wanted:
            low = middle
        else:
            high = middle
    yield low
    yield high


def encode(
    module: Module,
    measured: Measurement,
    limits: tuple[Measurement, ...] = FACTORY_LIMITS,
    calibration: Calibration | None = None,
) -> bytes:
    """Return the image of a module that measures this; internally calibrated unless a calibration is given.

    Its flags are those that follow from the limits. Raises ValueError for what cannot be stored.
    """
    image = bytearray(IMAGE_LENGTH)
    _put_identity(image, module)
    image[92] = _IMPLEMENTED | _AVERAGE | (_INTERNAL if calibration is None else _EXTERNAL)
    image[93], image[94] = _FLAGS, 0x05  # flags implemented; SFF-8472 revision 11.0
    _put_calibration(image, calibration or Calibration())
    for at, quantity in enumerate(QUANTITIES):
        form = ">h" if quantity == "temperature" else ">H"
        for number, limit in enumerate(limits):
            raw = _encoded(quantity, limit.values()[at], calibration)
            struct.pack_into(form, image, _A2 + 8 * at + 2 * number, raw)
        struct.pack_into(form, image, _A2 + 96 + 2 * at, _encoded(quantity, measured.values()[at], calibration))
    _put_flags(image, measured, limits)
    for first, last in _CHECKSUMS:
        image[last] = sum(image[first:last]) & 0xFF
    return bytes(image)


_CHECKSUMS = ((0, 63), (64, 95), (_A2, _A2 + 95))


def _put_identity(image: bytearray, module: Module) -> None:
    image[0:3] = bytes((0x03, 0x04, 0x07))  # SFP, two-wire interface, LC
    image[6] = 0x02  # 1000BASE-LX
    image[11:13] = bytes((0x01, 13))  # 8B/10B, 1300 MBd
    image[14] = min(255, module.reach // 1000)
    image[15] = min(255, module.reach // 100)
    struct.pack_into(">H", image, 60, module.wavelength)
    for at, text in ((20, module.vendor), (40, module.part), (68, module.serial)):
        image[at : at + 16] = _padded(text)


def _padded(text: str) -> bytes:
    if len(text) > 16 or not (text.isascii() and text.isprintable()):  # noqa: PLR2004  the field's length
        msg = f"{text!r} is not 16 printable ASCII characters at most"
        raise ValueError(msg)
    return text.encode().ljust(16)


def _put_calibration(image: bytearray, calibration: Calibration) -> None:
    for power, factor in enumerate(calibration.receive):
        struct.pack_into(">f", image, _A2 + 72 - 4 * power, factor)
    for quantity, at in _LINEAR_AT.items():
        slope = round(calibration.slopes[quantity] * 256)
        struct.pack_into(">Hh", image, _A2 + at, slope, calibration.offsets[quantity])


def _put_flags(image: bytearray, measured: Measurement, limits: tuple[Measurement, ...]) -> None:
    for at, value in enumerate(measured.values()):
        for number, limit in enumerate(limits):
            high = LIMITS[number].startswith("high")
            if value > limit.values()[at] if high else value < limit.values()[at]:
                byte, bit = _flag_place(at, number)
                image[_A2 + byte] |= 1 << bit


def _flag_place(quantity: int, limit: int) -> tuple[int, int]:
    """Return byte of A2h and bit of a flag: alarms from byte 112, warnings from 116, high before low."""
    first = 112 if "alarm" in LIMITS[limit] else 116
    position = 2 * quantity + limit % 2
    return first + position // 8, 7 - position % 8


def decode(image: bytes) -> Reading:
    """Return what an image says; ValueError when it is not 512 bytes long or not of a pluggable module."""
    if len(image) != IMAGE_LENGTH:
        msg = f"{len(image)} bytes; expected an image of {IMAGE_LENGTH}"
        raise ValueError(msg)
    if image[0] != 0x03:  # noqa: PLR2004  SFF-8024: SFP, SFP+ and later
        msg = f"identifier {image[0]:#04x}; expected 0x03, a pluggable module (SFP)"
        raise ValueError(msg)
    kind = image[92]
    has_diagnostics = bool(kind & _IMPLEMENTED)
    calibration = _calibration(image) if kind & _EXTERNAL else None
    name = "none" if not has_diagnostics else "external" if kind & _EXTERNAL else "internal"
    return Reading(
        module=_identity(image),
        measured=_measurement(image, 96, 2, calibration) if has_diagnostics else None,
        limits=tuple(_measurement(image, 2 * n, 8, calibration) for n in range(len(LIMITS))) if has_diagnostics else (),
        flags=tuple(_flags(image)) if has_diagnostics and image[93] & _FLAGS else (),
        calibration=name,
        average_power=bool(kind & _AVERAGE),
        sound=all(image[last] == sum(image[first:last]) & 0xFF for first, last in _CHECKSUMS),
    )


def _ascii(text: bytes) -> str:
    return text.decode("ascii", "backslashreplace").rstrip(" \0")


def _identity(image: bytes) -> Module:
    return Module(
        vendor=_ascii(image[20:36]),
        part=_ascii(image[40:56]),
        serial=_ascii(image[68:84]),
        wavelength=int(struct.unpack_from(">H", image, 60)[0]),
        reach=max(image[14] * 1000, image[15] * 100),
    )


def _calibration(image: bytes) -> Calibration:
    linear = {quantity: struct.unpack_from(">Hh", image, _A2 + at) for quantity, at in _LINEAR_AT.items()}
    zero, one, two, three, four = (float(struct.unpack_from(">f", image, _A2 + 72 - 4 * n)[0]) for n in range(5))
    return Calibration(
        slopes={quantity: slope / 256 for quantity, (slope, _) in linear.items()},
        offsets={quantity: offset for quantity, (_, offset) in linear.items()},
        receive=(zero, one, two, three, four),
    )


def _measurement(image: bytes, first: int, stride: int, calibration: Calibration | None) -> Measurement:
    """Return five values from A2h, the first one at byte `first`, the next `stride` bytes further."""
    values = []
    for at, quantity in enumerate(QUANTITIES):
        form = ">h" if quantity == "temperature" else ">H"
        raw = struct.unpack_from(form, image, _A2 + first + stride * at)[0]
        counts = raw if calibration is None else calibration.counts(quantity, raw)
        value = counts * _UNIT[quantity]
        values.append(value if quantity == "temperature" or not value < 0 else 0.0)
    temperature, voltage, bias, transmit, receive = values
    return Measurement(temperature, voltage, bias, transmit, receive)


def _flags(image: bytes) -> Iterator[str]:
    for at, quantity in enumerate(QUANTITIES):
        for number, limit in enumerate(LIMITS):
            byte, bit = _flag_place(at, number)
            if image[_A2 + byte] & (1 << bit):
                yield f"{quantity} {limit}"


def typical(link: Link) -> Measurement:
    """Return what the module at the receiving end of a link measures when all is well: room temperature, 3.3 V."""
    own = SPECIFICATIONS[link.receiver]
    return Measurement(
        temperature=35.0,
        voltage=3.3,
        bias=18.0,
        transmit=milliwatts(own.transmit_typical),
        receive=milliwatts(budget(link).expected),
    )
