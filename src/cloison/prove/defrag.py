"""Where the kernel puts fragments together, and what comes out.

`nf_conntrack` needs whole datagrams: where a table uses it, fragments are gathered in the hooks prerouting and output
at priority -400 (NF_IP_PRI_CONNTRACK_DEFRAG, linux/netfilter_ipv4.h); chains of a lower number see fragments, later
ones see datagrams. Without it, only IPv4 gathers the fragments for the device itself, before the hook input
(ip_local_deliver, net/ipv4/ip_input.c). IPv6 does it behind that hook (net/ipv6/reassembly.c).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cloison.prove.packet import Fragment
from cloison.prove.ruleset import Match, Opaque, VerdictMap

if TYPE_CHECKING:
    from cloison.prove.packet import Frames
    from cloison.prove.ruleset import Expression, Family, Hook, Ruleset
    from cloison.prove.space import Region

DEFRAG_PRIORITY: Final = -400
CONNTRACK_PRIORITY: Final = -200
_TRANSPORT_FIELDS: Final = ("destination_port", "source_port", "tcp_flags", "header_length", "fragment")
"""What a later fragment has not, or has of its own: options need not be copied to it (RFC 791 section 3.1)."""
_USES_CONNTRACK: Final = frozenset(
    {"ct", "snat", "dnat", "masquerade", "redirect", "notrack", "tproxy", "synproxy", "flow"}
)


def reassembled(frames: Frames, packets: Region, protocols: Region) -> Region:
    """Return packets with the fragments among them, of some protocols, put together to whole datagrams.

    A datagram comes out when its first fragment and some later one are among the packets; a fragment alone is gone.
    """
    fragments = frames.box(fragment=(Fragment.FIRST, Fragment.LATER)) & protocols
    if not packets & fragments:
        return packets
    first = packets & fragments & frames.box(fragment=Fragment.FIRST)
    later = packets & fragments & frames.box(fragment=Fragment.LATER)
    complete = first & later.without(*_TRANSPORT_FIELDS)
    return (packets - fragments) | complete.setting(fragment=Fragment.WHOLE)


def tracked(ruleset: Ruleset) -> frozenset[Family]:
    """Return `ip` and `ip6`, whichever has its connections tracked because a rule asks for them."""
    found: set[Family] = set()
    for table in ruleset.tables:
        families: tuple[Family, ...] = ("ip", "ip6") if table.family == "inet" else (table.family,)
        rules = (rule for chain in table.chains for rule in chain.rules)
        nat = any(chain.base is not None and chain.base.type == "nat" for chain in table.chains)
        if nat or any(_asks(expression) for rule in rules for expression in rule.expressions):
            found.update(families)
    return frozenset(found)


def _asks(expression: Expression) -> bool:
    match expression:
        case Match(operands=operands) | VerdictMap(operands=operands):
            return any(operand.key.startswith("ct ") for operand in operands)
        case Opaque(text=text):
            return not _USES_CONNTRACK.isdisjoint(text.split())
    return False


def sees_fragments(hook: Hook, priority: int) -> bool:
    """Tell whether a chain there comes before fragments are put together."""
    return hook == "ingress" or (hook in {"prerouting", "output"} and priority < DEFRAG_PRIORITY)
