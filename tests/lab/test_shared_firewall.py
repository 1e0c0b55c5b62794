"""What is loaded at a firewall that communes share, as the real nftables shows it: byte for byte what was foretold."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

from cloison.change.fragment import Sharing
from cloison.change.plan import candidates
from cloison.intent.load import load
from cloison.model import EquipmentName, Name
from cloison.render.config import Section, SectionName
from cloison.transport.local import LocalRunner

pytestmark = pytest.mark.lab

ROOT = Path(__file__).parents[2]
COMMUNES = tuple(Name(f"commune-{number}") for number in range(4))


def shown(text: str) -> str:
    """Return what nft lists of a table that is loaded into a namespace of its own."""
    script = "nft -f - && nft -s list table inet cloison"
    result = LocalRunner().run(["unshare", "--net", "sh", "-ec", script], stdin=text.encode())
    assert result.exit_status == 0, result
    return result.text


@pytest.mark.parametrize("hub", ["crisis-cell/firewall", "operations-centre/firewall"])
def test_communes_change_one_after_the_other(tmp_path: Path, hub: str) -> None:
    spec = importlib.util.spec_from_file_location("growth", ROOT / "benchmarks" / "growth.py")
    assert spec is not None
    assert spec.loader is not None
    growth = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(growth)
    growth.grow(tmp_path, len(COMMUNES))
    intent = load(tmp_path)
    rendered = candidates(intent, ROOT / "templates", [EquipmentName(hub)])[EquipmentName(hub)]
    new = rendered.section(SectionName.FILTER).text
    old = re.sub(r"\b10\.56\.(1[0-3])\.(50|1|34|2)\b", lambda match: f"10.56.{match[1]}.{int(match[2]) + 7}", new)
    running, candidate = (Section(name=SectionName.FILTER, text=shown(text)) for text in (old, new))
    sharing = Sharing(intent, EquipmentName(hub))
    now = running
    for commune in COMMUNES:
        assert now != candidate
        merged = sharing.merge(now, candidate, {commune})
        assert merged.text == shown(merged.text)  # what it will be read back as
        assert sharing.stale(now, merged, set(COMMUNES) - {commune}) == ()
        now = merged
    assert now == candidate
