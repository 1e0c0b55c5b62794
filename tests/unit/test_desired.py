from collections.abc import Iterator
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path
from types import NoneType
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloison.desired import FirewallState, SwitchState, state_of, states_of
from cloison.desired.link import AdminState
from cloison.desired.permit import Permit
from cloison.errors import InputError
from cloison.flow import Endpoint, Flow, Purpose
from cloison.intent.load import load
from cloison.intent.models import LocalManagement
from cloison.intent.network import Intent, PortMode
from cloison.model import EquipmentName, HostName, InterfaceName, Model, Name, Token

ROOT = Path(__file__).parents[2]
COMMUNE = Name("roussy-le-village")
FIREWALL = EquipmentName("roussy-le-village/firewall")
CORE_SWITCH = EquipmentName("roussy-le-village/core-switch")
POLE_SWITCH = EquipmentName("roussy-le-village/pole-switch")

ModelT = TypeVar("ModelT", bound=Model)
VALUE_TYPES = (Token, int, StrEnum, IPv4Address, IPv4Interface, IPv4Network, NoneType)


@pytest.fixture(scope="module")
def intent() -> Intent:
    return load(ROOT)


def firewall_of(intent: Intent, device: EquipmentName = FIREWALL) -> FirewallState:
    state = state_of(intent, device)
    assert isinstance(state, FirewallState)
    return state


def switch_of(intent: Intent, device: EquipmentName = CORE_SWITCH) -> SwitchState:
    state = state_of(intent, device)
    assert isinstance(state, SwitchState)
    return state


def leaves(value: object) -> Iterator[object]:
    """Yield everything in a model that is neither a model nor a tuple."""
    if isinstance(value, Model):
        for name in type(value).model_fields:
            yield from leaves(getattr(value, name))
    elif isinstance(value, tuple):
        for item in value:
            yield from leaves(item)
    else:
        yield value


def changed(model: ModelT, **update: object) -> ModelT:
    """Return a model with other fields, and without what the first one has cached (a copy would keep it)."""
    return type(model).model_validate({name: getattr(model, name) for name in type(model).model_fields} | update)


def with_flow(intent: Intent, source: str, destination: str, purpose: Purpose) -> Intent:
    """Return the intent with one more flow, `rule` being `extra`."""

    def end(name: str) -> Endpoint:
        equipment = intent.equipment_by_name[EquipmentName(name)]
        assert equipment.address is not None
        return Endpoint(name=equipment.name, address=equipment.address)

    extra = Flow(
        rule=Name("extra"),
        source=end(source),
        destination=end(destination),
        service=intent.services[0],
        purpose=purpose,
    )
    return changed(intent, flows=(*intent.flows, extra))


def triples(permits: tuple[Permit, ...]) -> set[tuple[str, IPv4Address, IPv4Address, str, int]]:
    return {
        (permit.flow, pair.source, pair.destination, permit.protocol.value, permit.port)
        for permit in permits
        for pair in permit.pairs
    }


def test_states_hold_value_types_alone(intent: Intent) -> None:
    found = [leaf for state in states_of(intent) for leaf in leaves(state)]
    assert len(found) > 500
    assert [leaf for leaf in found if not isinstance(leaf, VALUE_TYPES)] == []


@given(st.text())
def test_hostile_names_cannot_be_made(text: str) -> None:
    for kind in (Name, EquipmentName, HostName, InterfaceName):
        try:
            made = kind(text)
        except ValueError:
            continue
        assert made.isascii()
        assert not set(made) & set(" \t\r\n\"'#;{}()$`\\|&<>*?![]=,@")


@pytest.mark.parametrize(
    "text", ["a\n", "a b", "a;drop", 'a"', "a#", "a}", "{{a}}", "a\u202eb", "é", "", "-a", "a" * 64]
)
def test_name_that_could_become_a_line_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a name"):
        Name(text)


def test_every_device_has_a_state_and_nothing_else_has(intent: Intent) -> None:
    assert [state.device for state in states_of(intent)] == [device.name for device in intent.devices]
    with pytest.raises(InputError, match=r"roussy-le-village/nvr is not a device; expected one of crisis-cell/core-sw"):
        state_of(intent, EquipmentName("roussy-le-village/nvr"))


# --- firewall ----------------------------------------------------------------------------------------------------


def test_each_firewall_permits_the_flows_of_its_site_and_no_other(intent: Intent) -> None:
    for site in intent.sites:
        state = firewall_of(intent, site.firewall.name)
        declared = {
            (flow.rule, flow.source.address, flow.destination.address, flow.service.protocol.value, flow.service.port)
            for flow in intent.flows
            if site.name in {flow.source.name.site, flow.destination.name.site}
        }
        allowed = (state.to_firewall, state.from_firewall, state.business)
        assert set().union(*map(triples, allowed)) == declared
        assert sum(len(permit.pairs) for permits in allowed for permit in permits) == len(declared)


def test_live_is_the_one_flow_between_commune_and_crisis_cell(intent: Intent) -> None:
    cell = intent.site_by_name[Name("crisis-cell")]
    crossing = [
        permit
        for permit in firewall_of(intent).business
        if any(pair.source in cell.prefix or pair.destination in cell.prefix for pair in permit.pairs)
    ]
    assert [(permit.flow, permit.incoming, permit.outgoing, permit.port) for permit in crossing] == [
        ("watch-live", "ipsec0", "vlan130", 8322)
    ]
    assert [str(pair.destination) for pair in crossing[0].pairs] == ["10.56.1.50", "10.56.1.50"]


