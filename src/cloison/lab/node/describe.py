"""Asks an RTSP server of this node to describe its stream, as a client would: exits 0 when it does.

`python3 -m node.describe CONFIG`, the file of `camera`. The user is the first of the server's own file, which holds no
password but what digest access needs of it (HA1, RFC 2617 section 3.2.2.2).
"""

from __future__ import annotations

import hashlib
import json
import re
import socket
import ssl
import sys
from pathlib import Path

_SECONDS = 5.0


def ask(connection: socket.socket, url: str, sequence: int, authorization: str = "") -> str:
    """Return the answer to one DESCRIBE (RFC 2326 section 10.2), header and body."""
    request = f"DESCRIBE {url} RTSP/1.0\r\nCSeq: {sequence}\r\nAccept: application/sdp\r\n{authorization}\r\n"
    connection.sendall(request.encode())
    answer = b""
    while b"\r\n\r\n" not in answer or len(answer.partition(b"\r\n\r\n")[2]) < _length(answer):
        received = connection.recv(65536)
        if not received:
            break
        answer += received
    return answer.decode(errors="replace")


def _length(answer: bytes) -> int:
    found = re.search(rb"(?i)\r\ncontent-length: *(\d+)", answer)
    return int(found[1]) if found else 0


def authorize(challenge: str, url: str, user: str, realm: str, ha1: str) -> str:
    """Return the header that answers a 401's digest challenge (RFC 2069: MD5, no quality of protection)."""
    found = re.search(r'(?i)www-authenticate: *digest [^\r]*nonce="([^"]*)"', challenge)
    if not found:
        msg = f"no digest challenge: {challenge[:200]!r}"
        raise SystemExit(msg)
    ha2 = hashlib.md5(f"DESCRIBE:{url}".encode(), usedforsecurity=False).hexdigest()
    response = hashlib.md5(f"{ha1}:{found[1]}:{ha2}".encode(), usedforsecurity=False).hexdigest()
    return (
        f'Authorization: Digest username="{user}", realm="{realm}", nonce="{found[1]}", uri="{url}",'
        f' response="{response}"\r\n'
    )


def main(path: str) -> None:
    """Exit 0 when the server of the configuration file describes one video track."""
    config = json.loads(Path(path).read_text(encoding="utf-8"))
    user, realm, ha1 = Path(config["users"]).read_text(encoding="utf-8").splitlines()[0].split(":")
    scheme = "rtsps" if config.get("certificate") else "rtsp"
    url = f"{scheme}://{config['address']}:{config['port']}{config['path']}"
    connection = socket.create_connection((config["address"], config["port"]), timeout=_SECONDS)
    if config.get("certificate"):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        # The server is this very node: its own certificate is all there is to believe.
        context.load_verify_locations(config["certificate"])
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        connection = context.wrap_socket(connection, server_hostname=config["address"])
    with connection:
        header = authorize(ask(connection, url, 1), url, user, realm, ha1)
        answer = ask(connection, url, 2, header)
    if not answer.startswith("RTSP/1.0 200") or answer.count("m=video") != 1:
        msg = f"{url}: expected 200 and one video track, got {answer[:300]!r}"
        raise SystemExit(msg)


if __name__ == "__main__":
    main(sys.argv[1])
