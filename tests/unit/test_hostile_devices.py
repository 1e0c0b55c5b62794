"""Devices that lie, rave or break off: an error that names the device, nothing believed, nothing that a sink obeys."""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloison.cli.output import note, print_error, print_json, print_untrusted, progress, say
from cloison.device.agent import AgentGuard, parse_state
from cloison.device.capabilities import PLATFORMS
from cloison.device.daemons import DaemonReader
from cloison.device.guard import TransactionState
from cloison.device.push import unified
from cloison.errors import CloisonError, DeviceError, TransportError
from cloison.model import EquipmentName, Platform, Untrusted, read_json
from cloison.transport.base import DEFAULT_TIMEOUT_SECONDS, OUTPUT_LIMIT_BYTES, CommandResult
from cloison.transport.local import LocalRunner

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

DEVICE = EquipmentName("site/device")
ROOT = Path(__file__).parents[2]
HIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
EVIL = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202egnp.exe[link=https://192.0.2.9]x[/link][/nope]<script>alert(1)</script>=cmd()|@all"
"""What a terminal, a page, a spreadsheet or a reader would take for more than a text."""

HEALTHY = {
    "ip-address": "[]",
    "ip-route": "[]",
    "ip-rule": "[]",
    "ip-rule6": "[]",
    "ip-neighbour": "[]",
    "queues": "[]",
    "system": "host\n12.5\nDebian\n",
    "nft-table": "table inet cloison {\n}\n",
    "nft-tables": "table inet cloison\n",
}
STEP = re.compile(r"^step (\S+) \d+ ", re.MULTILINE)


@dataclass
class Answering:
    """A runner on a device that answers each step of a batch with its own bytes, or the whole batch with others."""

    texts: dict[str, bytes]
    whole: Callable[[bytes], bytes] = field(default=lambda answer: answer)
    place: str = str(DEVICE)

    def run(
        self, arguments: Sequence[str], *, stdin: bytes = b"", timeout: float = DEFAULT_TIMEOUT_SECONDS
    ) -> CommandResult:
        del stdin, timeout
        answer = b""
        for name in STEP.findall(arguments[-1]):
            said = self.texts.get(name, HEALTHY.get(name, "").encode())
            answer += f"{name} 0 {len(said)} 0\n".encode() + said
        return CommandResult(0, self.whole(answer), b"")

    def close(self) -> None:
        """Do nothing."""


def reader(answering: Answering, platform: Platform = Platform.DEBIAN_LIBIPSEC) -> DaemonReader:
    return DaemonReader(answering, DEVICE, platform, PLATFORMS[platform].sections, 10.0)


def read_with(step: str, text: str | bytes) -> None:
    reader(Answering({step: text.encode() if isinstance(text, str) else text})).read()


def test_the_healthy_answer_is_read() -> None:
    assert reader(Answering({})).read().facts.hostname == "host"


# --- the frame -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "whole",
    [
        lambda answer: answer[: len(answer) // 2],
        lambda _: b"",
        lambda answer: answer[:-1],
        lambda answer: answer + b"more",
        lambda answer: answer.replace(b"ip-route 0 2 0", b"ip-route 0 -2 4"),
        lambda answer: answer.replace(b"ip-route 0 2 0", b"ip-route 0 99999999 0"),
        lambda answer: answer.replace(b"ip-route 0 2 0", b"ip-route 0 " + b"9" * 5000 + b" 0"),
        lambda answer: answer.replace(b"ip-route 0 2 0", b"ip-route 0 1_0 0"),
        lambda answer: answer.replace(b"ip-route 0 2 0", "ip-route 0 ٢ 0".encode()),
        lambda answer: answer.replace(b"ip-route 0", b"ip-rule 0"),
        lambda answer: answer.replace(b"ip-route 0", b"0"),
        lambda answer: answer.replace(b"\n", b"\r\n"),
        lambda _: EVIL.encode("utf-8", "surrogatepass"),
    ],
    ids=range(13),
)
def test_a_frame_that_lies_is_an_error_with_the_name_of_the_device(whole: Callable[[bytes], bytes]) -> None:
    with pytest.raises(DeviceError, match=r"^site/device: the answer of a batch "):
        reader(Answering({}, whole)).read()


@given(st.binary(max_size=200))
def test_no_bytes_but_a_frame_are_a_frame(raving: bytes) -> None:
    with pytest.raises(CloisonError, match="site/device"):
        reader(Answering({}, lambda _: raving)).read()


def test_an_endless_line_is_cut_off() -> None:
    with pytest.raises(TransportError, match=rf"^site/device: .*{OUTPUT_LIMIT_BYTES} bytes"):
        LocalRunner(str(DEVICE)).run(["sh", "-c", "head -c 1000000000 /dev/zero"], timeout=60)


# --- what each tool is made to say -----------------------------------------------------------------------------------

TWICE = '{"caption":"Port table","headings":["_uuid","name"],"data":[],"data":[[["uuid","1"],"x"]]}'
JSON_STEPS = ("ip-address", "ip-route", "ip-rule", "ip-neighbour", "queues", "ovsdb")
AMBIGUOUS = {
    "two keys": '[{"ifname": "lo", "ifname": "wan0"}]',
    "not a number": '[{"ifname": "lo", "mtu": NaN}]',
    "infinity": '[{"ifname": "lo", "mtu": -Infinity}]',
    "overflow": '[{"ifname": "lo", "mtu": 1e999}]',
    "many digits": f'[{{"ifname": "lo", "mtu": {"9" * 5000}}}]',
    "deep": "[" * 100_000,
    "deep and closed": "[" * 900 + "]" * 900,
    "half of a pair": '[{"ifname": "\\ud800"}]',
    "half of a pair as a key": '[{"\\udfff": 1}]',
    "broken off": '[{"ifname": "lo"',
    "something else": '"text"',
    "a list of lists": "[[1]]",
    "control": '[{"ifname": "\x1b"}]',
    "raving": EVIL,
}


@pytest.mark.parametrize("step", JSON_STEPS)
@pytest.mark.parametrize("text", AMBIGUOUS.values(), ids=AMBIGUOUS)
def test_json_that_two_readers_read_differently_is_an_error(step: str, text: str) -> None:
    with pytest.raises(DeviceError, match=r"^site/device: ") as caught:
        read_with(step, text)
    assert len(str(caught.value)) < 500
    assert not HIDDEN.search(Untrusted(str(caught.value)).shown())


@pytest.mark.parametrize(
    ("step", "text"),
    [
        ("ovsdb", TWICE),
        ("ovsdb", '{"caption":"Port table","headings":["_uuid","_uuid"],"data":[[["uuid","1"],["uuid","2"]]]}'),
        ("ovsdb", '{"caption":"Port table","headings":["_uuid","name"],"data":[[["uuid","1"]]]}'),
        ("ovsdb", '{"caption":"Port table","headings":["_uuid"],"data":[[["set",[]]]]}'),
        ("ip-address", '[{"flags": []}]'),
        ("ip-address", '[{"ifname": "x", "mtu": "many"}]'),
        ("ip-address", '[{"ifname": "x", "addr_info": [{"local": "300.1.1.1", "prefixlen": 99}]}]'),
        ("ip-address", '[{"ifname": "x", "addr_info": [{"local": "10.0.0.1", "prefixlen": -1}]}]'),
        ("ip-route", '[{"gateway": "10.0.0.1"}]'),
        ("queues", '[{"kind": "ingress"}]'),
        ("system", "host\nnan\n"),
        ("system", "host\ninf\n"),
        ("system", "host\n1e999\n"),
        ("system", "host\n-5\n"),
        ("system", "host\n"),
    ],
)
def test_an_answer_that_cannot_be_is_an_error(step: str, text: str) -> None:
    with pytest.raises(DeviceError, match=r"^site/device: "):
        read_with(step, text)


OTHER_STEPS = (
    "system",
    "speeds",
    "settings",
    "nft-table",
    "nft-tables",
    "connections",
    "tunnels-loaded",
    "tunnels-file",
)


@given(st.sampled_from([*JSON_STEPS, *OTHER_STEPS]), st.text(max_size=200) | st.binary(max_size=200))
def test_whatever_a_tool_says_it_is_read_or_is_an_error_with_the_name_of_the_device(
    step: str, said: str | bytes
) -> None:
    content = said.encode("utf-8", "replace") if isinstance(said, str) else said
    reading = reader(Answering({step: content}))
    try:
        config = reading.read().config
    except CloisonError:
        with pytest.raises(CloisonError, match=r"^site/device: "):
            reading.read()
    else:
        assert all(section.sha256 for section in config.sections)


@pytest.mark.parametrize("step", ["nft-table", "nft-tables", "connections", "tunnels-loaded", "settings", "system"])
def test_crafted_text_reaches_no_terminal_unescaped(step: str) -> None:
    texts = {"nft-tables": f"table inet cloison\n{EVIL}\n".encode("utf-8", "surrogatepass"), step: EVIL.encode()}
    try:
        shown = "".join(section.text for section in reader(Answering(texts)).read().config.sections)
    except DeviceError as error:
        shown = str(error)
    assert not HIDDEN.search(Untrusted(shown).shown(100_000))


# --- the guard -------------------------------------------------------------------------------------------------------

STATE = {
    "script": "a" * 64,
    "timer": "ticker",
    "timer-alive": "yes",
    "boot": "0b7b-12",
    "state": "armed",
    "token": "run-1-aa",
    "step": "1",
    "busy": "no",
    "remaining": "42.50",
    "cause": "none",
    "startup": "",
    "detail": "",
}


def answer_of(said: dict[str, str]) -> bytes:
    lines = [f"{key} {value}" for key, value in said.items()]
    return "\n".join(["cloison-device 1", *lines, "end", ""]).encode("utf-8", "surrogatepass")


def test_the_healthy_state_is_read() -> None:
    state = parse_state(str(DEVICE), answer_of({**STATE, "lease": "run-1-aa 0123456789ab 30 a person at a machine"}))
    assert (state.state, state.remaining) == (TransactionState.ARMED, 42.5)
    assert state.lease is not None
    assert state.lease.owner == "a person at a machine"


LIES = [
    {"remaining": "nan"},
    {"remaining": "inf"},
    {"remaining": "1e999"},
    {"remaining": "-1"},
    {"remaining": ""},
    {"remaining": "9" * 30},
    {"step": "-1"},
    {"step": "1.5"},
    {"step": "9" * 300},
    {"state": "ARMED"},
    {"state": "finished"},
    {"state": ""},
    {"timer": "cron"},
    {"timer-alive": "maybe"},
    {"busy": "1"},
    {"cause": "weather"},
    {"token": EVIL},
    {"token": "x" * 64},
    {"token": "run 1"},
    {"boot": "\x1b[2J"},
    {"script": "none"},
    {"startup": "../../etc"},
    {"lease": "run-1-aa 0123456789ab"},
    {"lease": "run-1-aa 0123456789ab soon somebody"},
    {"lease": f"run-1-aa 0123456789ab 5 {EVIL}"},
    {"unknown": "1"},
    {"detail": "x" * 1000},
]


@pytest.mark.parametrize("lie", LIES, ids=lambda lie: " ".join(f"{k} {v[:12]!r}" for k, v in lie.items()))
def test_a_state_that_cannot_be_is_an_error(lie: dict[str, str]) -> None:
    with pytest.raises(DeviceError, match=r"^site/device: the guard's answer ") as caught:
        parse_state(str(DEVICE), answer_of({**STATE, **lie}))
    assert not HIDDEN.search(str(caught.value))
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        answer_of(STATE)[:60],
        answer_of(STATE)[:-4],
        answer_of(STATE) + b"more\n",
        answer_of(STATE).replace(b"cloison-device 1", b"cloison-device 2"),
        answer_of(STATE).replace(b"step 1\n", b"step 1\nstep 2\n"),
        answer_of(STATE).replace(b"step 1\n", b""),
        b"x" * 1_000_000,
    ],
    ids=["none", "half", "without an end", "more", "another version", "twice", "a line less", "one line"],
)
def test_a_state_that_is_none_is_an_error(answer: bytes) -> None:
    with pytest.raises(DeviceError, match=r"^site/device: the guard's answer "):
        parse_state(str(DEVICE), answer)


