import io
import re
import stat
import struct
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from cloison.errors import EvidenceError
from cloison.evidence.run import RunFolder
from cloison.evidence.stream import PlannedCheck, StreamWriter
from cloison.flow import Outcome, Verdict
from cloison.model import EquipmentName, Name

NOW = datetime(2026, 11, 24, 13, 20, 5, tzinfo=UTC)
EMPTY = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 128, 1)
"""A capture of nothing."""
FIREWALL = EquipmentName("town/firewall")


def entropy(count: int) -> bytes:
    return bytes(range(0xA0, 0xA0 + count))


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunFolder.create(tmp_path / "runs", NOW, entropy)


def test_a_run_is_named_by_utc_time_and_random_and_open_to_its_owner_alone(run: RunFolder) -> None:
    assert run.id == "20261124-132005-a0a1a2"
    assert stat.S_IMODE(run.path.stat().st_mode) == 0o700


def test_local_time_becomes_utc(tmp_path: Path) -> None:
    local = NOW.astimezone(timezone(timedelta(hours=2)))
    assert RunFolder.create(tmp_path, local, entropy).id == "20261124-132005-a0a1a2"


def test_a_time_without_zone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EvidenceError, match="aware"):
        RunFolder.create(tmp_path, NOW.replace(tzinfo=None), entropy)


def test_a_run_that_is_there_is_not_used_again(run: RunFolder) -> None:
    with pytest.raises(EvidenceError, match="File exists"):
        RunFolder.create(run.path.parent, NOW, entropy)


def test_files_are_private_and_where_they_belong(run: RunFolder) -> None:
    paths = [
        run.write_document(b"{}\n"),
        run.write_page("<!doctype html>"),
        run.write_configuration(FIREWALL, Name("filter"), "table inet cloison {}\n"),
        run.write_configuration(FIREWALL, Name("tunnels"), "connections {}\n"),
    ]
    assert [str(path.relative_to(run.path)) for path in paths] == [
        "audit.json",
        "page.html",
        "configuration/town/firewall/filter.txt",
        "configuration/town/firewall/tunnels.txt",
    ]
    assert {stat.S_IMODE(path.stat().st_mode) for path in paths} == {0o600}
    assert run.read_document() == b"{}\n"


def test_no_file_is_written_twice(run: RunFolder) -> None:
    run.write_page("first")
    with pytest.raises(EvidenceError, match=r"page\.html: cannot be written: File exists"):
        run.write_page("second")
    assert (run.path / "page.html").read_text() == "first"


@pytest.mark.parametrize("link", ["page.html", "configuration", "configuration/town"])
def test_no_link_is_followed(run: RunFolder, tmp_path: Path, link: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    place = run.path / link
    place.parent.mkdir(exist_ok=True)
    place.symlink_to(outside / "file" if link == "page.html" else outside)
    with pytest.raises(EvidenceError, match="cannot be written"):
        run.write_page("x") if link == "page.html" else run.write_configuration(FIREWALL, Name("filter"), "x")
    assert list(outside.iterdir()) == []


@pytest.mark.parametrize("name", ["../escape", "a/b", "", ".hidden", "UPPER", "a" * 300, "nul\0"])
def test_a_capture_cannot_leave_its_folder(run: RunFolder, name: str) -> None:
    with pytest.raises(EvidenceError, match="not the name of a file"):
        run.write_capture(name, EMPTY)


def test_the_stream_is_created_once_and_read_while_it_is_written(run: RunFolder) -> None:
    said = io.BytesIO()
    writer = StreamWriter(said)
    writer.planned((PlannedCheck(check="a/b/c", title="t"), PlannedCheck(check="a/b/d", title="t")))
    writer.result(Verdict(check="a/b/c", outcome=Outcome.PASS, title="t"))
    with run.open_stream() as file:
        for line in said.getvalue().splitlines():
            file.append(line)
        found = RunFolder.at(run.path).read_stream()
        with pytest.raises(EvidenceError, match="File exists"):
            run.open_stream()
    assert [item.outcome for item in found.verdicts] == [Outcome.PASS, Outcome.NOT_RUN]
    assert (run.path / "audit.jsonl").read_bytes() == said.getvalue()


def test_the_folder_of_captures_is_private_and_never_a_link(run: RunFolder, tmp_path: Path) -> None:
    assert stat.S_IMODE(run.captures().stat().st_mode) == 0o700
    assert run.captures() == run.write_capture("one", EMPTY).parent
    other = RunFolder.create(tmp_path / "runs", NOW + timedelta(seconds=1), entropy)
    (other.path / "captures").symlink_to(tmp_path)
    with pytest.raises(EvidenceError, match="captures: cannot be made"):
        other.captures()


def test_a_run_without_a_stream_says_nothing(run: RunFolder) -> None:
    assert run.read_stream().planned == ()


def test_a_stream_that_is_a_link_is_refused(run: RunFolder, tmp_path: Path) -> None:
    (run.path / "audit.jsonl").symlink_to(tmp_path / "nothing")
    with pytest.raises(EvidenceError, match="symbolic link"):
        run.read_stream()


def test_the_latest_run_is_found(tmp_path: Path) -> None:
    for minutes in (2, 0, 1):
        RunFolder.create(tmp_path, NOW + timedelta(minutes=minutes), entropy)
    (tmp_path / "zzz").mkdir()
    assert RunFolder.latest(tmp_path).id == "20261124-132205-a0a1a2"


def test_no_run_is_an_error_that_says_what_makes_one(tmp_path: Path) -> None:
    with pytest.raises(EvidenceError, match=re.escape(f"{tmp_path}: no run yet; `cloison audit` makes one")):
        RunFolder.latest(tmp_path)


@pytest.mark.parametrize("name", ["nothing", "20261124-132005-zzzzzz", "20261124-132005-a0a1a2"])
def test_what_is_no_run_folder_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(EvidenceError, match="not a run folder"):
        RunFolder.at(tmp_path / name)
