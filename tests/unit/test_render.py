from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path

import pytest

from cloison.desired import FirewallState, state_of, states_of
from cloison.errors import RenderError
from cloison.flow import Protocol
from cloison.intent.load import load
from cloison.intent.network import Intent
from cloison.model import EquipmentName, InterfaceName, Secret, Untrusted
from cloison.render import SectionName, render, render_all
from cloison.render.environment import SpellingError, listed, spelt

ROOT = Path(__file__).parents[2]
TEMPLATES = ROOT / "templates"
FIREWALL = EquipmentName("roussy-le-village/firewall")


@pytest.fixture(scope="module")
def intent() -> Intent:
    return load(ROOT)


@pytest.fixture(scope="module")
def firewall(intent: Intent) -> FirewallState:
    state = state_of(intent, FIREWALL)
    assert isinstance(state, FirewallState)
    return state


def with_switch_section(folder: Path, text: str) -> Path:
    """Return a folder of templates whose section `switch` of a firewall is `text`."""
    for section in ("switch", "interfaces", "filter", "tunnels"):
        file = folder / "firewall" / "debian-libipsec" / f"{section}.j2"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text if section == "switch" else "constant\n", encoding="utf-8")
    return folder


# --- what may be written -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (InterfaceName("vlan110"), "vlan110"),
        (110, "110"),
        (Protocol.TCP, "tcp"),
        (IPv4Address("10.56.1.1"), "10.56.1.1"),
        (IPv4Interface("10.56.1.1/27"), "10.56.1.1/27"),
        (IPv4Network("10.56.1.0/27"), "10.56.1.0/27"),
    ],
)
def test_value_types_are_written(value: object, text: str) -> None:
    assert spelt(value) == text


@pytest.mark.parametrize(
    "value",
    ["text", b"bytes", True, None, 1.5, [], {}, (), object(), Secret("env:KEY"), Untrusted("text"), str],
    ids=lambda value: type(value).__name__,
)
def test_nothing_else_is_written(value: object) -> None:
    with pytest.raises(SpellingError, match="expected a Token, an int, an enumeration or an address"):
        spelt(value)
    with pytest.raises(SpellingError):
        listed([110, value])


def test_list_is_joined_by_the_separator_of_the_template() -> None:
    assert listed([110, IPv4Address("10.56.1.1")], " . ") == "110 . 10.56.1.1"


# --- templates that are wrong ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("ok\n{{ state.nothing }}\n", 2, "has no attribute 'nothing'"),
        ("{{ nothing }}\n", 1, "'nothing' is undefined"),
        ("ok\n\n{{ 'a bare string' }}\n", 3, "a str may not be written"),
        ("{{ state.device.replace('/', ' ') }}\n", 1, "a str may not be written"),
        ("{{ state.device ~ ' up' }}\n", 1, "a str may not be written"),
        ("{{ state.device == 1 }}\n", 1, "a bool may not be written"),
        ("{{ none }}\n", 1, "a NoneType may not be written"),
        ("{{ state }}\n", 1, "a FirewallState may not be written"),
        ("{{ state.gateways }}\n", 1, "a tuple may not be written"),
        ("{{ state.model_dump() }}\n", 1, "a dict may not be written"),
        ("ok\n{{ state.__class__ }}\n", 2, "access to attribute '__class__' of 'FirewallState' object is unsafe"),
        ("{{ ''.__class__.__mro__ }}\n", 1, "unsafe"),
        ("{{ state.gateways | listed }}\n", 1, "a Gateway may not be written"),
        ("{{ state.gateways[99].vlan }}\n", 1, "has no element 99"),
        ("{{ 1 / 0 }}\n", 1, "division by zero"),
        ("ok\n{% if state.device %}\n", 2, "Unexpected end of template"),
        ("ok\n{{ state.device\n", 2, "unexpected end of template"),
        ("ok\n{{ state.device | upper }}\n", 2, "No filter named 'upper'"),
        ("{{ range(3) }}\n", 1, "'range' is undefined"),
        ("{% for n in range(9) %}{{ n }}{% endfor %}\n", 1, "'range' is undefined"),
        ('ok\n{% include "firewall/other.j2" %}\n', 2, "firewall/other.j2"),
        ('{% include "../../secret.j2" %}\n', 1, "../../secret.j2"),
    ],
)
def test_wrong_template_is_refused_with_file_and_line(
    tmp_path: Path, firewall: FirewallState, text: str, line: int, said: str
) -> None:
    templates = with_switch_section(tmp_path, text)
    with pytest.raises(RenderError) as caught:
        render(firewall, templates)
    place = f"{templates}/firewall/debian-libipsec/switch.j2:{line}: "
    assert str(caught.value).startswith(place)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a line without an end", "line 1 of its text is 'a line without an end'"),
        ("ok\nblanks at the end  \n", "line 2 of its text is 'blanks at the end  \\n'"),
        ("ok\nréseau\n", "line 2 of its text is 'réseau\\n'"),
        ("{# nothing #}\n", "expected a text, got nothing"),
    ],
)
def test_text_that_is_not_plain_lines_is_refused(tmp_path: Path, firewall: FirewallState, text: str, said: str) -> None:
    with pytest.raises(RenderError) as caught:
        render(firewall, with_switch_section(tmp_path, text))
    assert "switch.j2: roussy-le-village/firewall: " in str(caught.value)
    assert said in str(caught.value)


