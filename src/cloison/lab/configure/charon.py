"""The IKE daemon of a firewall: charon with a named list of plugins, whom it believes, and nothing to connect to yet.

The connections are a section of the device's configuration and come by `swanctl`; this is what is there before. What
it proves itself with is not: the key is made on the device, and its certificate comes in answer to a request.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath

from cloison.lab.service import NodeFile, NodeFolder, NodeServices, Service, SocketReady

SWANCTL = PurePosixPath("/etc/swanctl")
_SOCKET = PurePosixPath("/run/charon.vici")
_READY_SECONDS = 10.0
# Debian's own set also loads `dhcp`, which listens on UDP 68, and a dozen ways to authenticate that nobody uses here.
PLUGINS = (
    "random nonce openssl x509 revocation constraints pubkey pkcs1 pkcs8 pem kdf"
    " kernel-libipsec kernel-netlink socket-default vici"
)
_SECRET_FOLDERS = ("bliss", "ecdsa", "pkcs12", "pkcs8", "private", "rsa")
_FOLDERS = ("conf.d", "pubkey", "x509", "x509aa", "x509ac", "x509ca", "x509crl", "x509ocsp")
# No `threads` either: 8 are all held by kernel-libipsec and the sockets, and then vici never answers (measured).
# A peer that died is given up after 1.0 + 1.4 + 1.96 + 2.74 s and asked again: 11 s in all (measured; default 170 s).
_STRONGSWAN = f"""\
charon-systemd {{
  load_modular = no
  load = {PLUGINS}
  retransmit_timeout = 1.0
  retransmit_base = 1.4
  retransmit_tries = 3
  install_virtual_ip = no
  send_vendor_id = no
  plugins {{
    socket-default {{
      use_ipv6 = no
    }}
    vici {{
      socket = unix://{_SOCKET}
    }}
  }}
  filelog {{
    stderr {{
      default = 1
      ike_name = yes
    }}
  }}
}}
swanctl {{
  load = random openssl x509 pem pkcs1 pkcs8 pubkey
}}
"""
_SWANCTL = "# Connections come with the section `tunnels` of the device's configuration.\ninclude conf.d/*.conf\n"


@dataclass(frozen=True, slots=True)
class TunnelTrust:
    """Whom a firewall believes in IKE; all PEM."""

    root: bytes
    authority: bytes
    """The sub-authority for tunnels: the only one whose certificates may end one (`cacerts`)."""
    revocations: tuple[bytes, bytes]
    """The lists of the root and of the sub-authority: `revocation = strict` asks for both."""


def charon(trust: TunnelTrust) -> NodeServices:
    """Return the files and the service of charon: `x509ca/root.crt`, `x509ca/tunnel.crt` and their lists."""
    return NodeServices(
        folders=(
            *(NodeFolder(SWANCTL / name) for name in _FOLDERS),
            *(NodeFolder(SWANCTL / name, 0o750) for name in _SECRET_FOLDERS),
        ),
        files=(
            NodeFile(PurePosixPath("/etc/strongswan.conf"), _STRONGSWAN.encode(), 0o644),
            NodeFile(SWANCTL / "swanctl.conf", _SWANCTL.encode(), 0o640),
            NodeFile(SWANCTL / "x509ca" / "root.crt", trust.root, 0o644),
            NodeFile(SWANCTL / "x509ca" / "tunnel.crt", trust.authority, 0o644),
            NodeFile(SWANCTL / "x509crl" / "root.crl", trust.revocations[0], 0o644),
            NodeFile(SWANCTL / "x509crl" / "tunnel.crl", trust.revocations[1], 0o644),
        ),
        services=(Service("charon", ("/usr/sbin/charon-systemd",), SocketReady(_SOCKET, _READY_SECONDS)),),
    )
