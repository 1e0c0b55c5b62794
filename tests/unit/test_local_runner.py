"""Commands of this machine: exit status, exact bytes, a time limit, a cap on the output."""

import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from cloison.errors import TransportError, TransportTimeout
from cloison.transport.base import OUTPUT_LIMIT_BYTES
from cloison.transport.local import LineReport, LocalRunner

EVERY_BYTE = bytes(range(256))


def test_streams_are_byte_exact_in_both_directions_at_once() -> None:
    data = EVERY_BYTE * 4096  # more than any pipe holds
    result = LocalRunner().run(["cat"], stdin=data)
    assert (result.exit_status, result.stdout, result.stderr) == (0, data, b"")


def test_a_last_line_without_newline_and_both_outputs_are_kept() -> None:
    result = LocalRunner().run(["sh", "-c", "printf end; printf err >&2; exit 3"])
    assert (result.exit_status, result.stdout, result.stderr) == (3, b"end", b"err")


def test_a_command_that_reads_nothing_is_not_an_error() -> None:
    assert LocalRunner().run(["true"], stdin=EVERY_BYTE * 4096).exit_status == 0


def test_an_argument_is_not_for_a_shell() -> None:
    assert LocalRunner().run(["printf", "%s", "$HOME; id"]).text == "$HOME; id"


def test_a_signal_is_a_negative_status() -> None:
    assert LocalRunner().run(["sh", "-c", "kill -9 $$"]).exit_status == -9


def test_the_environment_is_the_one_given() -> None:
    assert LocalRunner("here", {"PATH": "/usr/bin:/bin"}).run(["env"]).text == "PATH=/usr/bin:/bin\n"


def test_a_time_out_kills_the_whole_group_at_once() -> None:
    started = time.monotonic()
    with pytest.raises(TransportTimeout, match=r"^here: sh had not ended after 0\.2 s$"):
        LocalRunner("here").run(["sh", "-c", "sleep 30 & exec sleep 30"], timeout=0.2)
    assert time.monotonic() - started < 10  # the pipes are closed by nobody but the killed


def test_a_command_that_closes_its_outputs_and_stays_is_timed_out() -> None:
    with pytest.raises(TransportTimeout):
        LocalRunner().run(["sh", "-c", "exec >&- 2>&- <&-; sleep 30"], timeout=0.2)


def test_too_much_output_is_an_error() -> None:
    with pytest.raises(TransportError, match=f"passed {OUTPUT_LIMIT_BYTES} bytes"):
        LocalRunner().run([sys.executable, "-c", "while True: print('x' * 65536)"])


def test_a_missing_program_is_an_error_that_names_it() -> None:
    with pytest.raises(TransportError, match=r"^local: no-such-program cannot be started: No such file or directory$"):
        LocalRunner().run(["no-such-program"])


def test_a_report_is_heard_line_by_line_while_the_command_runs() -> None:
    heard: list[tuple[bytes, bool]] = []
    with TemporaryDirectory() as folder:
        done = Path(folder) / "done"
        report = LineReport(lambda line: heard.append((line, done.exists())))
        script = f"echo one >&{report.descriptor}; echo two >&{report.descriptor}; sleep 0.3; touch {done}; "
        script += f"printf 'three\\ncut off' >&{report.descriptor}; echo out"
        result = LocalRunner().run(["bash", "-c", script], report=report)
    assert (result.exit_status, result.text) == (0, "out\n")
    assert heard == [(b"one", False), (b"two", False), (b"three", True)]


def test_a_report_of_a_command_that_cannot_start_leaves_nothing_open() -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(TransportError, match="cannot be started"):
        LocalRunner().run(["/no/such/program"], report=LineReport(lambda _: None))
    assert len(list(Path("/proc/self/fd").iterdir())) == before
