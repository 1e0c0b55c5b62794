import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloison.optics import (
    FACTORY_LIMITS,
    IMAGE_LENGTH,
    LIMITS,
    NO_LIGHT_DBM,
    SPECIFICATIONS,
    WORST,
    Calibration,
    Link,
    Measurement,
    Module,
    budget,
    dbm,
    decode,
    encode,
    milliwatts,
    typical,
)

MODULE = Module("CLOISON EMULATED", "1000BASE-LX10", "SFP-0001", 1310, 10_000)
PILOT = Link(length=820, connectors=4, splices=2, transmitter="1000BASE-LX10", receiver="1000BASE-LX10")
ALL_WELL = Measurement(35.0, 3.3, 18.0, 0.2512, 0.1372)


def test_powers_convert_both_ways() -> None:
    assert dbm(1.0) == 0.0
    assert dbm(0.2132) == pytest.approx(-6.71, abs=0.005)
    assert milliwatts(-3.0) == pytest.approx(0.5012, abs=5e-5)
    assert dbm(0.0) == NO_LIGHT_DBM == dbm(-1.0)
    assert milliwatts(NO_LIGHT_DBM) == 0.0


def test_pilot_link_has_a_budget() -> None:
    found = budget(PILOT)
    assert found.loss == pytest.approx(0.82 * 0.4 + 4 * 0.5 + 2 * 0.15)
    assert found.expected == pytest.approx(-6.0 - found.loss)
    assert PILOT.loss(WORST) == pytest.approx(0.82 * 0.5 + 4 * 0.75 + 2 * 0.3)
    assert found.margin == pytest.approx(-9.0 - PILOT.loss(WORST) + 19.5)
    assert (found.within_channel, found.paired) == (True, True)
    assert found.headroom == pytest.approx(found.loss)


def test_ten_kilometres_pass_the_power_and_fail_the_channel() -> None:
    far = Link(length=10_000, connectors=4, splices=5, transmitter="1000BASE-LX10", receiver="1000BASE-LX10")
    assert budget(far).margin == pytest.approx(1.0)
    assert not budget(far).within_channel


def test_bidirectional_modules_need_their_counterpart() -> None:
    def link(one: str, other: str) -> Link:
        return Link(length=820, connectors=4, splices=2, transmitter=one, receiver=other)

    assert budget(link("1000BASE-BX10-D", "1000BASE-BX10-U")).paired
    assert budget(link("1000BASE-BX10-U", "1000BASE-BX10-D")).paired
    assert not budget(link("1000BASE-BX10-D", "1000BASE-BX10-D")).paired
    assert link("1000BASE-BX10-D", "1000BASE-BX10-U").reversed() == link("1000BASE-BX10-U", "1000BASE-BX10-D")


@pytest.mark.parametrize("kind", SPECIFICATIONS)
def test_every_module_of_the_inventory_has_a_specification(kind: str) -> None:
    specification = SPECIFICATIONS[kind]
    assert specification.transmit_minimum < specification.transmit_typical < specification.transmit_maximum
    assert specification.sensitivity < specification.overload
    assert SPECIFICATIONS[specification.partner].partner == kind


def test_an_image_says_what_was_encoded() -> None:
    reading = decode(encode(MODULE, ALL_WELL))
    assert reading.module == MODULE
    assert reading.measured is not None
    assert reading.measured.values() == pytest.approx(ALL_WELL.values(), abs=0.004)
    assert (reading.calibration, reading.average_power, reading.sound, reading.flags) == ("internal", True, True, ())
    for limit, expected in zip(reading.limits, FACTORY_LIMITS, strict=True):
        assert limit.values() == pytest.approx(expected.values(), abs=0.004)


def test_bytes_stand_where_the_standard_puts_them() -> None:
    image = encode(MODULE, ALL_WELL)
    assert len(image) == IMAGE_LENGTH
    assert image[92] == 0b0110_1000  # diagnostics, internally calibrated, average power
    assert image[20:36] == b"CLOISON EMULATED"
    assert struct.unpack_from(">H", image, 60) == (1310,)
    assert struct.unpack_from(">hHHHH", image, 256 + 96) == (35 * 256, 33_000, 9_000, 2_512, 1_372)
    assert struct.unpack_from(">H", image, 256 + 38) == (round(milliwatts(-20.5) * 10_000),)


def test_temperature_below_zero_is_signed() -> None:
    reading = decode(encode(MODULE, Measurement(-12.5, 3.3, 18.0, 0.25, 0.13)))
    assert reading.measured is not None
    assert reading.measured.temperature == -12.5
    assert reading.flags == ("temperature low warning",)


