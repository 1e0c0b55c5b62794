"""What is believed of the script on a device, and what is not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from cloison.device.agent import AgentGuard
from cloison.device.guard import Timer, TokenError
from cloison.errors import DeviceError
from cloison.transport.base import CommandResult

if TYPE_CHECKING:
    from collections.abc import Sequence

STATE = "cloison-device 1\nscript {script}\ntimer {timer}\ntimer-alive yes\nboot 1\nstate none\ntoken \nstep 0\n"
STATE += "busy no\nremaining 0.00\ncause none\nstartup \ndetail \nend\n"
GOOD = {"script": "0" * 64, "timer": "ticker"}


@dataclass
class Answering:
    """Answers every command with the same."""

    result: CommandResult
    place: str = "here/device"

    def run(self, arguments: Sequence[str], *, stdin: bytes = b"", timeout: float = 1.0) -> CommandResult:
        del arguments, stdin, timeout
        return self.result

    def close(self) -> None:
        """Do nothing."""


def guard(text: str, status: int = 0, said: bytes = b"", timers: tuple[Timer, ...] = tuple(Timer)) -> AgentGuard:
    return AgentGuard(Answering(CommandResult(status, text.encode(), said)), "here/device", timers)


def test_a_state_is_read() -> None:
    assert guard(STATE.format(**GOOD)).state().timer is Timer.TICKER


def test_a_timer_that_the_platform_has_not_is_refused() -> None:
    with pytest.raises(DeviceError, match="here/device: its dead-man is run by ticker; expected one of systemd"):
        guard(STATE.format(**GOOD), timers=(Timer.SYSTEMD,)).state()


@pytest.mark.parametrize("text", ["", "end\n", STATE.format(**GOOD)[:-5], STATE.format(**GOOD) + "more\n"])
def test_an_answer_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(DeviceError, match="here/device: "):
        guard(text).state()


def test_a_refusal_has_the_words_of_the_script() -> None:
    with pytest.raises(TokenError, match="here/device: it went back meanwhile"):
        guard("", 10, b"it went back meanwhile\n").confirm("a")
    with pytest.raises(DeviceError, match="nothing guards a change"):
        guard("", 127, b"not found\n").state()
