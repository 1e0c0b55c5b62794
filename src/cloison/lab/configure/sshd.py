"""OpenSSH servers: root by key alone, one host key, strong algorithms, only the addresses given (ANSSI NT-OpenSSH)."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from cloison.lab.service import NodeFile, NodeFolder, NodeServices, PortReady, Service

if TYPE_CHECKING:
    from collections.abc import Sequence
    from ipaddress import IPv4Address

SSH_PORT = 22
_CONFIG = PurePosixPath("/etc/ssh/sshd_config")
_HOST_KEY = PurePosixPath("/etc/ssh/ssh_host_ed25519_key")
_AUTHORIZED_KEYS = PurePosixPath("/etc/ssh/authorized_keys")
_READY_SECONDS = 10.0
_SETTINGS = """\
AddressFamily inet
HostKey {host_key}
AuthorizedKeysFile {authorized_keys}
PidFile none
AllowUsers root
PermitRootLogin prohibit-password
AuthenticationMethods publickey
PubkeyAcceptedAlgorithms ssh-ed25519
HostKeyAlgorithms ssh-ed25519
KexAlgorithms sntrup761x25519-sha512@openssh.com,curve25519-sha256,curve25519-sha256@libssh.org
Ciphers aes256-gcm@openssh.com,aes256-ctr
MACs hmac-sha2-512-etm@openssh.com,hmac-sha2-512
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
StrictModes yes
UseDNS no
LoginGraceTime 30
MaxAuthTries 3
MaxSessions 20
MaxStartups 20
ClientAliveInterval 15
ClientAliveCountMax 3
DisableForwarding yes
PermitUserEnvironment no
PermitUserRC no
PrintMotd no
Banner none
LogLevel VERBOSE
"""


def sshd_config(listen: Sequence[IPv4Address]) -> str:
    """Return the text of sshd_config for a server that listens on port 22 of these addresses alone."""
    lines = [f"ListenAddress {address}:{SSH_PORT}\n" for address in listen]
    return "".join(lines) + _SETTINGS.format(host_key=_HOST_KEY, authorized_keys=_AUTHORIZED_KEYS)


def sshd(listen: Sequence[IPv4Address], *, host_key: bytes, authorized_keys: Sequence[str]) -> NodeServices:
    """Return the files and the service of sshd; it is ready when the first address answers.

    `host_key` is an OpenSSH private key, `authorized_keys` lines of public keys that may log in as root. The other
    addresses may come later: a device gets its management address by configuration, long after sshd has started.
    """
    # Bound before the address exists (ip(7), IP_FREEBIND for all): no daemon needs a restart when it comes.
    start = "/usr/sbin/sysctl -qw net.ipv4.ip_nonlocal_bind=1 && exec /usr/sbin/sshd -D -e"
    return NodeServices(
        folders=(NodeFolder(PurePosixPath("/run/sshd")),),
        files=(
            NodeFile(_CONFIG, sshd_config(listen).encode(), 0o644),
            NodeFile(_HOST_KEY, host_key, 0o600),
            NodeFile(_AUTHORIZED_KEYS, "".join(f"{line}\n" for line in authorized_keys).encode(), 0o644),
        ),
        services=(Service("sshd", ("/bin/sh", "-c", start), PortReady(listen[0], SSH_PORT, _READY_SECONDS)),),
    )