def test_no_light_raises_its_flags_and_has_no_logarithm() -> None:
    reading = decode(encode(MODULE, Measurement(35.0, 3.3, 18.0, 0.25, 0.0)))
    assert reading.flags == ("receive low alarm", "receive low warning")
    assert reading.measured is not None
    assert dbm(reading.measured.receive) == NO_LIGHT_DBM


@pytest.mark.parametrize("quantity", range(5))
@pytest.mark.parametrize("limit", range(4))
def test_each_flag_is_a_bit_of_its_own(quantity: int, limit: int) -> None:
    values = list(ALL_WELL.values())
    step = 1.01 if LIMITS[limit].startswith("high") else 0.99
    values[quantity] = FACTORY_LIMITS[limit].values()[quantity] * (step if values[quantity] > 0 else 2 - step)
    if quantity == 0 and not LIMITS[limit].startswith("high"):
        values[quantity] = FACTORY_LIMITS[limit].temperature - 1
    flags = decode(encode(MODULE, Measurement(*values))).flags
    assert any(flag.endswith(LIMITS[limit]) for flag in flags)
    assert len(flags) == (2 if "alarm" in LIMITS[limit] else 1)


def test_external_calibration_uses_every_coefficient() -> None:
    calibration = Calibration(
        slopes={"temperature": 1.5, "voltage": 0.75, "bias": 1.25, "transmit": 0.5},
        offsets={"temperature": -512, "voltage": 100, "bias": -50, "transmit": 20},
        receive=(-3.0, 0.5, 1e-5, 2e-10, 1e-16),
    )
    image = encode(MODULE, ALL_WELL, calibration=calibration)
    assert image[92] & 0x30 == 0x10
    (raw,) = struct.unpack_from(">H", image, 256 + 104)
    counts = sum(factor * float(raw) ** power for power, factor in enumerate(calibration.receive))
    assert counts * 1e-4 == pytest.approx(ALL_WELL.receive, abs=2e-4)
    reading = decode(image)
    assert reading.calibration == "external"
    assert reading.measured is not None
    assert reading.measured.values() == pytest.approx(ALL_WELL.values(), abs=0.006)


@given(
    st.floats(-40, 100),
    st.floats(2.9, 3.7),
    st.floats(0, 100),
    st.floats(0, 6.5),
    st.floats(0, 6.5),
)
def test_any_measurement_comes_back(temperature: float, voltage: float, bias: float, sent: float, got: float) -> None:
    measured = Measurement(temperature, voltage, bias, sent, got)
    reading = decode(encode(MODULE, measured))
    assert reading.measured is not None
    assert reading.measured.values() == pytest.approx(measured.values(), abs=0.002)
    assert reading.sound


def test_a_module_without_diagnostics_measures_nothing() -> None:
    image = bytearray(encode(MODULE, ALL_WELL))
    image[92] = 0
    reading = decode(bytes(image))
    assert (reading.measured, reading.limits, reading.flags, reading.calibration) == (None, (), (), "none")


@pytest.mark.parametrize("place", [0, 70, 256, 300])
def test_a_damaged_image_is_not_sound(place: int) -> None:
    image = bytearray(encode(MODULE, ALL_WELL))
    image[place + 1] ^= 0xFF
    assert not decode(bytes(image)).sound


def test_what_is_no_image_is_refused() -> None:
    with pytest.raises(ValueError, match="511 bytes; expected an image of 512"):
        decode(bytes(511))
    with pytest.raises(ValueError, match="identifier 0x00; expected 0x03"):
        decode(bytes(512))


@given(st.binary(min_size=IMAGE_LENGTH, max_size=IMAGE_LENGTH))
def test_any_bytes_are_decoded_or_refused(image: bytes) -> None:
    reading = decode(b"\x03" + image[1:])
    assert reading.calibration in {"none", "internal", "external"}


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="transmit 7 does not fit in 16 bits"):
        encode(MODULE, Measurement(35.0, 3.3, 18.0, 7.0, 0.1))
    with pytest.raises(ValueError, match="is not 16 printable ASCII characters at most"):
        encode(Module("a vendor with a long name", "x", "y", 1310, 10_000), ALL_WELL)


def test_typical_measurement_is_within_its_limits() -> None:
    reading = decode(encode(MODULE, typical(PILOT)))
    assert reading.measured is not None
    assert dbm(reading.measured.receive) == pytest.approx(budget(PILOT).expected, abs=0.01)
    assert reading.flags == ()
