"""A firewall that sends what is another's through its own tunnel: does the receiving firewall tell the difference?

A packet with a foreign source dies in its sender's own IPsec, and would prove nothing. So the packets are made by hand
with the keys of the sender's association: a legal one, foreign ones, a legal one again. That takes the keys out of the
IKE daemon, which is done in a twin and nowhere else; they are renewed at once.
"""

from __future__ import annotations

import selectors
import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from cloison.errors import ProbeError
from cloison.flow import Outcome, Protocol
from cloison.probe.capture import Capture, everything
from cloison.probe.carried import flows_between
from cloison.probe.command import output_of
from cloison.probe.craft import (
    ETHERNET_BYTES,
    NOBODY,
    Template,
    build,
    ethernet,
    finish,
    read_number,
    udp_packet,
)
from cloison.probe.esp import SecurityAssociation, last_sequence, read_outbound
from cloison.probe.judge import Finding
from cloison.probe.question import PacketKind
from cloison.probe.vantage import ask_next_hop, hardware_address, open_station, sending_socket

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from random import Random

    from cloison.flow import Flow
    from cloison.intent.network import Intent, Tunnel, TunnelEnd
    from cloison.model import EquipmentName, MacAddress
    from cloison.probe.vantage import Attachment, CableEnd, Station
    from cloison.transport.base import Runner

_NAT_PORT = 4500
_PORTS = (32_000, 32_700)
_SILENCE_SECONDS = 2.0
_ARRIVAL_SECONDS = 3.0
_EXPECTED_PACKETS = 1000
# charon writes its keys to a file while this stands; what it read before is put back whatever happens.
_TAKE_KEYS = """
set -e
umask 077
conf=/etc/strongswan.conf kept=/run/strongswan.before log=/run/association.log
cp "$conf" "$kept"
restore() {
  cat "$kept" >"$conf"
  timeout 5 swanctl --reload-settings
  rm -f "$log" "$kept"
}
trap restore EXIT
{
  echo 'charon-systemd { filelog { keys {'
  printf 'path = %s\\ndefault = -1\\nchd = 4\\nflush_line = yes\\n' "$log"
  echo '} } }'
} >>"$conf"
timeout 5 swanctl --reload-settings >/dev/null
timeout 10 swanctl --rekey --child "$1" >/dev/null
n=0
until grep -A 1 'adding outbound ESP SA' "$log" | grep -q SPI; do
  n=$((n + 1))
  [ $n -lt 50 ]
  sleep 0.1
done
cat "$log"
"""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One direction of a tunnel, with what its sender may send through it and what only another tunnel's may."""

    sender: TunnelEnd
    receiver: TunnelEnd
    legal: Flow
    foreign: tuple[Flow, ...]


def attempts(intent: Intent, tunnel: Tunnel) -> list[Attempt]:
    """Return the directions of a tunnel in which a foreign packet would pass the filter, were it not for the source.

    Only those show anything: the filter tells tunnels apart by source address alone.
    """
    found: list[Attempt] = []
    for sender, receiver in ((tunnel.initiator, tunnel.responder), (tunnel.responder, tunnel.initiator)):
        legal = flows_between(intent, sender, receiver)
        foreign = [
            flow
            for other in intent.tunnels_of(receiver.firewall)
            if other.name != tunnel.name
            for flow in flows_between(intent, other.end_of(receiver.firewall)[1], other.end_of(receiver.firewall)[0])
            if not any(flow.source.address in prefix for prefix in sender.selectors)
        ]
        if legal and foreign:
            found.append(Attempt(sender, receiver, legal[0], tuple(foreign)))
    return found


@dataclass(frozen=True, slots=True)
class Ground:
    """Where an attempt is made: what the twin gives besides the intent."""

    attachments: Mapping[EquipmentName, Attachment]
    sender_uplink: CableEnd
    receiver_uplink: CableEnd
    """The wide-area network's ends of the cables to the two firewalls."""
    sender_runner: Runner
    """Inside the sending firewall."""
    local_runner: Runner
    """Runs the Scapy process on this machine."""


