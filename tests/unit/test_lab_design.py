"""The twin that follows from the pilot's intent."""

from ipaddress import IPv4Interface
from pathlib import Path

import pytest

from cloison.errors import LabError
from cloison.intent.load import load
from cloison.intent.models import Kind
from cloison.intent.network import Intent
from cloison.lab.design import LabDesign, NodeRole, design_lab

WORKSPACE = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def intent() -> Intent:
    return load(WORKSPACE)


@pytest.fixture(scope="module")
def design(intent: Intent) -> LabDesign:
    return design_lab(intent)


def test_every_equipment_is_a_node_and_every_site_has_a_technician(intent: Intent, design: LabDesign) -> None:
    expected: set[str] = set(intent.equipment_by_name)
    expected |= {f"{site.name}/technician" for site in intent.sites}
    expected |= {"wan/router", "wan/internet-host", "wan/rogue-laptop"}
    assert set(design.node_by_name) == expected
    assert len(design.nodes) == len(expected)


def test_every_interface_is_the_end_of_one_cable(design: LabDesign) -> None:
    interfaces = sorted(f"{node.name}:{interface.name}" for node in design.nodes for interface in node.interfaces)
    ends = sorted(str(end) for link in design.links for end in link.ends)
    assert ends == interfaces


def test_every_cable_declared_is_a_link(intent: Intent, design: LabDesign) -> None:
    for site in intent.sites:
        for cable in site.cables:
            near, far = (str(end) for end in cable.ends)
            assert {str(end) for end in design.link_by_end[near].ends} == {near, far}


def test_mac_addresses_are_as_built_and_unique(intent: Intent, design: LabDesign) -> None:
    macs = [interface.mac for node in design.nodes for interface in node.interfaces]
    assert len(set(macs)) == len(macs)
    for equipment in intent.equipment_by_name.values():
        if equipment.mac is not None and not equipment.is_device:
            assert design.node_by_name[equipment.name].interfaces[0].mac == equipment.mac


def test_hosts_come_up_configured(intent: Intent, design: LabDesign) -> None:
    nvr = design.node_by_name[next(e.name for e in intent.equipment_by_name.values() if e.kind is Kind.RECORDER)]
    assert nvr.role is NodeRole.HOST
    assert [(i.name, i.up, i.addresses) for i in nvr.interfaces] == [("eth0", True, (IPv4Interface("10.56.1.34/28"),))]
    assert str(nvr.gateway) == "10.56.1.33"


def test_devices_come_up_with_their_local_port_alone(intent: Intent, design: LabDesign) -> None:
    for device in intent.devices:
        node = design.node_by_name[device.name]
        assert node.gateway is None
        assert [i.name for i in node.interfaces if i.up or i.addresses] == ["local0"]
        technician = design.link_by_end[f"{device.name}:local0"].far
        assert technician is not None
        assert technician.node == f"{device.name.site}/technician"


def test_the_router_is_the_gateway_of_every_site(intent: Intent, design: LabDesign) -> None:
    router = design.node_by_name["wan/router"]  # type: ignore[index]
    assert router.forwards
    own = {address.ip for interface in router.interfaces for address in interface.addresses}
    assert {site.wan_gateway for site in intent.sites} <= own
    networks = [address.network for interface in router.interfaces for address in interface.addresses]
    assert not any(one.overlaps(two) for i, one in enumerate(networks) for two in networks[:i])


def test_unused_ports_have_nothing_plugged_in(design: LabDesign) -> None:
    spare = {str(link.near) for link in design.links if link.far is None}
    assert "roussy-le-village/pole-switch:p3" in spare
    assert "roussy-le-village/core-switch:p1" not in spare


def test_sites_that_share_a_public_network_are_refused(intent: Intent) -> None:
    first, second, *others = intent.sites
    shared = second.model_copy(update={"wan_address": first.wan_address})
    with pytest.raises(LabError, match="share a public network"):
        design_lab(intent.model_copy(update={"sites": (first, shared, *others)}))


def test_an_unmanaged_switch_joins_all_its_ports(intent: Intent) -> None:
    site = intent.sites[0]
    equipment = tuple(
        e.model_copy(update={"kind": Kind.UNMANAGED_SWITCH, "local_management": None, "segment": None, "address": None})
        if e.name.equipment == "pole-switch"
        else e
        for e in site.equipment
    )
    changed = site.model_copy(update={"equipment": equipment})
    design = design_lab(intent.model_copy(update={"sites": (changed, *intent.sites[1:])}))
    node = next(node for node in design.nodes if node.name.equipment == "pole-switch")
    assert node.role is NodeRole.UNMANAGED_SWITCH
    assert all(interface.up and not interface.addresses for interface in node.interfaces)
