"""What every node of the twin is given, as it follows from the intent: which daemons, for whom, with which secrets."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from cloison.intent.models import Kind
from cloison.lab.configure import charon, chrony, guard, nginx, openvswitch, rsyslog, sshd, video
from cloison.lab.configure.identity import TlsIdentity
from cloison.lab.credentials import asks_for_password
from cloison.lab.service import NodeFile, NodeServices

if TYPE_CHECKING:
    from collections.abc import Mapping
    from ipaddress import IPv4Address

    from cloison.flow import Flow
    from cloison.intent.network import Equipment, Intent
    from cloison.lab.credentials import Credentials, HostSecrets
    from cloison.model import EquipmentName

NTP_PORT = 123
SEGMENT_SECONDS = 5
RETENTION_LIMIT_SECONDS = 900
"""A twin's disk is memory: it keeps less than the intent would allow, and never more."""
_SECONDS_A_DAY = 86_400


def services_of_all(
    intent: Intent, credentials: Credentials, scenes: Mapping[EquipmentName, int]
) -> dict[EquipmentName, NodeServices]:
    """Return what every equipment of the intent is given; `scenes` holds the nonce each camera starts with."""
    return {name: services_of(intent, credentials, name, scenes.get(name, 0)) for name in intent.equipment_by_name}


def services_of(intent: Intent, credentials: Credentials, name: EquipmentName, scene: int = 0) -> NodeServices:
    """Return the files and services of one equipment, in the order they start; KeyError when there is no such one."""
    return _Outfit(intent, credentials, name, scene).all()