def try_spoof(intent: Intent, tunnel: Tunnel, attempt: Attempt, ground: Ground, random: Random) -> Finding:
    """Return whether the receiving firewall drops what only another tunnel may bring; ProbeError without keys."""
    flows = (attempt.legal, *attempt.foreign, attempt.legal)
    nonce, base = random.randbytes(8), random.getrandbits(32)
    packets = _inner_packets(flows, nonce, base, random, ground.local_runner)
    with ExitStack() as opened:
        stations: dict[EquipmentName, Station] = {}
        for flow in flows:
            name = flow.destination.name
            if name not in stations:
                stations[name] = open_station(ground.attachments[name], nonce, _EXPECTED_PACKETS)
                opened.callback(stations[name].close)
        tap = Capture.on_link(*_ends(ground.sender_uplink), everything(), _EXPECTED_PACKETS)
        opened.callback(tap.close)
        out = opened.enter_context(sending_socket(*_ends(ground.receiver_uplink)))
        macs = _macs(intent, attempt.receiver, ground.receiver_uplink)
        association = _take_keys(tunnel, ground.sender_runner)
        try:
            association = replace(association, sequence=last_sequence(tap.drain(), association.spi))
            for packet in packets:
                sealed, association = association.seal(packet)
                outer = udp_packet(attempt.sender.address, attempt.receiver.address, (_NAT_PORT, _NAT_PORT), sealed)
                out.send(ethernet(*macs, outer))
            heard = _listen(stations, nonce, base + len(packets) - 1)
        finally:
            # Beyond the sender's own count the receiver's replay window would drop everything it sends (measured).
            output_of(ground.sender_runner, ["timeout", "10", "swanctl", "--rekey", "--child", tunnel.name])
    return _finding(attempt, flows, {number - base for number in heard})


def _ends(end: CableEnd) -> tuple[int, str]:
    return end.namespace, end.interface


def _take_keys(tunnel: Tunnel, runner: Runner) -> SecurityAssociation:
    log = output_of(runner, ["sh", "-c", _TAKE_KEYS, "keys", tunnel.name])
    association = read_outbound(log)
    if association is None:
        msg = f"{runner.place}: the IKE daemon's log shows no keys of {tunnel.name} after a rekey"
        raise ProbeError(msg)
    return association


def _macs(intent: Intent, receiver: TunnelEnd, uplink: CableEnd) -> tuple[MacAddress, MacAddress]:
    """Return the MAC addresses of the router's end and of the receiving firewall; ProbeError when it is silent."""
    with sending_socket(*_ends(uplink)) as sock:
        own = hardware_address(sock, uplink.interface)
    gateway = intent.site_by_name[receiver.firewall.site].wan_gateway
    found = ask_next_hop(uplink, own, gateway, receiver.address)
    if found is None:
        msg = f"{receiver.firewall} does not answer ARP on the wide-area network"
        raise ProbeError(msg)
    return own, found


def _inner_packets(flows: Sequence[Flow], nonce: bytes, base: int, random: Random, runner: Runner) -> list[bytes]:
    templates = [
        Template(
            NOBODY,
            NOBODY,
            flow.source.address,
            flow.destination.address,
            PacketKind.TCP_SYN if flow.service.protocol is Protocol.TCP else PacketKind.UDP,
        )
        for flow in flows
    ]
    frames = build(templates, runner)
    port = random.randrange(*_PORTS)
    return [
        finish(frames[template], (port + number, flow.service.port), base + number, nonce)[ETHERNET_BYTES:]
        for number, (template, flow) in enumerate(zip(templates, flows, strict=True))
    ]


def _listen(stations: Mapping[EquipmentName, Station], nonce: bytes, last: int) -> set[int]:
    """Return the numbers heard, until some silence after the last one was heard or did not come in time."""
    heard: set[int] = set()
    deadline = time.monotonic() + _ARRIVAL_SECONDS + _SILENCE_SECONDS
    extended = False
    with selectors.DefaultSelector() as selector:
        for station in stations.values():
            for capture in station.captures:
                if capture.shows_arrival:
                    selector.register(capture.socket, selectors.EVENT_READ, capture)
        while (left := deadline - time.monotonic()) > 0:
            for key, _ in selector.select(left):
                for packet in key.data.drain():
                    number = read_number(packet.data, key.data.header_at, nonce)
                    if number is not None and not packet.outgoing:
                        heard.add(number)
            if last in heard and not extended:
                deadline, extended = time.monotonic() + _SILENCE_SECONDS, True
    return heard


def _finding(attempt: Attempt, flows: Sequence[Flow], heard: set[int]) -> Finding:
    way = f"from {attempt.sender.firewall} to {attempt.receiver.firewall}"
    came = [flows[number] for number in sorted(heard) if 0 < number < len(flows) - 1]
    if came:
        shown = "; ".join(f"{flow.service.name} from {flow.source.name} to {flow.destination.name}" for flow in came)
        return Finding(Outcome.FAIL, f"{way}: packets with a foreign source came through: {shown}")
    if not {0, len(flows) - 1} <= heard:
        return Finding(
            Outcome.UNKNOWN, f"{way}: the legal packets made by hand did not arrive, so silence says nothing"
        )
    return Finding(
        Outcome.PASS,
        f"{way}: {len(attempt.foreign)} packets with a foreign source, which the filter would let in, arrived nowhere; "
        f"legal ones before and after arrived ({attempt.legal.service.name} to {attempt.legal.destination.name})",
    )
