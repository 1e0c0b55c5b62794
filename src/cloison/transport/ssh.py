"""Runs commands on a device over SSH: pinned host key, public-key authentication, one connection, byte-exact streams.

paramiko's Transport is used bare. Its SSHClient would bring known_hosts files, agents and policies for unknown keys,
and none of them may decide here.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import logging
import select
import shlex
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import paramiko

from cloison.errors import HostKeyError, TransportError, TransportTimeout
from cloison.model import HostKeyFingerprint
from cloison.transport.base import DEFAULT_TIMEOUT_SECONDS, OUTPUT_LIMIT_BYTES, CommandResult

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from cloison.transport.base import Dialer

_CHUNK = 64 * 1024
_LOST_SIGNAL_SECONDS = 1.0
_HOST_KEY_TYPES = ("ssh-ed25519", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp256", "rsa-sha2-512")
"""Preferred first. A device with keys of several types shows the first, so that is the one to pin."""

# A library's own words reach nobody unless the caller sets a handler: errors are raised, and raised errors are shown.
logging.getLogger("paramiko").addHandler(logging.NullHandler())


def fingerprint(key: paramiko.PKey) -> HostKeyFingerprint:
    """Return the SHA-256 fingerprint of a public key, as `ssh-keygen -l` prints it."""
    digest = base64.b64encode(hashlib.sha256(key.asbytes()).digest()).decode().rstrip("=")
    return HostKeyFingerprint(f"SHA256:{digest}")


@dataclass(frozen=True, slots=True)
class HostKey:
    """The key that a host shows."""

    kind: str
    """Its type as SSH names it, such as `ssh-ed25519`: one of those that are asked for."""
    fingerprint: HostKeyFingerprint


def ask_host_key(place: str, address: str, port: int, *, dialer: Dialer, timeout: float) -> HostKey:
    """Return the key that a host shows and proves to hold; it is believed nothing, and no credential is offered.

    Raises TransportTimeout, and TransportError when it cannot be reached or speaks no SSH.
    """
    transport = _keys_exchanged(place, address, port, dialer, timeout)
    try:
        key = transport.get_remote_server_key()
        return HostKey(key.get_name(), fingerprint(key))
    except paramiko.SSHException as error:
        raise TransportError(place, f"no SSH connection: {error}") from error
    finally:
        transport.close()


def _keys_exchanged(place: str, address: str, port: int, dialer: Dialer, timeout: float) -> paramiko.Transport:
    """Return a transport whose keys are exchanged and whose host has not been checked yet."""
    try:
        dialled = dialer.dial(address, port, timeout=timeout)
    except TransportError as error:  # it names the place that was dialled from
        kind = TransportTimeout if isinstance(error, TransportTimeout) else TransportError
        raise kind(place, f"not reachable from {error}") from error
    try:
        transport = paramiko.Transport(dialled)
    except (paramiko.SSHException, OSError) as error:
        dialled.close()
        raise TransportError(place, f"no SSH connection: {error}") from error
    try:
        transport.banner_timeout = transport.auth_timeout = timeout
        offered = transport.get_security_options().key_types
        transport.get_security_options().key_types = [kind for kind in _HOST_KEY_TYPES if kind in offered]
        transport.start_client(timeout=timeout)
    except (paramiko.SSHException, EOFError, OSError) as error:
        transport.close()
        message = f"no SSH at {address} port {port}: {error or type(error).__name__}"
        if "timeout" in message.lower():
            raise TransportTimeout(place, message) from error
        raise TransportError(place, message) from error
    return transport


class SshRunner:
    """Runs commands on one device over one SSH connection, opened by the first command and never opened again.

    A lost connection is an error that the caller sees: a command must not be repeated, nor its device changed for
    another, behind the caller's back.
    """

    def __init__(  # noqa: PLR0913  each says one thing about the connection
        self,
        place: str,
        address: str,
        port: int,
        username: str,
        *,
        key_file: Path,
        host_key: HostKeyFingerprint,
        dialer: Dialer,
        connect_timeout: float = 10.0,
    ) -> None:
        self._place = place
        self._address, self._port, self._username = address, port, username
        self._key_file, self._host_key = key_file, host_key
        self._dialer, self._connect_timeout = dialer, connect_timeout
        self._transport: paramiko.Transport | None = None
        self._spent = False
        self._lock = threading.Lock()

    @property
    def place(self) -> str:
        """The name of the device."""
        return self._place

    @property
    def is_connected(self) -> bool:
        """True while the connection stands, as far as this end can tell."""
        return self._transport is not None and self._transport.is_active()

    def connect(self) -> None:
        """Open the connection; do nothing when it is open.

        Raises HostKeyError, before any credential is offered, when the device shows another key than the pinned one;
        TransportTimeout; TransportError when it cannot be reached, refuses the key, or the connection was open before.
        """
        with self._lock:
            if self._transport is None and not self._spent:
                self._spent = True
                self._transport = self._opened()
            if not self.is_connected:
                raise TransportError(self._place, "the connection was lost or closed; open a new one to go on")

    def run(
        self, arguments: Sequence[str], *, stdin: bytes = b"", timeout: float = DEFAULT_TIMEOUT_SECONDS
    ) -> CommandResult:
        """Run one command to its end; see `cloison.transport.base.Runner`.

        A command that is cut off by its time limit may still be running on the device.
        """
        self.connect()
        deadline = time.monotonic() + timeout
        command = shlex.join(arguments)
        try:
            channel = self._open_channel(timeout)
        except (paramiko.SSHException, EOFError, OSError) as error:
            raise TransportError(self._place, f"cannot start a command: {error}") from error
        with contextlib.closing(channel):
            try:
                channel.settimeout(timeout)
                channel.exec_command(command)
                return self._exchange(channel, stdin, deadline)
            except TimeoutError as error:
                raise TransportTimeout(self._place, f"{arguments[0]} had not ended after {timeout:g} s") from error
            except (paramiko.SSHException, EOFError, OSError) as error:
                raise TransportError(self._place, f"the connection was lost during {arguments[0]}: {error}") from error

    def close(self) -> None:
        """Close the connection; a closed runner may not be used again."""
        with self._lock:
            self._spent = True
            if self._transport is not None:
                self._transport.close()
                self._transport = None

    # --- the connection ----------------------------------------------------------------------------------------------

    def _opened(self) -> paramiko.Transport:
        try:
            key = paramiko.PKey.from_path(self._key_file)
        except (OSError, paramiko.SSHException, ValueError, paramiko.pkey.UnknownKeyType) as error:
            message = f"{self._key_file}: not a readable SSH private key ({type(error).__name__})"
            raise TransportError(self._place, message) from error
        transport = _keys_exchanged(self._place, self._address, self._port, self._dialer, self._connect_timeout)
        try:
            self._check_host_key(transport)
            transport.auth_publickey(self._username, key)
        except paramiko.AuthenticationException as error:
            transport.close()
            message = f"{self._username} is refused with the key {self._key_file}"
            raise TransportError(self._place, message) from error
        except (paramiko.SSHException, EOFError, OSError) as error:
            transport.close()
            raise TransportError(self._place, f"authentication broke off: {error}") from error
        except HostKeyError:
            transport.close()
            raise
        return transport

    def _check_host_key(self, transport: paramiko.Transport) -> None:
        key = transport.get_remote_server_key()
        shown = fingerprint(key)
        if not hmac.compare_digest(shown, self._host_key):
            message = (
                f"the host key is {shown} ({key.get_name()}), expected {self._host_key} as pinned: nothing was sent; "
                f"compare it at the device's console, then see `cloison trust {self._place}`"
            )
            raise HostKeyError(self._place, message)

    # --- one command -------------------------------------------------------------------------------------------------

    def _open_channel(self, timeout: float) -> paramiko.Channel:
        transport = self._transport
        if transport is None:
            raise TransportError(self._place, "the connection was closed")
        return transport.open_session(timeout=timeout)

    def _exchange(self, channel: paramiko.Channel, stdin: bytes, deadline: float) -> CommandResult:
        """Feed the standard input and collect both outputs until the device has closed them and told the status."""
        feeder = threading.Thread(target=_feed, args=(channel, stdin), name=f"stdin of {self._place}", daemon=True)
        feeder.start()
        out, err = bytearray(), bytearray()
        poll = select.poll()
        poll.register(channel.fileno(), select.POLLIN)
        while not (channel.eof_received or channel.closed) or channel.recv_ready() or channel.recv_stderr_ready():
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                raise TimeoutError
            if channel.recv_ready():
                out += channel.recv(_CHUNK)
            elif channel.recv_stderr_ready():
                err += channel.recv_stderr(_CHUNK)
            else:  # only when both were empty a moment ago: a signal that comes while the other one is read gets lost
                poll.poll(min(remaining, _LOST_SIGNAL_SECONDS) * 1000)
            if max(len(out), len(err)) > OUTPUT_LIMIT_BYTES:
                raise TransportError(self._place, f"the output passed {OUTPUT_LIMIT_BYTES} bytes")
        if not channel.status_event.wait(max(0.0, deadline - time.monotonic())):
            raise TimeoutError
        status = channel.recv_exit_status()
        if status < 0:
            raise TransportError(
                self._place, "the command ended without an exit status: killed, or the connection lost"
            )
        return CommandResult(status, bytes(out), bytes(err))


def _feed(channel: paramiko.Channel, stdin: bytes) -> None:
    """Send the bytes, then end of file; a command that does not read them, or has ended, is not an error."""
    with contextlib.suppress(paramiko.SSHException, OSError, EOFError):
        if stdin:
            channel.sendall(stdin)
        channel.shutdown_write()