class _Outfit:
    """Puts together what one equipment is given, out of the flows that begin and end there."""

    def __init__(self, intent: Intent, credentials: Credentials, name: EquipmentName, scene: int) -> None:
        self.intent, self.credentials, self.scene = intent, credentials, scene
        self.equipment: Equipment = intent.equipment_by_name[name]
        self.secrets: HostSecrets = credentials.hosts[name]
        self.inbound = [flow for flow in intent.flows if flow.destination.name == name]
        self.outbound = [flow for flow in intent.flows if flow.source.name == name]
        self.identity = TlsIdentity(self.secrets.tls_certificate, self.secrets.tls_key, credentials.tls_authority)

    def all(self) -> NodeServices:
        given = NodeServices()
        if self.equipment.is_device or self._clients_of(sshd.SSH_PORT):
            given += self._sshd()
        if self.equipment.is_device:
            given += openvswitch.open_vswitch()
        if self.intent.tunnels_of(self.equipment.name):
            given += self._charon()
        if self.equipment.is_device:
            given += guard.guard()
        for part in (self._video(), self._page(), self._logs(), self._time()):
            given += part
        return given

    @property
    def address(self) -> IPv4Address:
        """Its address; ValueError for an equipment that has none."""
        if self.equipment.address is None:
            msg = f"{self.equipment.name} has no address"
            raise ValueError(msg)
        return self.equipment.address

    def _clients_of(self, port: int) -> list[Flow]:
        return [flow for flow in self.inbound if flow.service.port == port]

    def _streams(self, flows: list[Flow]) -> list[Flow]:
        return [flow for flow in flows if asks_for_password(flow) and flow.service.port != nginx.HTTPS_PORT]

    def _sshd(self) -> NodeServices:
        listen = [self.address]
        if self.equipment.local_management:
            listen.insert(0, self.equipment.local_management[0].ip)
        keys = [self.credentials.engineer_public, self.credentials.auditor_public]
        return sshd.sshd(listen, host_key=self.secrets.ssh_host_key, authorized_keys=keys)

    def _charon(self) -> NodeServices:
        return charon.charon(
            charon.TunnelTrust(
                root=self.credentials.root,
                authority=self.credentials.tunnel_authority,
                revocations=(self.credentials.root_revocations, self.credentials.tunnel_revocations),
            )
        )

    # --- video -------------------------------------------------------------------------------------------------------

    def _video(self) -> NodeServices:
        authority = self.credentials.tls_authority
        sources = [self._source(flow) for flow in self._streams(self.outbound)]
        match self.equipment.kind:
            case Kind.CAMERA:
                return video.camera(self._door(), self.scene)
            case Kind.LIVE_GATEWAY:
                return video.relay(self._door(), sources, authority)
            case Kind.RECORDER:
                return video.recorder(
                    self._door(),
                    sources,
                    authority,
                    segment_seconds=SEGMENT_SECONDS,
                    retention_seconds=self._retention(),
                )
            case Kind.STATION | Kind.WORKSTATION:
                return video.player(self._logins(), authority)
        return video.client(self._logins(), authority) if self._logins() else NodeServices()

    def _retention(self) -> int:
        site = self.intent.site_by_name[self.equipment.name.site]
        days = site.retention_days or self.intent.retention_ceiling_days
        return min(days * _SECONDS_A_DAY, RETENTION_LIMIT_SECONDS)

    def _door(self) -> video.Door:
        flows = self._streams(self.inbound)
        ports = {flow.service.port for flow in flows}
        if len(ports) != 1:
            msg = f"{self.equipment.name}: expected one port for its streams, policy has {sorted(ports) or 'none'}"
            raise ValueError(msg)
        logins = tuple(self._login(flow) for flow in flows)
        return video.Door(self.address, ports.pop(), logins, self.identity)

    def _login(self, flow: Flow) -> video.Login:
        user = str(flow.source.name.host_name)
        return video.Login(user, self.credentials.passwords[flow.destination.name][user])

    def _logins(self) -> list[tuple[str, video.Login]]:
        flows = {str(flow.destination.name.host_name): flow for flow in self.outbound if asks_for_password(flow)}
        return [(server, self._login(flow)) for server, flow in flows.items()]

    def _source(self, flow: Flow) -> video.Source:
        camera = flow.destination
        return video.Source(str(camera.name.equipment), camera.address, flow.service.port, self._login(flow))

    # --- pages, logs, time -------------------------------------------------------------------------------------------

    def _page(self) -> NodeServices:
        clients = self._clients_of(nginx.HTTPS_PORT)
        if not clients:
            return NodeServices()
        is_recorder = self.equipment.kind is Kind.RECORDER
        logins = [self._login(flow) for flow in clients]
        lines = "".join(nginx.password_line(login.user, login.password, self._salt(login)) for login in logins)
        config = nginx.nginx_config(
            self.address,
            realm=str(self.equipment.name.host_name),
            root=video.RECORDINGS if is_recorder else nginx.PAGES,
            lists_folders=is_recorder,
        )
        served = nginx.nginx(config, self.address, self.identity, lines)
        facts = {"kind": self.equipment.kind.value, "serial": str(self.equipment.serial or "none")}
        page: tuple[NodeFile, ...] = () if is_recorder else (nginx.admin_page(str(self.equipment.name), facts),)
        return served + NodeServices(files=page)

    def _salt(self, login: video.Login) -> bytes:
        # Another for each user of each server, and the same each time: the same credentials give the same files.
        return hashlib.sha256(f"{self.equipment.name} {login.user}".encode()).digest()[:16]

    def _logs(self) -> NodeServices:
        senders = self._clients_of(rsyslog.SYSLOG_TLS_PORT)
        if senders:
            names = sorted({flow.source.name.host_name for flow in senders})
            config = rsyslog.collector_config(self.address, names)
            return rsyslog.rsyslogd(config, self.identity, listen=self.address)
        for flow in self.outbound:
            if flow.service.port == rsyslog.SYSLOG_TLS_PORT:
                config = rsyslog.sender_config(flow.destination.address, flow.destination.name.host_name)
                return rsyslog.rsyslogd(config, self.identity)
        return NodeServices()

    def _time(self) -> NodeServices:
        sources = [flow.destination.address for flow in self.outbound if flow.service.port == NTP_PORT]
        clients = sorted({flow.source.address for flow in self._clients_of(NTP_PORT)})
        if not sources:
            return chrony.chronyd(chrony.server_config(self.address, clients)) if clients else NodeServices()
        if clients:
            return chrony.chronyd(chrony.relay_config(sources[0], self.address, clients))
        # A host has one address; a device asks from its management address and from no other.
        own = self.address if self.equipment.is_device else None
        return chrony.chronyd(chrony.client_config(sources[0], own))
