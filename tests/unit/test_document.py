import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloison.intent.document import SIZE_LIMIT, Data, Document, read_document


def read(text: str) -> Document:
    return read_document(text.encode())


def codes(document: Document) -> list[str]:
    return [mistake.code for mistake in document.mistakes]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0),
        ("-7", -7),
        ("999999999999999999", 999_999_999_999_999_999),
        ("1.5", 1.5),
        ("-0.25", -0.25),
        ("true", True),
        ("false", False),
        ("word", "word"),
        ("10.56.0.0/14", "10.56.0.0/14"),
        ("02:00:00:00:01:1a", "02:00:00:00:01:1a"),
        ("1000BASE-LX10", "1000BASE-LX10"),
        ("820 m", "820 m"),
        ("mairie.example", "mairie.example"),
        ("nobody", "nobody"),
        ('"no"', "no"),
        ("'22:22'", "22:22"),
        ('"010"', "010"),
        ('"2027-01-31"', "2027-01-31"),
        ('""', ""),
        ("[]", []),
        ("{}", {}),
        ("[a, [b, 1]]", ["a", ["b", 1]]),
        ("|\n    first\n    second\n", "first\nsecond\n"),
        ("département", "département"),
    ],
)
def test_value_is_read_as_every_reader_of_yaml_reads_it(text: str, value: Data) -> None:
    document = read(f"key: {text}\n")
    assert document.mistakes == ()
    assert document.data == {"key": value}
    assert isinstance(document.data, dict)
    assert type(document.data["key"]) is type(value)


@pytest.mark.parametrize("text", ["no", "No", "YES", "on", "Off", "y", "N", "True", "FALSE", "="])
def test_word_that_some_readers_take_for_a_truth_value_is_refused(text: str) -> None:
    assert codes(read(f"key: {text}\n")) == ["CL019"]


@pytest.mark.parametrize(
    "text",
    [
        "010",
        "08",
        "0o17",
        "0x1F",
        "0b101",
        "1_000",
        "1_0.5",
        "22:22",
        "12:00:00:00:01:11",
        "1:30.5",
        "+1",
        "1.",
        ".5",
        "1e3",
        "1.5e+3",
        "-0",
        "00",
    ],
)
def test_number_that_some_readers_take_for_another_is_refused(text: str) -> None:
    assert codes(read(f"key: {text}\n")) == ["CL019"]


@pytest.mark.parametrize("text", ["2027-01-31", "2027-01-31 22:00:00", "2027-1-1T00:00:00Z"])
def test_date_is_quoted_or_refused(text: str) -> None:
    assert codes(read(f"key: {text}\n")) == ["CL019"]
    assert codes(read(f'key: "{text}"\n')) == []


@pytest.mark.parametrize("text", [".inf", "-.INF", "+.inf", ".nan", ".NaN", "9" * 400 + ".0", "9" * 19])
def test_number_that_is_not_finite_or_too_large_is_refused(text: str) -> None:
    assert codes(read(f"key: {text}\n")) == ["CL018"]


@pytest.mark.parametrize("text", ["", "~", "null", "Null", "NULL"])
def test_absence_is_said_by_leaving_the_key_out(text: str) -> None:
    document = read(f"key: {text}\n")
    assert codes(document) == ["CL017"]
    assert ("key",) in document.refused


def test_every_mistake_of_a_file_is_found() -> None:
    document = read("a: no\nb: *x\nc: &y 1\nd: 010\na: 2\n<<: {e: 1}\n7: g\nh: !!str i\nj:\n  - ~\n  - .inf\n")
    assert codes(document) == ["CL019", "CL011", "CL011", "CL019", "CL013", "CL011", "CL014", "CL012", "CL017", "CL018"]
    assert [mistake.place.line for mistake in document.mistakes] == [1, 2, 3, 4, 5, 6, 7, 8, 10, 11]


def test_every_value_and_key_has_its_place() -> None:
    document = read('a: 1\nb:\n  - c\n  - {d: "é", e: f}\n')
    places = document.places
    assert places.of(("a",)) == (1, 4)
    assert places.of_key(("a",)) == (1, 1)
    assert places.of(("b", 0)) == (3, 5)
    assert places.of_key(("b", 1, "e")) == (4, 14)
    assert places.of(("b", 1, "e")) == (4, 17)
    assert places.of(("b", 1, "not there", "at all")) == (4, 5)
    assert places.of(("not there",)) == (1, 1)


def test_first_of_two_equal_keys_is_kept() -> None:
    document = read("a: 1\na: 2\n")
    assert document.data == {"a": 1}
    assert document.mistakes[0].hint == "the first is on line 1; remove one"


def test_depth_is_limited() -> None:
    assert codes(read("a: " + "[" * 19 + "]" * 19)) == []
    assert codes(read("a: " + "[" * 20 + "]" * 20)) == ["CL010"]


@pytest.mark.parametrize("text", ["[" * 100_000, "{a: " * 50_000, "- " * 100_000, "? " * 100_000])
def test_nesting_bombs_end_as_mistakes(text: str) -> None:
    assert set(codes(read(text))) <= {"CL009", "CL010", "CL011"}
    assert codes(read(text)) != []


