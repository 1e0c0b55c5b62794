"""The judge's own readers on what the renderer's configuration becomes in the real tools: two ways, one answer."""

from pathlib import Path

import pytest

from cloison.desired import state_of
from cloison.intent.load import load
from cloison.intent.network import Equipment, Intent
from cloison.model import EquipmentName
from cloison.probe.readback import rows, ruleset
from cloison.render import SectionName, render
from cloison.transport.local import LocalRunner

pytestmark = pytest.mark.lab

ROOT = Path(__file__).parents[2]
DEVICES = [
    f"{site}/{device}"
    for site, devices in {
        "roussy-le-village": ("firewall", "core-switch", "pole-switch"),
        "crisis-cell": ("firewall", "core-switch"),
        "operations-centre": ("firewall", "core-switch"),
    }.items()
    for device in devices
]
FIREWALLS = [name for name in DEVICES if name.endswith("/firewall")]
COMMUNE = "roussy-le-village/firewall"
CORE = "roussy-le-village/core-switch"


@pytest.fixture(scope="module")
def intent() -> Intent:
    return load(ROOT)


def rendered(intent: Intent, name: str, section: SectionName) -> str:
    """Return the text of one section of a device's configuration."""
    config = render(state_of(intent, EquipmentName(name)), ROOT / "templates")
    return next(part.text for part in config.sections if part.name is section)


def loaded_filter(text: str, change: str = "") -> str:
    """Return what `nft -j list ruleset` says in a namespace of its own after the text, and a change, were loaded."""
    script = f"nft -f -; {change}\n{' '.join(ruleset.COMMAND)}"
    result = LocalRunner().run(["unshare", "--net", "sh", "-ec", script], stdin=text.encode())
    assert result.exit_status == 0, result
    return result.text


def loaded_rows(folder: Path, text: str, *changes: str) -> str:
    """Return the rows of a database of its own after a switch section, and changes, were applied to it."""
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    script = """
    set -e
    ovsdb-tool create db /usr/share/openvswitch/vswitch.ovsschema
    ovsdb-server "$PWD/db" --remote="punix:$PWD/socket" --pidfile="$PWD/pid" --unixctl="$PWD/ctl" --detach --no-chdir
    trap 'kill $(cat pid)' EXIT
    """
    transactions = ["init", f"-- {' -- '.join(lines)}", *changes]
    commands = [
        f"ovs-vsctl --no-wait --db=unix:{folder}/socket {transaction} >/dev/null" for transaction in transactions
    ]
    commands.append(rows.COMMAND[-1].replace("json dump", f"json dump unix:{folder}/socket"))
    result = LocalRunner().run(["sh", "-c", f"cd {folder}\n{script}\n" + "\n".join(commands)])
    assert result.exit_status == 0, result
    return result.text


def device(intent: Intent, name: str) -> Equipment:
    return intent.equipment_by_name[EquipmentName(name)]


@pytest.mark.parametrize("name", FIREWALLS)
def test_filter_as_rendered_is_as_declared(intent: Intent, name: str) -> None:
    loaded = loaded_filter(rendered(intent, name, SectionName.FILTER))
    assert ruleset.differences(intent, device(intent, name), loaded) == []


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ("nft add table ip rogue", "table ip rogue is not ours"),
        ("nft insert rule inet cloison business accept", "forward: accepts everything"),
        (
            "nft insert rule inet cloison business ip saddr 10.56.1.66 ip daddr 10.56.1.82 accept",
            "forward: accepts ip saddr=10.56.1.66,ip daddr=10.56.1.82",
        ),
        (
            "nft insert rule inet cloison business ip saddr 10.56.1.66 ip daddr 10.56.1.82 tcp dport 80 accept",
            "forward: lets through 10.56.1.66 to 10.56.1.82, tcp 80",
        ),
        (
            "nft insert rule inet cloison business ip saddr 10.56.1.64/28 ip daddr 10.56.1.82 tcp dport 80 accept",
            'forward: accepts ip saddr={"prefix": {"addr": "10.56.1.64", "len": 28}},ip daddr=10.56.1.82,tcp dport=80',
        ),
        (
            "nft insert rule inet cloison business icmp type 3 icmp code frag-needed ct state related accept",
            "forward: accepts icmp type=destination-unreachable,icmp code=frag-needed,ct state=related",
        ),
        ("nft insert rule inet cloison noise accept", "chain noise: accepts in a chain that others jump to"),
        (
            "nft 'chain inet cloison to_firewall { policy accept ; }'",
            "input: policy accept; expected drop",
        ),
        (
            "nft flush chain inet cloison from_firewall",
            "output: has no rule for 10.56.1.1 to 10.56.3.18, tcp 6514",
        ),
    ],
)
def test_filter_changed_by_hand_is_named(intent: Intent, change: str, found: str) -> None:
    loaded = loaded_filter(rendered(intent, COMMUNE, SectionName.FILTER), change)
    assert found in ruleset.differences(intent, device(intent, COMMUNE), loaded)


def test_without_a_filter_everything_is_missing(intent: Intent) -> None:
    found = ruleset.differences(intent, device(intent, COMMUNE), loaded_filter(""))
    assert "table inet cloison is missing" in found
    assert "forward: policy none; expected drop" in found


@pytest.mark.parametrize("name", DEVICES)
def test_rows_as_rendered_are_as_declared(intent: Intent, name: str, tmp_path: Path) -> None:
    loaded = loaded_rows(tmp_path, rendered(intent, name, SectionName.SWITCH))
    assert rows.differences(intent, device(intent, name), loaded) == []


def test_rows_changed_by_hand_are_named(intent: Intent, tmp_path: Path) -> None:
    loaded = loaded_rows(
        tmp_path,
        rendered(intent, CORE, SectionName.SWITCH),
        "set port p2 tag=130",
        "set port p3 protected=false",
        "set port p1 trunks=110,111",
        "set bridge br0 fail_mode=standalone",
        "set-controller br0 tcp:203.0.113.9",
        "del-port p8",
        "add-port br0 tunnel0 -- set interface tunnel0 type=vxlan",
        "add-br other",
        "-- --id=@p get port p2 -- --id=@m create mirror name=spy output-port=@p -- add bridge br0 mirrors @m",
        "set-manager ptcp:6640",
    )
    found = rows.differences(intent, device(intent, CORE), loaded)
    fixed = [line for line in found if " has mirrors " not in line and " has controller " not in line]
    assert len(found) - len(fixed) == 2
    assert fixed == [
        "bridges are ['br0', 'other']; expected br0 alone",
        "bridge br0 forwards without flows (fail_mode is not secure)",
        "bridge other forwards without flows (fail_mode is not secure)",
        "a mirror, spy, copies frames",
        "a manager may change the rows from elsewhere",
        "port other is not declared",
        "port tunnel0 is not declared",
        "port p8 is declared and missing",
        "port p1: trunk VLANs [110, 111]; expected [110, 111, 120, 130, 140, 150]",
        "port p2: VLAN 130; expected 120",
        "port p3: protected False; expected True",
    ]