def test_missing_template_is_named(tmp_path: Path, firewall: FirewallState) -> None:
    with pytest.raises(RenderError, match=r"firewall/debian-libipsec/switch\.j2: no such template; expected one file"):
        render(firewall, tmp_path)


def test_template_in_another_encoding_is_refused(tmp_path: Path, firewall: FirewallState) -> None:
    templates = with_switch_section(tmp_path, "")
    (templates / "firewall/debian-libipsec/switch.j2").write_bytes("réseau\n".encode("latin-1"))
    with pytest.raises(RenderError, match=r"switch\.j2: .*expected a readable file in UTF-8"):
        render(firewall, templates)


def test_error_inside_an_included_template_names_that_one(tmp_path: Path, firewall: FirewallState) -> None:
    templates = with_switch_section(tmp_path, 'ok\n{% include "firewall/part.j2" %}\n')
    (templates / "firewall/part.j2").write_text("ok\nok\n{{ state.nothing }}\n", encoding="utf-8")
    with pytest.raises(RenderError, match=r"firewall/part\.j2:3: "):
        render(firewall, templates)


# --- what comes out --------------------------------------------------------------------------------------------------


def test_sections_stand_in_the_order_of_application(intent: Intent) -> None:
    for state in states_of(intent):
        names = render(state, TEMPLATES).names
        assert list(names) == sorted(names, key=lambda name: name.order)
        first = {SectionName.SWITCH, SectionName.INTERFACES}
        assert first < set(names)


def test_same_intent_gives_the_same_bytes(tmp_path: Path, intent: Intent) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    written = render_all(states_of(intent), TEMPLATES, one)
    again = render_all(reversed(states_of(load(ROOT))), TEMPLATES, other)
    assert [file.relative_to(one) for file in written] == [
        Path(state.device.site, state.device.equipment, section)
        for state in states_of(intent)
        for section in render(state, TEMPLATES).names
    ]
    assert {file.relative_to(one): file.read_bytes() for file in written} == {
        file.relative_to(other): file.read_bytes() for file in again
    }


def test_nothing_is_written_when_a_template_is_wrong(tmp_path: Path, intent: Intent) -> None:
    templates, out = with_switch_section(tmp_path / "templates", "ok\n"), tmp_path / "out"
    with pytest.raises(RenderError, match="switch/openvswitch"):
        render_all(states_of(intent), templates, out)
    assert not out.exists()


def test_every_permit_names_its_flow_and_nothing_is_accepted_without_a_counter(intent: Intent) -> None:
    own = {"ike", "tunnel", "segment", "loopback", "local-management", "established", "path-mtu"}
    flows = {str(flow.rule) for flow in intent.flows}
    named = set()
    for site in intent.sites:
        rules = render(state_of(intent, site.firewall.name), TEMPLATES).section(SectionName.FILTER).text.splitlines()
        accepting = [rule for rule in rules if " accept" in rule and "policy" not in rule]
        assert accepting
        for rule in accepting:
            assert " counter accept comment " in rule
            named.add(rule.split('comment "')[1].rstrip('"'))
        assert not [rule for rule in rules if rule.endswith(" drop") or " log " in rule.replace("log group", "")]
    assert named == own | flows


def test_sections_of_the_policy_stand_in_the_order_of_the_anssi(firewall: FirewallState) -> None:
    text = render(firewall, TEMPLATES).section(SectionName.FILTER).text
    chains = [line.split()[1] for line in text.splitlines() if line.startswith("\tchain ")]
    order = ["to_firewall", "from_firewall", "protection", "business", "noise", "final"]
    assert [chain for chain in chains if chain in order] == order
    assert [chain for chain in chains if chain not in order] == ["source", "leak"]


def test_section_has_a_digest_and_is_found_by_name(firewall: FirewallState) -> None:
    config = render(firewall, TEMPLATES)
    assert len(config.section(SectionName.FILTER).sha256) == 64
    with pytest.raises(KeyError):
        config.section(SectionName.FIBRE)