def test_alias_bomb_is_refused() -> None:
    text = "a: &a [x, x]\n" + "".join(f"{c}: &{c} [*{p}, *{p}]\n" for p, c in zip("abcdefgh", "bcdefghi", strict=True))
    assert set(codes(read(text))) == {"CL011"}


def test_size_is_limited() -> None:
    assert codes(read("a: b\n" + "#" * (SIZE_LIMIT - 5))) == []
    assert codes(read("a: b\n" + "#" * (SIZE_LIMIT - 4))) == ["CL005"]


@pytest.mark.parametrize(
    ("content", "code", "place"),
    [
        (b"a: \xff\n", "CL006", (1, 4)),
        (b"a: b\nc: \xc3\n", "CL006", (2, 4)),
        (b"a: \xed\xa0\x80\n", "CL006", (1, 4)),
        (b"\xef\xbb\xbfa: b\n", "CL006", (1, 1)),
        (b"a:\tb\n", "CL008", (1, 3)),
        (b"a: b\x00\n", "CL007", (1, 5)),
        (b"a: b\x7f\n", "CL007", (1, 5)),
        (b"a: b\rc: d\n", "CL007", (1, 5)),
        ("a: b\u0085c: d\n".encode(), "CL007", (1, 5)),
        ("a: b\u2028c: d\n".encode(), "CL007", (1, 5)),
        ("a: b\u2066c\n".encode(), "CL007", (1, 5)),
        ("a: b\u00adc\n".encode(), "CL007", (1, 5)),
        (b'a: "\\x9b"\n', "CL007", (1, 4)),
        (b'a: "\\u202e"\n', "CL007", (1, 4)),
        (b'a: "\\t"\n', "CL008", (1, 4)),
        (b'"\\0": b\n', "CL007", (1, 1)),
    ],
)
def test_character_that_deceives_the_eye_is_refused(content: bytes, code: str, place: tuple[int, int]) -> None:
    document = read_document(content)
    assert [(mistake.code, tuple(mistake.place)) for mistake in document.mistakes] == [(code, place)]


def test_windows_line_ends_are_read() -> None:
    assert read("a: 1\r\nb: 2\r\n").data == {"a": 1, "b": 2}


@pytest.mark.parametrize("text", ["", "\n\n", "# nothing\n", "---\n...\n"])
def test_empty_file_is_refused(text: str) -> None:
    document = read(text)
    assert codes(document) in (["CL016"], ["CL017"])
    assert document.data is None


@pytest.mark.parametrize("text", ["%YAML 1.1\n---\na: 1\n", "%TAG ! tag:example,2000:\n---\na: 1\n", "a: !x 1\n"])
def test_tags_and_directives_are_refused(text: str) -> None:
    assert codes(read(text)) == ["CL012"]


UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""What these tests show does not depend on how busy the machine is."""
JSON_LIKE = st.recursive(
    st.booleans() | st.integers(-(10**17), 10**17) | st.text("abc éü-_:#'\"", max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abcdef", min_size=1), inner, max_size=4),
    max_leaves=12,
)


def spelt(value: Data) -> str:
    """Return a value in YAML's flow style, every text quoted."""
    if isinstance(value, dict):
        return "{" + ", ".join(f'"{key}": {spelt(inner)}' for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(spelt, value)) + "]"
    if isinstance(value, str):
        return '"' + value.replace('"', '\\"') + '"'
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)


@UNHURRIED
@given(JSON_LIKE)
def test_what_is_spelt_is_what_is_read(value: Data) -> None:
    document = read(f"key: {spelt(value)}\n")
    assert document.mistakes == ()
    assert document.data == {"key": value}


@UNHURRIED
@given(st.text())
def test_no_text_makes_the_reader_fail(text: str) -> None:
    document = read_document(text.encode("utf-8", "surrogatepass"))
    assert document.mistakes or document.data is not None


@UNHURRIED
@given(st.text("-[]{}:,#&*!|>'\"%@`?\n  abc<=~0.1", max_size=60))
def test_no_punctuation_makes_the_reader_fail(text: str) -> None:
    document = read(text)
    assert document.mistakes or document.data is not None
    for mistake in document.mistakes:
        assert 1 <= mistake.place.line <= text.count("\n") + 2


@UNHURRIED
@given(st.binary())
def test_no_bytes_make_the_reader_fail(content: bytes) -> None:
    document = read_document(content)
    assert document.mistakes or document.data is not None


@UNHURRIED
@given(st.floats() | st.decimals(allow_nan=True).map(str) | st.dates().map(str) | st.datetimes().map(str))
def test_plain_scalar_is_a_finite_number_a_text_or_refused(value: object) -> None:
    document = read(f"key: {value}\n")
    if not document.mistakes:
        assert isinstance(document.data, dict)
        found = document.data["key"]
        assert isinstance(found, str) or (isinstance(found, int | float) and math.isfinite(found))
