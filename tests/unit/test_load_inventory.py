import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloison.errors import IntentError, WorkspaceError
from cloison.flow import Endpoint, Purpose
from cloison.intent.check import check_flows
from cloison.intent.files import INVARIANTS, POLICY
from cloison.intent.invariants import broken, forbidden_paths
from cloison.intent.load import load, read
from cloison.intent.network import Intent
from cloison.model import EquipmentName
from cloison.workspace import Network, Workspace, find_workspace

ROOT = Path(__file__).parents[2]
TWISTED = "`", '` is read differently by YAML 1.1 and 1.2; quote it if a text is meant: "', '"'
FILES = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "inventory").rglob("*.yaml"))


@pytest.fixture(scope="module")
def pilot() -> Intent:
    return load(ROOT)


@pytest.fixture
def spoilt(tmp_path: Path) -> Callable[[str, str], None]:
    """Load a copy of the shipped inventory in which one file has another text."""
    shutil.copytree(ROOT / "inventory", tmp_path / "inventory")

    def load_with(file: str, text: str) -> None:
        path = tmp_path / file
        shipped = path.read_bytes()
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
        try:
            load(tmp_path, Network.LAB)
        finally:
            path.write_bytes(shipped)

    return load_with


def test_root_and_workspace_are_both_accepted() -> None:
    assert load(ROOT) == load(find_workspace(ROOT))


def test_missing_inventory_is_named(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError, match="inventory: No such file"):
        load(tmp_path)


def test_inventory_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "inventory").symlink_to(ROOT / "inventory")
    with pytest.raises(WorkspaceError, match="a symbolic link"):
        load(tmp_path)


def test_folder_of_sites_that_is_a_link_is_refused(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "inventory", tmp_path / "inventory")
    shutil.rmtree(tmp_path / "inventory" / "sites")
    (tmp_path / "inventory" / "sites").symlink_to(ROOT / "inventory" / "sites")
    with pytest.raises(IntentError) as raised:
        load(tmp_path)
    assert [problem.code for problem in raised.value.problems if problem.file == Path("inventory/sites")] == [
        "CL001",
        "CL002",
    ]


def test_file_name_cannot_write_to_the_terminal(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "inventory", tmp_path / "inventory")
    os.close(os.open(os.fsencode(tmp_path / "inventory") + b"/x\n\xff\x1b[2J", os.O_CREAT | os.O_WRONLY))
    os.close(os.open(os.fsencode(tmp_path / "inventory" / "sites") + b"/\xe2\x80\xaey.yaml", os.O_CREAT | os.O_WRONLY))
    with pytest.raises(IntentError) as raised:
        load(tmp_path)
    assert [str(problem).split(":")[0] for problem in raised.value.problems] == [
        "inventory/sites/\\u202ey.yaml",
        "inventory/x\\n\\udcff\\x1b[2J",
    ]


def test_network_of_the_workspace_is_the_default(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "inventory", tmp_path / "inventory")
    assert len(load(Workspace(tmp_path, Network.LIVE), Network.LAB).sites) == 3
    with pytest.raises(IntentError, match="CL605"):
        load(Workspace(tmp_path, Network.LIVE))