@given(st.binary(max_size=300))
def test_no_other_bytes_are_a_state(raving: bytes) -> None:
    with pytest.raises(DeviceError, match=r"^site/device: "):
        parse_state(str(DEVICE), raving)


@dataclass
class Ending:
    """A runner whose every command ends so."""

    result: CommandResult
    place: str = str(DEVICE)

    def run(
        self, arguments: Sequence[str], *, stdin: bytes = b"", timeout: float = DEFAULT_TIMEOUT_SECONDS
    ) -> CommandResult:
        del arguments, stdin, timeout
        return self.result

    def close(self) -> None:
        """Do nothing."""


@pytest.mark.parametrize("status", [1, 2, 10, 11, 12, 126, 127, 255])
@pytest.mark.parametrize("stdout", [b"", answer_of(STATE), b"\x1b[2J"], ids=["none", "a state", "raving"])
def test_a_guard_that_refuses_says_so_in_an_error(status: int, stdout: bytes) -> None:
    guard = AgentGuard(Ending(CommandResult(status, stdout, EVIL.encode() * 100)), str(DEVICE))
    for ask in (guard.state, lambda: guard.confirm("run-1-aa"), lambda: guard.revert("run-1-aa")):
        with pytest.raises(CloisonError, match="site/device") as caught:
            ask()
        assert len(str(caught.value)) < 1000
        assert not HIDDEN.search(Untrusted(str(caught.value)).shown())


