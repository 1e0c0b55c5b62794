"""Uses an authorised flow as its own host would: a TCP connection, or a question to the time server and its answer."""

from __future__ import annotations

import socket
import struct
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from cloison.errors import TransportError
from cloison.flow import Protocol
from cloison.transport.namespace import NamespaceDialer, open_socket_in

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from cloison.flow import Flow
    from cloison.model import EquipmentName

CONNECT_SECONDS = 4.0
_AT_ONCE = 16
_NTP_BYTES = 48
_NTP_TRIES, _NTP_SECONDS = 3, 1.5
_CLIENT_V4 = 0x23  # leap 0, version 4, mode 3
_SERVER = 4
_STRATUM_LIMIT = 15


def use_flows(flows: Iterable[Flow], namespaces: Mapping[EquipmentName, int]) -> dict[str, str]:
    """Return, by the key of each flow, why it cannot be used from its source; an empty text when it can.

    All are tried at once. `namespaces` holds open descriptors of the sources' network namespaces, where there are any.
    """

    def try_one(flow: Flow) -> tuple[str, str]:
        namespace = namespaces.get(flow.source.name)
        return flow.key, f"{flow.source.name} is off" if namespace is None else use(flow, namespace)

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return dict(pool.map(try_one, flows))


def use(flow: Flow, namespace: int, *, is_synchronised: bool = True) -> str:
    """Return why the flow cannot be used from inside the namespace; an empty text when it can.

    A time server must be synchronised itself, unless it is only asked whether it can be reached: on a network that is
    just being built the first server is reached before it has a time to give.
    """
    target = (str(flow.destination.address), flow.service.port)
    if flow.service.protocol is Protocol.UDP:
        return ask_time(target, namespace, is_synchronised=is_synchronised)
    try:
        NamespaceDialer(flow.source.name, namespace).dial(*target, timeout=CONNECT_SECONDS).close()
    except TransportError as error:
        return str(error)
    return ""


def ask_time(target: tuple[str, int], namespace: int, *, is_synchronised: bool = True) -> str:
    """Return why the server at (address, port) gives no usable time (RFC 5905); an empty text when it does.

    One that has no time yet will do unless it must be synchronised.
    """
    reason = f"{target[0]} gave no time within {_NTP_TRIES} tries of {_NTP_SECONDS:g} s"
    try:
        with open_socket_in(namespace, socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(_NTP_SECONDS)
            sock.connect(target)
            for count in range(1, _NTP_TRIES + 1):
                # The server returns our transmit time as the origin: any number of ours will do.
                cookie = struct.pack("!Q", id(sock) ^ count)
                try:
                    sock.send(bytes([_CLIENT_V4]) + bytes(_NTP_BYTES - 9) + cookie)
                    answer = sock.recv(1024)
                except OSError as error:
                    reason = reason if isinstance(error, TimeoutError) else f"{target[0]}: {error.strerror}"
                    continue
                return _fault_in(answer, cookie, is_synchronised=is_synchronised)
    except OSError as error:
        return f"{target[0]}: {error.strerror}"
    return reason


def _fault_in(answer: bytes, cookie: bytes, *, is_synchronised: bool) -> str:
    if len(answer) < _NTP_BYTES or answer[0] & 7 != _SERVER or answer[24:32] != cookie:
        return "something answered, and it was no answer of a time server to this question"
    if is_synchronised and not 1 <= answer[1] <= _STRATUM_LIMIT:
        return f"the time server is not synchronised itself (stratum {answer[1]})"
    return ""
