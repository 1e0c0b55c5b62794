"""nginx: the web page of a camera or of a UPS card, and the recordings of a recorder, over HTTPS with a login."""

from __future__ import annotations

import base64
import hashlib
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from cloison.lab.service import NodeFile, NodeFolder, NodeServices, PortReady, Service

if TYPE_CHECKING:
    from collections.abc import Mapping
    from ipaddress import IPv4Address

    from cloison.lab.configure.identity import TlsIdentity

HTTPS_PORT = 443
_CONFIG = PurePosixPath("/etc/nginx/nginx.conf")
_FOLDER = PurePosixPath("/etc/nginx/tls")
_USERS = PurePosixPath("/etc/nginx/users")
PAGES = PurePosixPath("/srv/pages")
_READY_SECONDS = 10.0
_TEMPLATE = """\
user www-data;
worker_processes 1;
daemon off;
pid /run/nginx.pid;
error_log stderr warn;
events {{
  worker_connections 64;
}}
http {{
  access_log /var/log/nginx/access.log;
  server_tokens off;
  default_type application/octet-stream;
  types {{
    text/html html;
    video/mp4 mp4;
  }}
  server {{
    listen {address}:{port} ssl;
    ssl_certificate {folder}/certificate.pem;
    ssl_certificate_key {folder}/key.pem;
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_ciphers ECDHE-ECDSA-AES256-GCM-SHA384;
    ssl_session_tickets off;
    add_header Strict-Transport-Security max-age=31536000 always;
    auth_basic "{realm}";
    auth_basic_user_file {users};
    root {root};
    autoindex {autoindex};
    location / {{
      limit_except GET {{
        deny all;
      }}
    }}
  }}
}}
"""


def password_line(user: str, password: str, salt: bytes) -> str:
    """Return a line of nginx's password file, `user:{SSHA}…` (RFC 2307: SHA-1 over password and salt, then the salt).

    nginx checks SSHA by itself; what it leaves to crypt(3) differs from one system to the next.
    """
    digest = hashlib.sha1(password.encode() + salt, usedforsecurity=False).digest()
    return f"{user}:{{SSHA}}{base64.b64encode(digest + salt).decode()}\n"


def nginx_config(address: IPv4Address, *, realm: str, root: PurePosixPath, lists_folders: bool) -> str:
    """Return the text of nginx.conf for one HTTPS site on port 443 of this address, reading alone."""
    return _TEMPLATE.format(
        address=address,
        port=HTTPS_PORT,
        folder=_FOLDER,
        realm=realm,
        users=_USERS,
        root=root,
        autoindex="on" if lists_folders else "off",
    )


def nginx(config: str, address: IPv4Address, identity: TlsIdentity, password_lines: str) -> NodeServices:
    """Return the files and the service of nginx; ready when port 443 answers."""
    return NodeServices(
        folders=(NodeFolder(PurePosixPath("/var/lib/nginx")), NodeFolder(PurePosixPath("/var/log/nginx"))),
        files=(
            NodeFile(_CONFIG, config.encode(), 0o644),
            NodeFile(_USERS, password_lines.encode(), 0o640, "www-data"),
            *identity.files(_FOLDER),
        ),
        services=(
            Service(
                "nginx",
                ("/usr/sbin/nginx", "-c", str(_CONFIG), "-e", "stderr"),
                PortReady(address, HTTPS_PORT, _READY_SECONDS),
            ),
        ),
    )


def admin_page(title: str, facts: Mapping[str, str]) -> NodeFile:
    """Return the administration page of an equipment: its name and some facts; names and values are plain tokens."""
    rows = "".join(f"<tr><th>{name}</th><td>{value}</td></tr>\n" for name, value in facts.items())
    page = f"<!DOCTYPE html>\n<title>{title}</title>\n<h1>{title}</h1>\n<table>\n{rows}</table>\n"
    return NodeFile(PAGES / "index.html", page.encode(), 0o644)
