"""testinfra through a runner: its own commands, exact output, and an error that is not an assertion."""

import pytest

from cloison.errors import ProbeError, TransportTimeout
from cloison.probe.hosts import RunnerBackend, host_of, said_by
from cloison.transport.local import LocalRunner


def test_testinfra_asks_through_the_runner() -> None:
    host = host_of(LocalRunner("site/host"))
    assert host.backend.hostname == "site/host"
    assert host.file("/etc/passwd").user == "root"
    assert host.run("printf %s", "it's $HOME").stdout == "it's $HOME"


def test_output_of_a_command_that_fails_is_an_error_with_its_own_words() -> None:
    host = host_of(LocalRunner("site/host"))
    assert said_by(host, ("printf", "a b")) == "a b"
    with pytest.raises(ProbeError, match="site/host: sh exited 3: no such thing"):
        said_by(host, ("sh", "-c", "echo no such thing >&2; exit 3"))


def test_a_command_has_a_time_limit() -> None:
    with pytest.raises(TransportTimeout, match=r"had not ended after 0\.2 s"):
        RunnerBackend(LocalRunner("site/host"), 0.2).run("sleep 9")
