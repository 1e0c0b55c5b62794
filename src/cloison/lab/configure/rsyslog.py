"""rsyslog over TLS, both ends with a certificate, each naming whom it accepts (RFC 5425; ANSSI-PA-012 R16)."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from cloison.lab.service import CommandReady, NodeFile, NodeFolder, NodeServices, PortReady, Service

if TYPE_CHECKING:
    from collections.abc import Sequence
    from ipaddress import IPv4Address

    from cloison.lab.configure.identity import TlsIdentity
    from cloison.model import HostName

SYSLOG_TLS_PORT = 6514
COLLECTED = PurePosixPath("/var/log/collected")
"""Folder of the collector: one file a sender, `<its address>.log`."""
_CONFIG = PurePosixPath("/etc/rsyslog.conf")
_FOLDER = PurePosixPath("/etc/rsyslog.d")
_SPOOL = PurePosixPath("/var/spool/rsyslog")
_READY_SECONDS = 10.0
# Each try to connect first spends 0.1 to 0.4 s of processor time on primes (measured, GnuTLS driver): so few tries, and
# none before anything else. No file with the process number: one that a kill left behind keeps rsyslogd from starting.
_COMMAND = ("/usr/bin/nice", "-n", "19", "/usr/sbin/rsyslogd", "-n", "-f", str(_CONFIG), "-iNONE")
_GLOBAL = """\
global(
  workDirectory="{spool}"
  net.enableDNS="off"
  defaultNetstreamDriver="gtls"
  defaultNetstreamDriverCAFile="{folder}/authority.pem"
  defaultNetstreamDriverCertFile="{folder}/certificate.pem"
  defaultNetstreamDriverKeyFile="{folder}/key.pem"
)
module(load="imuxsock" SysSock.RateLimit.Interval="0")
"""
_COLLECTOR = """\
module(
  load="imtcp"
  StreamDriver.Name="gtls"
  StreamDriver.Mode="1"
  StreamDriver.AuthMode="x509/name"
  StreamDriver.CheckExtendedKeyPurpose="on"
  PermittedPeer=[{peers}]
)
template(name="by-sender" type="string" string="{collected}/%fromhost-ip%.log")
ruleset(name="collected") {{
  action(type="omfile" dynaFile="by-sender" template="RSYSLOG_FileFormat" dirCreateMode="0750" fileCreateMode="0640")
}}
input(type="imtcp" address="{address}" port="{port}" ruleset="collected")
"""
# A queue in memory, never given up: what happens while the tunnel is down arrives when it is back.
_SENDER = """\
action(
  type="omfwd"
  protocol="tcp"
  target="{collector}"
  port="{port}"
  TCP_Framing="octet-counted"
  StreamDriver="gtls"
  StreamDriverMode="1"
  StreamDriverAuthMode="x509/name"
  StreamDriverPermittedPeers="{name}"
  StreamDriver.CheckExtendedKeyPurpose="on"
  queue.type="LinkedList"
  queue.size="10000"
  queue.timeoutEnqueue="0"
  action.resumeRetryCount="-1"
  action.resumeInterval="10"
  action.resumeIntervalMax="10"
)
"""
_LOCAL = '*.* action(type="omfile" file="/var/log/syslog" fileCreateMode="0640")\n'


def collector_config(address: IPv4Address, senders: Sequence[HostName]) -> str:
    """Return the configuration of the log collector: it takes messages from certificates of these names alone."""
    peers = ", ".join(f'"{name}"' for name in sorted(senders))
    collector = _COLLECTOR.format(peers=peers, address=address, port=SYSLOG_TLS_PORT, collected=COLLECTED)
    return _GLOBAL.format(folder=_FOLDER, spool=_SPOOL) + collector + _LOCAL


def sender_config(collector: IPv4Address, name: HostName) -> str:
    """Return the configuration of a sender: everything goes to the collector that has a certificate of this name."""
    sender = _SENDER.format(collector=collector, name=name, port=SYSLOG_TLS_PORT)
    return _GLOBAL.format(folder=_FOLDER, spool=_SPOOL) + sender + _LOCAL


def rsyslogd(config: str, identity: TlsIdentity, *, listen: IPv4Address | None = None) -> NodeServices:
    """Return the files and the service of rsyslogd; ready when `/dev/log` takes messages, or `listen` answers."""
    ready = (
        PortReady(listen, SYSLOG_TLS_PORT, _READY_SECONDS)
        if listen
        else CommandReady(("/usr/bin/test", "-S", "/dev/log"), _READY_SECONDS)
    )
    return NodeServices(
        folders=(NodeFolder(_SPOOL, 0o750), NodeFolder(COLLECTED, 0o750) if listen else NodeFolder(_FOLDER)),
        files=(NodeFile(_CONFIG, config.encode(), 0o644), *identity.files(_FOLDER)),
        services=(Service("rsyslogd", _COMMAND, ready),),
    )
