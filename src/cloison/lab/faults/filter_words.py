"""Faults of the firewalls' filters, a word at a time: what a rule no longer asks for, and what stands where."""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import TYPE_CHECKING

from cloison.lab.fault import Fault, Layer, Script
from cloison.lab.faults.pilot import (
    CENTRE_FIREWALL,
    COMMUNE_FIREWALL,
    OPERATOR,
    POLE_SWITCH,
    RECORDER,
    UPS,
    address,
    bring_back_filter,
    edit_filter,
    filter_is_back,
    keep_filter,
    segment_interface,
    shows,
)
from cloison.model import Name

if TYPE_CHECKING:
    from cloison.intent.network import Intent

_FILTER, _RUNNING = "hosts/filter/roussy-le-village.firewall", "intent/running/roussy-le-village.firewall"
_MAY = (
    "packets/refused/*",
    "reach/delivered/roussy-le-village.operator--roussy-le-village.nvr--*",
    "tunnel/wan/roussy-le-village",
)
_BUSINESS = "/chain business/,/^\t}/"
_SYN = "tcp flags syn . fin,syn,rst,ack "
"""A pattern of sed: the point stands for a slash."""


def faults(intent: Intent) -> tuple[Fault, ...]:
    """Return the faults of this kind."""
    return (
        *_conversation(intent),
        *_rules(intent),
        *_chains(intent),
        _spoofing_let_in(intent),
        _prefix_widened(intent),
        _mid_stream(),
        _nat_table(intent),
    )


def _edited(
    name: str, title: str, *edits: str, must: tuple[str, ...] = (_FILTER, _RUNNING), unproved: str = ""
) -> Fault:
    """Return a fault of the commune's firewall that is an edit of what it runs."""
    return Fault(
        name=Name(name),
        layer=Layer.FILTER,
        title=title,
        inject=(edit_filter(COMMUNE_FIREWALL, *edits),),
        heal=(bring_back_filter(COMMUNE_FIREWALL),),
        healed=(filter_is_back(COMMUNE_FIREWALL),),
        must=must,
        may=_MAY,
        unproved=unproved,
    )


def _inserted(name: str, title: str, *commands: str, must: tuple[str, ...] = (_FILTER, _RUNNING)) -> Fault:
    """Return a fault of the commune's firewall that is a few commands of nft(8)."""
    return Fault(
        name=Name(name),
        layer=Layer.FILTER,
        title=title,
        inject=(keep_filter(COMMUNE_FIREWALL, "\n".join(f"nft {command}" for command in commands)),),
        heal=(bring_back_filter(COMMUNE_FIREWALL),),
        healed=(filter_is_back(COMMUNE_FIREWALL),),
        must=must,
        may=_MAY,
    )


def _conversation(intent: Intent) -> tuple[Fault, ...]:
    """Return the faults of what the operator workstation and the recorder say to each other."""
    operator, recorder = segment_interface(intent, OPERATOR), segment_interface(intent, RECORDER)
    between = f"ip saddr {address(intent, RECORDER)} ip daddr {address(intent, OPERATOR)}"
    insert = f"insert rule inet cloison business iifname {recorder} oifname {operator} {between}"
    return (
        _inserted(
            "both-ways",
            "the recorder may open connections to the operator workstation, and not only answer it",
            f"{insert} ct state new accept",
        ),
        _inserted(
            "replies-dropped",
            "what the recorder answers the operator workstation is dropped",
            f"{insert} drop",
            must=(_RUNNING,),
        ),
        _edited(
            "rule-behind-the-drop",
            "the rule for the operator's view of recordings stands behind the one that drops everything",
            f'{_BUSINESS} {{ /comment "view-recordings"/ {{ h; d }}; /jump final/ {{ G }} }}',
            must=(_RUNNING,),
        ),
    )


def _rules(intent: Intent) -> tuple[Fault, ...]:
    """Return the faults of single rules."""
    port = next(flow.service.port for flow in intent.flows if flow.rule == "record")
    operator, own = segment_interface(intent, OPERATOR), address(intent, OPERATOR)
    gateway = intent.site_by_name[COMMUNE_FIREWALL.site].wan_gateway
    insert, out = "insert rule inet cloison", f"oifname wan0 ip saddr {own} accept"
    return (
        _edited(
            "port-widened",
            "the recorder may reach one more port of the cameras than that of their stream",
            f'/comment "record"/ s/tcp dport {port} /tcp dport {port}-{port + 1} /',
        ),
        _inserted(
            "peer-added",
            "the Internet's next router counts as the other end of a tunnel",
            f"add element inet cloison peers {{ {gateway} }}",
        ),
        _inserted(
            "way-to-the-internet",
            "the operator workstation gets out to the wide-area network, past the rules that keep packets in",
            f"{insert} business {out}",
            f"{insert} leak {out}",
        ),
        _inserted(
            "firewall-ssh-opened",
            "the firewall lets the operator workstation reach its own SSH",
            f"{insert} to_firewall iifname {operator} ip saddr {own} tcp dport 22 accept",
        ),
    )


