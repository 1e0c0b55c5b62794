"""Kernel settings: who forwards, and what ANSSI-BP-028 (R12 and R13) asks of the network stack."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloison.intent.models import Kind

if TYPE_CHECKING:
    from cloison.intent.network import Equipment

_FORWARDING = "net.ipv4.ip_forward"
_EVERY_HOST = {"net.ipv6.conf.all.forwarding": "0"}
_DEVICE = {
    "net.ipv4.conf.all.rp_filter": "1",
    "net.ipv4.conf.default.rp_filter": "1",
    "net.ipv4.conf.all.accept_redirects": "0",
    "net.ipv4.conf.all.secure_redirects": "0",
    "net.ipv4.conf.all.send_redirects": "0",
    "net.ipv4.conf.default.send_redirects": "0",
    "net.ipv4.conf.all.accept_source_route": "0",
    "net.ipv4.conf.default.accept_source_route": "0",
    "net.ipv4.conf.all.arp_ignore": "1",
    "net.ipv4.icmp_echo_ignore_broadcasts": "1",
    "net.ipv4.icmp_ignore_bogus_error_responses": "1",
    "net.ipv4.tcp_syncookies": "1",
    "net.ipv6.conf.all.disable_ipv6": "1",
}
_FIREWALL = {"net.netfilter.nf_conntrack_tcp_loose": "0"}


def declared(equipment: Equipment) -> dict[str, str]:
    """Return what the kernel of an equipment has to be set to; only a firewall forwards."""
    firewall = equipment.kind is Kind.FIREWALL
    wanted = {_FORWARDING: "1" if firewall else "0", **_EVERY_HOST}
    if equipment.is_device:
        wanted |= _DEVICE
    return wanted | (_FIREWALL if firewall else {})


def command(equipment: Equipment) -> tuple[str, ...]:
    """Return the command that reads the settings; a kernel without one of them says so and goes on."""
    return ("sysctl", "-e", *declared(equipment))


def differences(equipment: Equipment, text: str) -> list[str]:
    """Return every setting that is otherwise than it has to be, or not there."""
    found = dict(line.split(" = ", 1) for line in text.splitlines() if " = " in line)
    return [
        f"{name} is {found.get(name, 'not there')}; expected {value}"
        for name, value in declared(equipment).items()
        if found.get(name) != value
    ]
