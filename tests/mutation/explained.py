"""What docs/mutants.md says beside its figures."""

from __future__ import annotations

from typing import Final

INTRODUCTION: Final = """# Every small change of the configuration, and what the proof said of it

`make mutants` takes the pilot's rendered sections and makes one small change at a time: a rule, a flow, a port, a route
or a setting less; two neighbours exchanged; a prefix wider by one bit; a port, an address, a VLAN, a priority other
than
it was; a comparison negated; a verdict flipped; a selector changed at one end of a tunnel or at both. Each network so
made is proved. A mutant is *caught* when the proof finds a leak, an outage or something wrong in itself, *unknown* when
the proof says that it cannot tell (that is not green either), *refused* when it is no configuration.

Where the proof finds nothing, the sets are compared, with the tunnels up and with the tunnels down: all packets that
arrive anywhere, and all frames that are heard without having met a router, by sender and receiver. If they differ, the
mutant *survived*; what differs is given in words. If what differs belongs to conversations alone that nobody can open,
the first packet of them being dropped, it is *unopened*. If nothing else arrives anywhere but more or less comes to a
firewall, it is *stopped elsewhere*. If all of it is equal it is *equivalent*: that is a statement about the model of
packets and not about everything (the last section says what is not in it). What by construction of the model decides
about no packet, such as a counter, a comment, a lifetime of a key or a setting of the kernel that answers or logs and
forwards nothing, is counted apart as *not forwarding*: of that nothing was proved."""

ALLOWED: Final = {
    "in_port=1,dl_vlan=320,ip,actions=NORMAL → table=0,priority=65535,": "of the firewalls' own questions for the time "
    "those from port 67 pass as well, which the edge refuses to everybody as the port of a DHCP server; the flow "
    "declares every source port, and no host uses this one",
}
"""Survivors that are known, by a part of their names, and why each is no finding."""

SURVIVED: Final = """## Survivors

A flow says what may arrive and what must. Between the two there is room: a change that lets less through than may, and
no less than must, changes something and is no finding. So it is with messages about path MTU (ICMP 3/4 that belongs to
a conversation): a firewall and the other ends of tunnels may send them to any host, and must only to the hosts beside
the firewall that speak through tunnels."""

EQUIVALENT: Final = """## Why the equivalents are equivalent

- **Order**: most neighbours in a chain exclude one another (other interfaces, other addresses), and so do flows of one
  priority; a priority changed by one passes no other flow that the same frame matches.
- **The last rule of a chain drops, and so does the policy**; a jump to a chain that drops everything is one more of
  these.
- **Two walls**: the prerouting chain and the business rules both name interface and source; the kernel's reverse-path
  filter, the edge and the `fib` rule refuse the same spoofed sources; IPv6 is off in the kernel, refused at the edge
  and dropped in the filter; fragments and options are dropped at the edge and by the firewall; the blackhole route, the
  filter and its last chain each keep inner packets off the WAN. One of them is changed, the others hold.
  Of the sets before the last wall, what comes to the firewall is compared too (*stopped elsewhere*).
- **TCP flags and `ct state new`**: with `nf_conntrack_tcp_loose=0` only a SYN without FIN, RST and ACK opens a
  connection; the mask says in the filter what connection tracking says already.
- **Selectors and the set of remote addresses**: each narrows what the other leaves.
- **Ports that are down, and the VLAN they are parked in**; the bridge's own port, which is down; the `trunks` of a
  trunk whose flows name the VLANs; `protected` where no two ports are in one VLAN.

What equal sets do not show, because the model has no such packets or moments: the loopback interface; the seconds in
which a daemon starts (a bridge without flows; a filter not loaded); which algorithms a tunnel uses, as long as both
ends have one in common; how long keys live; a real interface that does not exist because its type is wrong
(`type=internal` removed, or `system`: Open vSwitch would not make the interface; the check of the running
configuration sees it); what a host itself does with a packet that it gets; and the learning of addresses, which is
taken to be of no help."""
