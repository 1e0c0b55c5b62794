import pytest

from cloison.errors import EvidenceError
from cloison.evidence.canonical import DEPTH_LIMIT, Json, canonical, strict


def test_canonical_bytes_do_not_depend_on_the_order_of_keys() -> None:
    assert canonical({"b": 1, "a": [True, None, "é\x1b"]}) == b'{"a":[true,null,"\\u00e9\\u001b"],"b":1}\n'
    assert canonical({"a": [True, None, "é\x1b"], "b": 1}) == canonical({"b": 1, "a": [True, None, "é\x1b"]})


@pytest.mark.parametrize("value", [{"a": 1, "b": [1.5, "x", None]}, [], "text", {}])
def test_what_is_written_reads_back(value: Json) -> None:
    assert strict(canonical(value), "here") == value


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b'{"action":"drop","action":"accept"}', id="duplicate-key"),
        pytest.param(b'[{"a":{"b":1,"b":1}}]', id="duplicate-key-deep-down"),
        pytest.param(b'{"a":NaN}', id="not-a-number"),
        pytest.param(b'{"a":Infinity}', id="infinity"),
        pytest.param(b'{"a":-Infinity}', id="minus-infinity"),
        pytest.param(b'{"a":1e999}', id="overflow"),
        pytest.param(b'{"a":' + b"9" * 5000 + b"}", id="a-number-of-5000-digits"),
        pytest.param(b"[" * 100_000 + b"]" * 100_000, id="depth-100000"),
        pytest.param(b"[" * (DEPTH_LIMIT + 2) + b"]" * (DEPTH_LIMIT + 2), id="just-too-deep"),
        pytest.param(b'{"a":"\xff"}', id="not-utf-8"),
        pytest.param(b'{"a":1} {"b":2}', id="two-values"),
        pytest.param(b"", id="nothing"),
        pytest.param(b"{'a':1}", id="not-json"),
        pytest.param(b"\xef\xbb\xbf{}", id="byte-order-mark"),
    ],
)
def test_what_can_be_read_two_ways_is_refused_and_the_place_named(content: bytes) -> None:
    with pytest.raises(EvidenceError, match=r"^runs/x:3: not strict JSON: "):
        strict(content, "runs/x:3")


def test_a_hostile_key_does_not_reach_the_message_raw() -> None:
    with pytest.raises(EvidenceError) as caught:
        strict(b'{"\\u001b[2J":1,"\\u001b[2J":2}', "here")
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_number_without_a_word_in_json_is_not_written(value: float) -> None:
    with pytest.raises(EvidenceError):
        canonical({"a": value})