def test_what_the_firewall_opens_comes_from_its_management_address(intent: Intent) -> None:
    state = firewall_of(intent)
    assert {pair.source for permit in state.from_firewall for pair in permit.pairs} == {state.management.address.ip}
    assert [(str(one.destination), one.protocol.value, one.port) for one in state.conversations] == [
        ("10.56.3.18", "tcp", 6514),
        ("10.56.3.19", "udp", 123),
    ]
    assert [one.number for one in state.conversations] == [0, 1]


def test_flow_inside_a_segment_is_refused(intent: Intent) -> None:
    bad = with_flow(intent, "roussy-le-village/ups", "roussy-le-village/core-switch", Purpose.MANAGE)
    with pytest.raises(InputError, match=r"flow extra from .*/ups to .*/core-switch comes in and goes out at vlan150"):
        state_of(bad, FIREWALL)


def test_flow_that_no_tunnel_carries_is_refused(intent: Intent) -> None:
    bad = with_flow(intent, "crisis-cell/station-fire", "roussy-le-village/nvr", Purpose.PLAYBACK)
    with pytest.raises(InputError, match=r"flow extra: neither a segment nor a tunnel leads to roussy-le-village/nvr"):
        state_of(bad, EquipmentName("crisis-cell/firewall"))


def test_tunnel_ends_mirror_each_other(intent: Intent) -> None:
    ends = [tunnel for site in intent.sites for tunnel in firewall_of(intent, site.firewall.name).tunnels]
    for name in {tunnel.name for tunnel in ends}:
        one, other = (tunnel for tunnel in ends if tunnel.name == name)
        assert one.initiates is not other.initiates
        assert (one.local_address, one.local_identity) == (other.remote_address, other.remote_identity)
        assert one.local_selectors == other.remote_selectors
        assert other.local_selectors == one.remote_selectors
    assert len(ends) == 2 * len(intent.tunnels) > 0


def test_shut_local_management_is_shut(intent: Intent) -> None:
    sites = tuple(changed(site, local_management=LocalManagement.SHUT) for site in intent.sites)
    shut = changed(intent, sites=sites)
    assert firewall_of(intent).local.admin is AdminState.UP
    assert firewall_of(shut).local.admin is AdminState.DOWN
    assert switch_of(shut).local.admin is AdminState.DOWN


# --- switch ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("device", "uplink"), [(CORE_SWITCH, "p1"), (POLE_SWITCH, "sfp1")])
def test_only_the_way_to_the_firewall_is_not_isolated(intent: Intent, device: EquipmentName, uplink: str) -> None:
    assert [port.name for port in switch_of(intent, device).ports if not port.isolated] == [uplink]


def test_every_access_port_is_bound_to_its_host(intent: Intent) -> None:
    ports = [port for port in switch_of(intent).ports if port.mode is PortMode.ACCESS]
    assert [[str(binding.host) for binding in port.bindings] for port in ports] == [
        [f"roussy-le-village/{host}"] for host in ("nvr", "live-gateway", "operator", "ups")
    ]
    assert all(binding.address in binding.prefix for port in ports for binding in port.bindings)
    assert all(binding.gateway != binding.address for port in ports for binding in port.bindings)


def bound(intent: Intent, port: str) -> list[tuple[str, int, str | None, str]]:
    """Return who may speak at a port of the core switch: name, VLAN, MAC address, IPv4 address."""
    found = next(one for one in switch_of(intent).ports if one.name == port).bindings
    return [(str(one.host.equipment), one.vlan, one.mac and str(one.mac), str(one.address)) for one in found]


def test_trunk_to_the_pole_is_bound_to_who_lives_there(intent: Intent) -> None:
    assert bound(intent, "sfp1") == [
        ("pole-switch", 150, None, "10.56.1.2"),
        ("cam-context", 110, "02:00:00:00:01:11", "10.56.1.82"),
        ("cam-narrow", 111, "02:00:00:00:01:12", "10.56.1.90"),
    ]


def test_trunk_towards_the_firewall_is_bound_to_nobody(intent: Intent) -> None:
    for device, uplink in ((CORE_SWITCH, "p1"), (POLE_SWITCH, "sfp1")):
        port = next(port for port in switch_of(intent, device).ports if port.name == uplink)
        assert (port.mode, port.isolated, port.bindings) == (PortMode.TRUNK, False, ())


def without_mac(intent: Intent, name: EquipmentName) -> Intent:
    """Return the intent with the MAC address of one equipment undeclared."""
    sites = tuple(
        changed(
            site,
            equipment=tuple(
                changed(equipment, mac=None) if equipment.name == name else equipment for equipment in site.equipment
            ),
        )
        for site in intent.sites
    )
    return changed(intent, sites=sites)


def test_host_of_unknown_mac_address_is_bound_to_nothing(intent: Intent) -> None:
    spoilt = without_mac(intent, EquipmentName("roussy-le-village/nvr"))
    port = next(port for port in switch_of(spoilt).ports if port.name == "p2")
    assert (port.mode, port.bindings) == (PortMode.ACCESS, ())


def test_camera_of_unknown_mac_address_does_not_speak_through_the_trunk(intent: Intent) -> None:
    spoilt = without_mac(intent, EquipmentName("roussy-le-village/cam-context"))
    assert [name for name, *_ in bound(spoilt, "sfp1")] == ["pole-switch", "cam-narrow"]


def test_fibre_carries_the_vlans_of_the_pole_at_both_ends(intent: Intent) -> None:
    near, far = switch_of(intent, POLE_SWITCH).links, switch_of(intent).links
    assert near == far
    assert [(link.port, link.admin, link.speed, link.vlans) for link in near] == [
        ("sfp1", AdminState.UP, 1000, (110, 111, 150))
    ]
