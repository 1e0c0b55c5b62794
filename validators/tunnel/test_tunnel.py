"""Tunnels: a packet goes through now, what was negotiated, and what crosses the wide-area network."""

from collections.abc import Callable, Sequence

import pytest

from cloison.errors import CloisonError
from cloison.intent.network import Intent, Site, Tunnel
from cloison.model import EquipmentName
from cloison.probe.carried import flows_through
from cloison.probe.command import output_of
from cloison.probe.exchange import use
from cloison.probe.readback import tunnels
from cloison.probe.wide_area import some
from cloison.testing.checks import Undetermined
from cloison.testing.network import JudgedNetwork
from cloison.testing.survey import Survey, WideAreaTap, emissions_in
from cloison.testing.viewing import Viewing
from cloison.transport.base import Runner

RunnerFor = Callable[[EquipmentName], Runner]
AsDeclared = Callable[[Sequence[str], str], None]
Say = Callable[[str], None]


@pytest.mark.check("tunnel/up", title="a packet goes through the tunnel now, and as ESP")
def test_up(tunnel: Tunnel, intent: Intent, network: JudgedNetwork, wide_area_tap: WideAreaTap, say: Say) -> None:
    """While an authorised flow is used, the tap sees ESP both ways; a refusal of the far host is an answer too."""
    flow = flows_through(intent, tunnel)[0]
    unusable = use(flow, network.namespaces()[flow.source.name])
    wide_area_tap.drain()
    here, there = tunnel.initiator, tunnel.responder
    sent = emissions_in(intent, wide_area_tap.packets[here.firewall.site]).esp_packets[here.address, there.address]
    back = emissions_in(intent, wide_area_tap.packets[there.firewall.site]).esp_packets[there.address, here.address]
    used = f"{flow.service.name} from {flow.source.name} to {flow.destination.name}"
    answer = f"({unusable})" if unusable else "(answered)"
    assert min(sent, back) > 0, f"{used} {answer}: {sent} ESP packets out, {back} back"
    say(f"{used} {answer}: {sent} ESP packets out, {back} back")


@pytest.mark.check(
    "tunnel/algorithms",
    title="the tunnel negotiates the declared algorithms, with a key exchange of its own",
    controls=("ANSSI DAT-NT-003 R7", "ANSSI DAT-NT-003 R8", "ANSSI DAT-NT-003 R12"),
)
def test_algorithms(tunnel: Tunnel, runner_for: RunnerFor, as_declared: AsDeclared) -> None:
    """After a forced rekey, whose choice counts as much as the first one, both ends show the declared algorithms."""
    rekeying = runner_for(tunnel.initiator.firewall)
    rekeying.run(["timeout", "10", "swanctl", "--rekey", "--child", tunnel.name])
    found: list[str] = []
    for end in (tunnel.initiator, tunnel.responder):
        associations = tunnels.read(output_of(runner_for(end.firewall), tunnels.SECURITY_ASSOCIATIONS))
        pair = tunnels.child_of(associations, tunnel)
        differences = tunnels.algorithm_differences(*pair) if pair else ["no association is installed"]
        found += [f"{end.firewall}: {difference}" for difference in differences]
    as_declared(found, "AES-GCM-16-256, PRF HMAC-SHA2-384, ECP-384, at both ends, after a forced rekey")


@pytest.mark.check(
    "tunnel/selectors",
    title="the tunnel carries the declared segments, and no other",
    controls=("ANSSI DAT-NT-003 R6",),
)
def test_selectors(tunnel: Tunnel, runner_for: RunnerFor, as_declared: AsDeclared) -> None:
    """The negotiated traffic selectors are the declared ones at both ends."""
    found: list[str] = []
    for end in (tunnel.initiator, tunnel.responder):
        associations = tunnels.read(output_of(runner_for(end.firewall), tunnels.SECURITY_ASSOCIATIONS))
        pair = tunnels.child_of(associations, tunnel)
        differences = tunnels.selector_differences(end.firewall, tunnel, pair[1]) if pair else ["none is installed"]
        found += [f"{end.firewall}: {difference}" for difference in differences]
    both = [", ".join(map(str, end.selectors)) for end in (tunnel.initiator, tunnel.responder)]
    as_declared(found, f"{both[0]} with {both[1]}, at both ends")


@pytest.mark.check(
    "tunnel/wan",
    title="the firewall puts IKE and ESP on the wide-area network, and nothing else",
    controls=("ANSSI-PA-72 R25", "ANSSI DAT-NT-003 R5"),
)
def test_wide_area(site: Site, survey: Survey, say: Say) -> None:
    """While every probe is sent, nothing leaves the site in clear, and nothing to anybody but a peer."""
    seen = survey.emissions(site.name)
    assert not seen.clear, f"{len(seen.clear)} packets in clear: {some(seen.clear)}"
    assert not seen.foreign, f"{len(seen.foreign)} packets that are neither IKE nor ESP: {some(seen.foreign)}"
    if survey.wide_area_lost:
        reason = f"the tap lost {survey.wide_area_lost} packets"
        raise Undetermined(reason)
    if not seen.esp_packets:
        reason = "the tap heard no ESP of this site: it is not shown to hear"
        raise Undetermined(reason)
    say(f"{seen.esp_packets.total()} ESP and {seen.ike_packets.total()} IKE packets, nothing else but ARP")


@pytest.mark.check(
    "tunnel/wan-stream", title="the live streams cross the wide-area network inside ESP", controls=("ANSSI-PA-72 R25",)
)
def test_stream_in_esp(live_tunnel: Tunnel, viewing: Viewing, say: Say) -> None:
    """While stations watch, the tap sees at least the bytes of the streams as ESP, and nothing in clear."""
    ends = (live_tunnel.initiator, live_tunnel.responder)
    sites = {end.firewall.site: end for end in ends}
    watched = sum(
        view.seen.bytes
        for view in viewing.views
        if not isinstance(view.seen, CloisonError) and {view.gateway.site, view.station.site} == set(sites)
    )
    carried, clear = 0, list[str]()
    for end in ends:
        other = ends[1] if end is ends[0] else ends[0]
        seen = viewing.emissions(end.firewall.site)
        carried += seen.esp_bytes[end.address, other.address]
        clear += seen.clear
    assert not clear, f"{len(clear)} packets in clear while stations watched: {some(clear)}"
    if not watched:
        reason = "no station saw a stream"
        raise Undetermined(reason)
    if viewing.wide_area_lost:
        reason = f"the tap lost {viewing.wide_area_lost} packets"
        raise Undetermined(reason)
    assert carried >= watched, f"stations saw {watched} bytes of video; ESP carried {carried} bytes"
    say(f"stations saw {watched} bytes of video; ESP carried {carried} bytes, and nothing was in clear")
