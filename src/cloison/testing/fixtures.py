"""What validators may ask for. The subjects of `subjects.py` can be asked for by their names besides."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, TypeAlias

import pytest

from cloison.errors import ProbeError
from cloison.evidence.capture import headers_only
from cloison.flow import Outcome
from cloison.probe.hosts import host_of
from cloison.probe.pcap import pcap_of
from cloison.session import AUDITOR, open_session
from cloison.testing.checks import Undetermined
from cloison.testing.network import JudgedNetwork, judged_network
from cloison.testing.plugin import ValidatorPlugin, course_of
from cloison.testing.survey import Survey, WideAreaTap
from cloison.testing.viewing import Viewing
from cloison.workspace import find_workspace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from testinfra.host import Host

    from cloison.intent.network import Intent
    from cloison.model import EquipmentName
    from cloison.probe.capture import Captured
    from cloison.probe.judge import Finding
    from cloison.transport.base import Runner

Keep: TypeAlias = "Callable[[str, Iterable[Captured]], None]"
_PACKETS_KEPT = 5000
"""Of one capture."""


def _plugin(config: pytest.Config) -> ValidatorPlugin:
    plugin = config.pluginmanager.get_plugin("cloison-validators")
    if not isinstance(plugin, ValidatorPlugin):  # pragma: no cover  both are registered together
        raise pytest.UsageError
    return plugin


@pytest.fixture(scope="session")
def intent(pytestconfig: pytest.Config) -> Intent:
    """Return the declared network, and all that follows from it."""
    return _plugin(pytestconfig).intent


@pytest.fixture(scope="session")
def network(pytestconfig: pytest.Config) -> Iterator[JudgedNetwork]:
    """Return the network that is judged, reached with the auditor's key."""
    settings = _plugin(pytestconfig).settings
    workspace = find_workspace(settings.root)
    session = open_session(workspace, settings.network, settings.lab_name, key=settings.key, role=AUDITOR)
    judged = judged_network(session)
    yield judged
    judged.close()


@pytest.fixture(scope="session")
def runner_for(network: JudgedNetwork) -> Callable[[EquipmentName], Runner]:
    """Return what runs commands on an equipment, over SSH from the administration station."""
    return network.runner_for


@pytest.fixture(scope="session")
def host_for(network: JudgedNetwork) -> Callable[[EquipmentName], Host]:
    """Return what gives an equipment as a testinfra host, over SSH from the administration station."""
    return lambda name: host_of(network.runner_for(name))


@pytest.fixture(scope="session")
def keep(pytestconfig: pytest.Config) -> Keep:
    """Return what keeps packets as evidence, their headers alone, where the run wants any."""
    folder = _plugin(pytestconfig).settings.captures

    def write(name: str, packets: Iterable[Captured]) -> None:
        if folder is not None:
            kept = headers_only(pcap_of(islice(packets, _PACKETS_KEPT)))
            (folder / f"{name}.pcap").write_bytes(kept)

    return write


@pytest.fixture(scope="session")
def survey(intent: Intent, network: JudgedNetwork, keep: Keep) -> Survey:
    """Return one run of the whole matrix, made when it is first asked for."""
    made = Survey(intent, network)
    for site, packets in made.wide_area.items():
        keep(f"survey.wan.{site}", packets)
    return made


@pytest.fixture(scope="session")
def viewing(intent: Intent, network: JudgedNetwork, keep: Keep) -> Viewing:
    """Return what every station saw of every camera it may watch, watched when it is first asked for."""
    made = Viewing(intent, network)
    for site, packets in made.wide_area.items():
        keep(f"viewing.wan.{site}", packets)
    return made


@pytest.fixture
def wide_area_tap(network: JudgedNetwork) -> Iterator[WideAreaTap]:
    """Return an ear on the wide-area network that is open from now on."""
    tap = WideAreaTap(network.uplinks())
    yield tap
    tap.close()


@pytest.fixture
def say(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Return what takes a sentence for the detail of the verdict, whatever becomes of the check."""
    return course_of(request.node).notes.append


@pytest.fixture
def conclude(request: pytest.FixtureRequest, survey: Survey, keep: Keep) -> Callable[[Finding], None]:
    """Return what ends a check with a finding of the survey; the packets that show a FAIL are kept as a capture."""
    course = course_of(request.node)

    def end(finding: Finding) -> None:
        if finding.outcome is Outcome.FAIL:
            keep(course.check.id.replace("/", "."), survey.frames(finding.numbers))
        match finding.outcome:
            case Outcome.PASS:
                course.notes.append(finding.detail)
            case Outcome.FAIL:
                raise AssertionError(finding.detail)
            case Outcome.UNKNOWN:
                raise Undetermined(finding.detail)
            case _:
                raise ProbeError(finding.detail)

    return end


@pytest.fixture
def as_declared(say: Callable[[str], None]) -> Callable[[Sequence[str], str], None]:
    """Return what ends a check with its differences from what is declared: none is a PASS, which says what was so."""

    def end(differences: Sequence[str], what: str) -> None:
        if differences:
            raise AssertionError("; ".join(differences))
        say(what)

    return end