# --- time ------------------------------------------------------------------------------------------------------------


def test_a_difference_takes_seconds_whatever_the_device_says() -> None:
    declared = (ROOT / "tests/golden/render/roussy-le-village/firewall/filter").read_text(encoding="utf-8")
    brace = "\t}\n"
    hostile = "".join(line + brace * 4_000 for line in declared.splitlines(keepends=True))
    started = time.process_time()
    shown = unified(declared, hostile, "a", "b")
    assert time.process_time() - started < 5
    assert shown.count("\n+\t}") > 400_000
    assert unified(hostile, hostile, "a", "b") == ""


# --- JSON ------------------------------------------------------------------------------------------------------------


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**28), 10**29) | st.text(max_size=9),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=12,
)


@given(VALUES)
def test_json_that_means_one_thing_is_read(value: object) -> None:
    assert read_json(json.dumps(value)) == value


@pytest.mark.parametrize(
    "text",
    ['{"action":"drop","action":"accept"}', "NaN", "[1e999]", "1" * 31, '"\\udead"', "[" * 70 + "]" * 70, "[" * 10**5],
    ids=["twice", "nan", "overflow", "digits", "half a pair", "deep", "very deep"],
)
def test_json_that_means_two_things_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"twice|not a number|overflows|digits|surrogate|levels|deeply"):
        read_json(text)


# --- where it is shown -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "show",
    [
        lambda: say(EVIL),
        lambda: note(EVIL),
        lambda: print_untrusted(Untrusted(EVIL)),
        lambda: print_json({EVIL: [EVIL, "\ud800"]}),
        lambda: print_error(DeviceError(DEVICE, EVIL), as_json=False),
        lambda: print_error(DeviceError(DEVICE, EVIL + "\udfff"), as_json=True),
        lambda: _narrated(EVIL),
    ],
    ids=["result", "note", "untrusted", "JSON", "error", "error as JSON", "progress"],
)
def test_no_terminal_obeys_a_device(show: Callable[[], None], capfd: pytest.CaptureFixture[str]) -> None:
    show()
    written = "".join(capfd.readouterr())
    assert "owned" in written
    assert "[link=https://192.0.2.9]x[/link][/nope]" in written
    assert not HIDDEN.search(written)


def _narrated(step: str) -> None:
    with progress(step) as narrate:
        narrate(step)


def test_escaped_json_means_the_same(capfd: pytest.CaptureFixture[str]) -> None:
    print_json({EVIL: [EVIL]})
    assert json.loads(capfd.readouterr().out) == {EVIL: [EVIL]}
