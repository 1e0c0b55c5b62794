"""What may stand in an Open vSwitch database without deciding where a frame goes, each with the reason.

Source: ovs-vswitchd.conf.db(5), OVS 3.1. A column is named alone, for all of its keys, or with one key. What is neither
here nor modelled is Unmodelled.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_NOTES = "notes of whoever configures it; the daemon does not read them"
_LEARNING = "the proof assumes that nothing is learnt: a frame may reach every port of its VLAN"
_LOAD = "how much is done at once, not what"
_REPORT = "the daemon reports in it"
_OWN_FRAMES = "frames the switch itself sends, not those it forwards"
_OFF = "the protocol is switched on by a column of its own, which is not modelled"

INERT: Final[Mapping[str, Mapping[str, str]]] = {
    "bridge": {
        "datapath_type": "the same translation of frames, in the kernel or outside",
        "external_ids": _NOTES,
        "protocols": "which versions of OpenFlow the daemon speaks",
        "flood_vlans": _LEARNING,
        "netflow": "its row is a notice",
        "sflow": "its row is a notice",
        "ipfix": "its row is a notice",
        "other_config:datapath-id": "a name",
        "other_config:dp-desc": "a name",
        "other_config:dp-sn": "a name",
        "other_config:hwaddr": _OWN_FRAMES,
        "other_config:disable-in-band": "in-band flows exist with a controller or a manager, and these are notices",
        "other_config:in-band-queue": "in-band flows exist with a controller or a manager, and these are notices",
        "other_config:mac-aging-time": _LEARNING,
        "other_config:mac-table-size": _LEARNING,
        "other_config:controller-queue-size": _LOAD,
        "other_config:mcast-snooping-table-size": _OFF,
        "other_config:mcast-snooping-aging-time": _OFF,
        "other_config:mcast-snooping-disable-flood-unregistered": _OFF,
        "other_config:stp-priority": _OFF,
        "other_config:stp-system-id": _OFF,
        "other_config:stp-hello-time": _OFF,
        "other_config:stp-max-age": _OFF,
        "other_config:stp-forward-delay": _OFF,
        "other_config:rstp-priority": _OFF,
        "other_config:rstp-address": _OFF,
        "other_config:rstp-max-age": _OFF,
        "other_config:rstp-forward-delay": _OFF,
    },
    "port": {
        "external_ids": _NOTES,
        "mac": "of the bridge's own interface",
        "qos": "frames wait or are lost; none goes elsewhere",
        "other_config:transient": "whether a start-up script removes the port",
        "other_config:stp-enable": _OFF,
        "other_config:stp-port-num": _OFF,
        "other_config:stp-port-priority": _OFF,
        "other_config:stp-path-cost": _OFF,
        "other_config:rstp-enable": _OFF,
        "other_config:rstp-port-priority": _OFF,
        "other_config:rstp-port-num": _OFF,
        "other_config:rstp-path-cost": _OFF,
        "other_config:rstp-port-admin-edge": _OFF,
        "other_config:rstp-port-auto-edge": _OFF,
        "other_config:rstp-port-mcheck": _OFF,
        "other_config:rstp-admin-p2p-mac": _OFF,
        "other_config:rstp-admin-port-state": _OFF,
        "statistics": _REPORT,
        "status": _REPORT,
    },
    "interface": {
        "external_ids": _NOTES,
        "mac": "of the interface itself",
        "mtu_request": "the proof knows no lengths",
        "ingress_policing_rate": "frames are lost; none goes elsewhere",
        "ingress_policing_burst": "frames are lost; none goes elsewhere",
        "ingress_policing_kpkts_rate": "frames are lost; none goes elsewhere",
        "ingress_policing_kpkts_burst": "frames are lost; none goes elsewhere",
        "options:n_rxq": _LOAD,
        "options:n_rxq_desc": _LOAD,
        "options:n_txq_desc": _LOAD,
        "other_config:pmd-rxq-affinity": _LOAD,
        "other_config:emc-enable": _LOAD,
    },
    "open_vswitch": {
        "external_ids": _NOTES,
        "ssl": "of the connections of managers and controllers, which are notices",
        "datapaths": "connection tracking, which no flow that is modelled uses",
        "other_config:stats-update-interval": _REPORT,
        "other_config:flow-limit": _LOAD,
        "other_config:flow-restore-wait": "at a restart alone",
        "other_config:max-idle": _LOAD,
        "other_config:max-revalidator": _LOAD,
        "other_config:min-revalidate-pps": _LOAD,
        "other_config:offload-rebalance": _LOAD,
        "other_config:n-handler-threads": _LOAD,
        "other_config:n-revalidator-threads": _LOAD,
        "other_config:emc-insert-inv-prob": _LOAD,
        "other_config:smc-enable": _LOAD,
        "other_config:pmd-cpu-mask": _LOAD,
        "other_config:tx-flush-interval": _LOAD,
        "other_config:bundle-idle-timeout": "of changes that are not finished",
    },
    "mirror": {
        "external_ids": _NOTES,
        "snaplen": "copies are cut short; they arrive all the same",
        "statistics": _REPORT,
    },
}
INERT_TABLES: Final[Mapping[str, str]] = {
    "qos": "frames wait or are lost; none goes elsewhere",
    "queue": "frames wait or are lost; none goes elsewhere",
    "ssl": "of the connections of managers and controllers, which are notices",
    "datapath": "connection tracking, which no flow that is modelled uses",
    "ct_zone": "connection tracking, which no flow that is modelled uses",
    "ct_timeout_policy": "connection tracking, which no flow that is modelled uses",
}
COPYING: Final[Mapping[str, str]] = {
    "mirror": "a mirror copies frames to another port",
    "controller": "an OpenFlow controller may change the flows from elsewhere",
    "manager": "a manager may change the rows from elsewhere",
    "netflow": "records of who talks to whom go to a collector",
    "sflow": "samples of frames go to a collector",
    "ipfix": "records of who talks to whom go to a collector",
    "flow_sample_collector_set": "records of who talks to whom go to a collector",
}
"""Tables whose every row is wrong in itself, with the sentence that says so."""
INTERFACE_TYPES: Final[Mapping[str, str]] = {
    "": "a network interface of the system",
    "system": "a network interface of the system",
    "internal": "a network interface that the switch makes",
    "tap": "a network interface that the switch makes",
}
"""The types of interfaces that are modelled: what the switch puts out there, the host or the cable gets."""
