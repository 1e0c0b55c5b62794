"""Every device runs exactly what is declared: nothing less, nothing besides, nothing of somebody else's."""

from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path

import pytest

from cloison.change.fleetwide import on_each_that_can
from cloison.change.order import Via
from cloison.change.plan import DevicePlan, candidates, plan_device
from cloison.errors import CloisonError
from cloison.intent.network import Equipment
from cloison.model import EquipmentName
from cloison.session import AUDITOR, open_session
from cloison.workspace import Network, find_workspace


@pytest.fixture(scope="session")
def read_back(pytestconfig: pytest.Config) -> Mapping[EquipmentName, DevicePlan | CloisonError]:
    """Return, for each device, what it runs beside what it shall run, or why it could not be read."""
    root = pytestconfig.getoption("--cloison-root")
    workspace = find_workspace(Path(root) if root else pytestconfig.rootpath)
    key = pytestconfig.getoption("--key")
    session = open_session(
        workspace,
        Network(pytestconfig.getoption("--network")),
        pytestconfig.getoption("--lab-name"),
        key=Path(key) if key else None,
        role=AUDITOR,
    )
    reach = session.reach(Via.TUNNEL)
    rendered = candidates(session.intent, workspace.templates)

    def compare(name: EquipmentName) -> DevicePlan:
        with closing(reach(name)) as opened:
            return plan_device(opened.reader, rendered[name])

    done, failed = on_each_that_can(list(rendered), compare, session.intent.workers)
    return {**done, **failed}


@pytest.mark.check(
    "intent/running",
    title="the device runs exactly what is declared",
    controls=("ANSSI-PA-72 R30",),
)
def test_device_runs_what_is_declared(
    device: Equipment,
    read_back: Mapping[EquipmentName, DevicePlan | CloisonError],
    say: Callable[[str], None],
) -> None:
    """Each section, in canonical text, is the declared one."""
    found = read_back[device.name]
    if isinstance(found, CloisonError):
        raise found
    if found.changed:
        lines = [line for name in found.changed for line in found.diff(name).splitlines() if line[:1] in "+-"]
        shown = "\n".join(line for line in lines if line[:3] not in {"+++", "---"})
        msg = f"differs in {', '.join(found.changed)}:\n{shown}"
        raise AssertionError(msg)
    say(f"{len(found.canonical)} sections read back from the daemons are the declared ones")