def test_problems_are_sorted_and_relative_to_the_workspace(spoilt: Callable[[str, str], None]) -> None:
    with pytest.raises(IntentError) as raised:
        spoilt("inventory/defaults.yaml", "workers: 0\nwokers: no\n")
    assert str(raised.value).splitlines() == [
        "inventory/defaults.yaml:1:10: CL105: `workers` is 0; expected at least 1",
        "inventory/defaults.yaml:2:1: CL102: unknown key `wokers`; expected workers; did you mean `workers`?",
        "inventory/defaults.yaml:2:9: CL019: " + "no".join(TWISTED),
    ]


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None, max_examples=50
)
@given(file=st.sampled_from(FILES), text=st.text())
def test_no_text_of_a_file_makes_anything_but_an_intent_error(
    spoilt: Callable[[str, str], None], file: str, text: str
) -> None:
    with pytest.raises(IntentError) as raised:
        spoilt(file, text)
    assert all(problem.line >= 1 and problem.column >= 1 for problem in raised.value.problems)


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None, max_examples=50
)
@given(data=st.data(), file=st.sampled_from(FILES))
def test_no_change_of_a_file_makes_anything_but_an_intent_error(
    spoilt: Callable[[str, str], None], data: st.DataObject, file: str
) -> None:
    lines = (ROOT / file).read_text(encoding="utf-8").splitlines()
    at = data.draw(st.integers(0, len(lines) - 1))
    words = lines[at].split(" ")
    word = data.draw(st.integers(0, len(words) - 1))
    pool = " ".join(lines).split(" ")
    words[word] = data.draw(st.sampled_from([*pool, "", "no", "0", "-1", "[]", "{}", "~", "&a", "*a", "!!x", "---"]))
    lines[at] = " ".join(words)
    try:
        spoilt(file, "\n".join([*lines, ""]))
    except IntentError as error:
        assert error.problems  # noqa: PT017  most changes are errors and some are not: both are right


def test_derived_flow_against_an_invariant_is_found_host_by_host(pilot: Intent) -> None:
    files = read(ROOT)
    assert list(check_flows(files, pilot)) == []
    watch = next(flow for flow in pilot.flows if flow.rule == "watch-live")
    recorder = EquipmentName("roussy-le-village/nvr")
    address = pilot.equipment_by_name[recorder].address
    assert address is not None
    opened = watch.model_copy(update={"destination": Endpoint(name=recorder, address=address)})
    problems = list(check_flows(files, pilot.model_copy(update={"flows": (*pilot.flows, opened)})))
    place = files.place(INVARIANTS, ("no_path", 0))
    said = f"flow `watch-live` lets {watch.source.name} reach roussy-le-village/nvr, "
    said += f"which invariant `no-recording-outside` forbids ({place})"
    assert [problem.message for problem in problems] == [said]
    assert problems[0].file == POLICY


def test_flow_under_a_false_name_is_found_by_its_address(pilot: Intent) -> None:
    watch = next(flow for flow in pilot.flows if flow.rule == "watch-live")
    address = pilot.equipment_by_name[EquipmentName("roussy-le-village/nvr")].address
    assert address is not None
    opened = watch.model_copy(update={"destination": Endpoint(name=watch.destination.name, address=address)})
    found = [invariant.id for _, invariant in broken(pilot.model_copy(update={"flows": (opened,)}))]
    assert found == ["no-recording-outside"]


def test_excepted_purpose_is_not_forbidden(pilot: Intent) -> None:
    files = read(ROOT)
    watch = next(flow for flow in pilot.flows if flow.rule == "watch-live")
    managed = watch.model_copy(update={"purpose": Purpose.MANAGE})
    found = list(check_flows(files, pilot.model_copy(update={"flows": (managed,)})))
    assert len(found) == 1
    assert "`aggregation-opens-live-only`" in found[0].message


def test_invariants_expand_to_literal_addresses(pilot: Intent) -> None:
    paths = list(forbidden_paths(pilot))
    recording = [path for path in paths if path.invariant == "no-recording-outside"]
    nvr = pilot.equipment_by_name[EquipmentName("roussy-le-village/nvr")].address
    cell = next(site for site in pilot.sites if site.name == "crisis-cell")
    # Two stations and a switch by one address each, and the firewall by the gateway address of each segment.
    assert len(recording) == 3 + len(cell.segments)
    assert {path.destination for path in recording} == {nvr}
    assert {path.source for path in recording if path.source_name == "crisis-cell/firewall"} == {
        segment.gateway for segment in cell.segments
    }


def test_every_invariant_of_the_pilot_forbids_something(pilot: Intent) -> None:
    # Between communes there is nothing to forbid while there is one commune.
    expected = {invariant.id for invariant in pilot.invariants} - {"no-commune-to-commune"}
    assert {path.invariant for path in forbidden_paths(pilot)} == expected