def _chains(intent: Intent) -> tuple[Fault, ...]:
    """Return the faults of what holds for every packet of a chain."""
    operator = segment_interface(intent, OPERATOR)
    return (
        _edited(
            "policy-accept",
            "what no rule of the business flows lets through is let through by the chain's policy",
            f"{_BUSINESS} {{ s/policy drop/policy accept/; /jump final/d }}",
        ),
        _edited(
            "established-takes-new",
            "the rule that lets answers through lets new connections through as well",
            f"{_BUSINESS} s/ct state established counter/ct state established,new counter/",
        ),
        _edited(
            "invalid-let-in",
            "packets that belong to no connection are let through instead of dropped",
            f"{_BUSINESS} s/ct state invalid counter drop/ct state invalid counter accept/",
        ),
        _inserted(
            "jump-to-accept",
            "whatever comes from the operator's segment jumps to a chain that accepts it",
            "add chain inet cloison maintenance",
            "add rule inet cloison maintenance accept",
            f"insert rule inet cloison business iifname {operator} jump maintenance",
        ),
    )


def _spoofing_let_in(intent: Intent) -> Fault:
    return _edited(
        "spoofing-let-in",
        "the firewall no longer asks whether a source address belongs on the recorder's interface",
        '/comment "no-spoofing"/ { /fib saddr/d }',
        f'/iifname "{segment_interface(intent, RECORDER)}".*comment "segment"/ s/ip saddr .* counter/counter/',
        must=(_RUNNING,),
        unproved="no packet gets further for it: the edge holds the port to its host, and each rule names both ends",
    )


def _prefix_widened(intent: Intent) -> Fault:
    ups = address(intent, UPS)
    wide = IPv4Network((ups, 32))
    while address(intent, POLE_SWITCH) not in wide:
        wide = wide.supernet()
    edit = f'/comment "manage-pages"/ s#{ups}\\([ ,]\\)#{wide}\\1#'
    ends = (COMMUNE_FIREWALL, CENTRE_FIREWALL)
    return Fault(
        name=Name("prefix-widened"),
        layer=Layer.FILTER,
        title="the rule for the power supply's page holds for its neighbours as well, at both ends of the tunnel",
        inject=tuple(edit_filter(node, edit) for node in ends),
        heal=tuple(bring_back_filter(node) for node in ends),
        healed=tuple(filter_is_back(node) for node in ends),
        must=(
            _FILTER,
            _RUNNING,
            "hosts/filter/operations-centre.firewall",
            "intent/running/operations-centre.firewall",
        ),
        may=("packets/refused/operations-centre.*--roussy-le-village.*",),
    )


def _mid_stream() -> Fault:
    loose = "sysctl -qw net.netfilter.nf_conntrack_tcp_loose="
    return Fault(
        name=Name("mid-stream-let-in"),
        layer=Layer.FILTER,
        title="the recorder's rule asks for no SYN, and the firewall takes connections up in mid-stream",
        inject=(
            edit_filter(COMMUNE_FIREWALL, f'/comment "record"/ s/{_SYN}//'),
            Script(node=COMMUNE_FIREWALL, script=f"{loose}1"),
        ),
        heal=(Script(node=COMMUNE_FIREWALL, script=f"{loose}0"), bring_back_filter(COMMUNE_FIREWALL)),
        healed=(filter_is_back(COMMUNE_FIREWALL),),
        must=("hosts/kernel/roussy-le-village.firewall", _RUNNING),
        may=("packets/refused/*",),
    )


def _nat_table(intent: Intent) -> Fault:
    into = (
        f"iifname {segment_interface(intent, OPERATOR)} ip daddr {address(intent, RECORDER)} tcp dport 443 "
        f"dnat to {address(intent, UPS)}"
    )
    add = (
        "nft -f - <<'END'\n"
        "table ip forwards {\n\tchain divert {\n\t\ttype nat hook prerouting priority dstnat; policy accept;\n"
        f"\t\t{into}\n\t}}\n}}\nEND"
    )
    return Fault(
        name=Name("nat-table"),
        layer=Layer.FILTER,
        title="a second table sends the operator's export of recordings to another host",
        inject=(Script(node=COMMUNE_FIREWALL, script=add),),
        heal=(
            Script(
                node=COMMUNE_FIREWALL, script="! nft list tables | grep -q forwards || nft delete table ip forwards"
            ),
        ),
        healed=(shows(COMMUNE_FIREWALL, "! nft list tables | grep -q forwards"),),
        must=(_FILTER, _RUNNING),
        may=_MAY,
    )
