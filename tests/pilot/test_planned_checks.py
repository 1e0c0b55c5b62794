"""What an audit has to check, counted a second time: from the files as written, by none of the engine's code."""

from __future__ import annotations

from itertools import permutations
from typing import TYPE_CHECKING, Any

import pytest
import yaml

if TYPE_CHECKING:
    from pathlib import Path

    from tests.pilot.conftest import Pilot

pytestmark = pytest.mark.lab
OUTSIDE = ("wan.internet-host", "wan.rogue-laptop")
SSH = "ssh"


def _read(path: Path) -> Any:  # noqa: ANN401  a file as it is written
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def planned_checks(root: Path) -> set[str]:
    """Return the id of every check that the shipped inventory asks for."""
    inventory = root / "inventory"
    blueprints = {path.stem: _read(path) for path in (inventory / "blueprints").glob("*.yaml")}
    sites = {path.stem: blueprints[_read(path)["blueprint"]] for path in (inventory / "sites").glob("*.yaml")}
    kinds = {
        f"{site}.{name}": (blueprint["role"], equipment["kind"], "platform" in equipment)
        for site, blueprint in sites.items()
        for name, equipment in blueprint["equipment"].items()
    }
    flows = _flows(_read(inventory / "policy.yaml")["flows"], kinds)
    examined = {to for source, to, service, _ in flows if service == SSH}
    devices = {name for name, (_, _, device) in kinds.items() if device}
    firewalls = {name for name, (_, kind, _) in kinds.items() if kind == "firewall"}
    switches = devices - firewalls
    cameras = {name for name, (_, kind, _) in kinds.items() if kind == "camera"}
    tunnels = _tunnels(_read(inventory / "network.yaml")["tunnels"], flows, sites)
    logging = {source for source, _, service, _ in flows if service == "syslog-tls"} & examined
    fibre_ends = {name for name in switches if "sfp1" in _ports(sites, name)}
    gateways = {name for name, (_, kind, _) in kinds.items() if kind == "live-gateway"}
    pairs = [(a, b) for a, b in permutations((*kinds, *OUTSIDE), 2) if not (a in OUTSIDE and b in OUTSIDE)]
    return {
        *(f"reach/delivered/{source}--{to}--{service}" for source, to, service, _ in flows),
        *(f"packets/refused/{source}--{to}" for source, to in pairs),
        *_subjects({"intent/running": devices, "hosts/switch-rows": devices, "hosts/interfaces": devices}),
        *_subjects({"hosts/edge-flows": switches, "hosts/filter": firewalls, "hosts/routes": devices}),
        *_subjects({"hosts/tunnels": firewalls, "tunnel/certificate": firewalls}),
        *_subjects({"hosts/kernel": examined, "hosts/sockets": examined}),
        *_subjects({"hosts/time": examined, "hosts/logs": logging}),
        *_subjects({"tunnel/up": tunnels, "tunnel/algorithms": tunnels, "tunnel/selectors": tunnels}),
        *_subjects({"tunnel/spoof": tunnels, "tunnel/wan": set(sites), "video/live": cameras}),
        *_subjects(
            {"tunnel/wan-stream": {t for t in tunnels if t.startswith("video-")}, "video/certificate": gateways}
        ),
        *_subjects({"fibre/module": fibre_ends, "fibre/budget": fibre_ends}),
    }


def _ports(sites: dict[str, Any], name: str) -> list[str]:
    site, equipment = name.split(".")
    ports: list[str] = sites[site]["equipment"][equipment]["ports"]
    return ports


def _subjects(checks: dict[str, set[str]]) -> set[str]:
    return {f"{check}/{subject}" for check, subjects in checks.items() for subject in subjects}


def _flows(declared: list[Any], kinds: dict[str, tuple[str, str, bool]]) -> list[tuple[str, str, str, str]]:
    return [
        (source, to, flow["service"], flow["purpose"])
        for flow in declared
        for source, (source_role, source_kind, _) in kinds.items()
        for to, (role, kind, _) in kinds.items()
        if source != to
        and source_role in flow["from"]["roles"]
        and source_kind in flow["from"]["kinds"]
        and role in flow["to"]["roles"]
        and kind in flow["to"]["kinds"]
        and (source.split(".")[0] == to.split(".")[0]) == (flow["scope"] == "same-site")
    ]


def _tunnels(declared: list[Any], flows: list[tuple[str, str, str, str]], sites: dict[str, Any]) -> set[str]:
    return {
        f"{tunnel['name']}-{here}--{there}"
        for tunnel in declared
        for here, there in permutations(sites, 2)
        if sites[here]["role"] == tunnel["initiator"]
        and sites[there]["role"] == tunnel["responder"]
        and any(
            {source.split(".")[0], to.split(".")[0]} == {here, there} and purpose in tunnel["purposes"]
            for source, to, _, purpose in flows
        )
    }


def test_every_check_that_the_inventory_asks_for_was_planned_and_run(
    applied: Pilot, audited: dict[str, object]
) -> None:
    verdicts = audited["verdicts"]
    assert isinstance(verdicts, list)
    assert {verdict["check"] for verdict in verdicts} == planned_checks(applied.root)
    assert audited["planned"] == audited["run"] == len(planned_checks(applied.root))
