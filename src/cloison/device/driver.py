"""What the NAPALM drivers of all platforms share: sections are read, compared and replaced; getters give facts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from napalm.base.base import NetworkDriver
from napalm.base.exceptions import CommitError, MergeConfigException, ReplaceConfigException

from cloison.device.document import read_document, write_document
from cloison.device.guard import TransactionState
from cloison.device.push import difference, loads, push
from cloison.errors import RefusedError, TransportError
from cloison.optics import dbm

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cloison.device.contract import Device, Facts, Opener, Running
    from cloison.model import EquipmentName, Platform
    from cloison.render.config import Config

Answer = dict[str, object]


class SectionDriver(NetworkDriver):  # type: ignore[misc]  # NAPALM ships no types
    """A NAPALM driver over the contract of `cloison.device.contract`.

    It is opened by `optional_args["opener"]`, for the device `optional_args["device"]`: addresses, keys and pinned host
    keys are the opener's, and NAPALM's own arguments for them are not used.
    """

    platform: ClassVar[Platform]
    vendor: ClassVar[str]
    model: ClassVar[str]

    def __init__(
        self,
        hostname: str,
        username: str,
        password: str,
        timeout: int = 60,
        optional_args: Mapping[str, object] | None = None,
    ) -> None:
        del password
        arguments = optional_args or {}
        self.hostname, self.username, self.timeout = hostname, username, timeout
        self._name: EquipmentName = arguments["device"]  # type: ignore[assignment]
        self._opener: Opener = arguments["opener"]  # type: ignore[assignment]
        self._device: Device | None = None
        self._candidate: Config | None = None
        self._before: Config | None = None

    # --- the connection ------------------------------------------------------------------------------------------

    @property
    def device(self) -> Device:
        """The open device; TransportError when it is not open."""
        if self._device is None:
            raise TransportError(self._name, "the connection is not open")
        return self._device

    def open(self) -> None:
        """Open the connection."""
        if self._device is None:
            self._device = self._opener(self._name)

    def close(self) -> None:
        """Close the connection and forget the candidate."""
        device, self._device, self._candidate = self._device, None, None
        if device is not None:
            device.close()

    def __exit__(self, *_: object) -> None:
        """Close the connection, and say nothing about the error that ended the block."""
        self.close()

    def is_alive(self) -> Answer:
        """Tell whether the connection is open."""
        return {"is_alive": self._device is not None}

    # --- the configuration ---------------------------------------------------------------------------------------

    def load_replace_candidate(self, filename: str | None = None, config: str | None = None) -> None:
        """Take a candidate for the sections that it names; the other sections stay as they run."""
        text = Path(filename).read_text(encoding="utf-8") if filename else config or ""
        try:
            self._candidate = read_document(text, self._name, self.platform)
        except ValueError as error:
            raise ReplaceConfigException(str(error)) from error

    def load_merge_candidate(self, filename: str | None = None, config: str | None = None) -> None:
        """Refuse: a section is replaced whole, so that what nobody declares does not stay."""
        del filename, config
        message = "sections are replaced whole and never merged; use load_replace_candidate"
        raise MergeConfigException(message)

    def compare_config(self) -> str:
        """Return a unified diff from what runs to the candidate, section by section, both in canonical text."""
        if self._candidate is None:
            return ""
        running, canonical = self._read().config, self.device.reader.canonical(self._candidate)
        return "".join(difference(running.section(section.name), section) for section in canonical.sections)

    def commit_config(self, message: str = "", revert_in: int | None = None) -> None:
        """Load every section of the candidate that differs from what runs; the others are not touched."""
        del message
        if revert_in is not None:
            text = f"{self._name}: a commit that goes back by itself is a transaction: see `cloison apply`"
            raise RefusedError(text)
        if self._candidate is None:
            text = f"{self._name}: no candidate is loaded"
            raise CommitError(text)
        running, canonical = self._read().config, self.device.reader.canonical(self._candidate)
        self._before = running
        push(self.device, running, self._candidate, canonical)
        self._candidate = None

    def has_pending_commit(self) -> bool:
        """Return True while a transaction waits on the device to be confirmed, whoever began it."""
        guard = self.device.guard
        return guard is not None and guard.state().state is TransactionState.ARMED

    def confirm_commit(self) -> None:
        """Refuse: whoever holds the token of a transaction confirms it, once its gate has passed."""
        message = f"{self._name}: no commit of this connection waits to be confirmed"
        raise CommitError(message)

    def discard_config(self) -> None:
        """Forget the candidate."""
        self._candidate = None

    def rollback(self) -> None:
        """Put back what ran before the last commit of this connection, section by section."""
        before = self._before
        if before is None:
            message = f"{self._name}: nothing was committed over this connection"
            raise CommitError(message)
        running = self._read().config
        reader = self.device.reader
        sections = tuple(reader.loadable(before, name) for name in before.names)
        candidate = before.model_copy(update={"sections": sections})
        for section in loads(reader, running, candidate, before):
            self.device.writer.load(section)
        self._before = None

    def get_config(
        self,
        retrieve: str = "all",
        full: bool = False,  # noqa: FBT001, FBT002
        sanitized: bool = False,  # noqa: FBT001, FBT002
        format: str = "text",  # noqa: A002  NAPALM's own
    ) -> dict[str, str]:
        """Return what runs, as read back from the daemons, and the candidate. There are no secrets in either.

        `startup` is empty: what a device starts with is not Cloison's to read yet.
        """
        del full, sanitized, format
        wanted = {"running", "candidate", "startup"} if retrieve == "all" else {retrieve}
        running = write_document(self._read().config) if "running" in wanted else ""
        candidate = write_document(self._candidate) if self._candidate and "candidate" in wanted else ""
        return {"running": running, "candidate": candidate, "startup": ""}

    def _read(self) -> Running:
        return self.device.reader.read()

    # --- facts ---------------------------------------------------------------------------------------------------

    def _facts(self) -> Facts:
        return self._read().facts

    def get_facts(self) -> Answer:
        """Return names, versions and interfaces; there is no serial number to read on this platform."""
        facts = self._facts()
        return {
            "uptime": facts.uptime_seconds,
            "vendor": self.vendor,
            "model": self.model,
            "os_version": facts.system,
            "serial_number": "",
            "hostname": facts.hostname,
            "fqdn": self._name.host_name,
            "interface_list": [interface.name for interface in facts.interfaces],
        }

    def get_interfaces(self) -> Answer:
        """Return the state of every interface; when it last changed is not known (-1)."""
        return {
            interface.name: {
                "is_up": interface.up,
                "is_enabled": interface.enabled,
                "description": "",
                "last_flapped": -1.0,
                "mtu": interface.mtu,
                "speed": float(interface.speed),
                "mac_address": interface.mac,
            }
            for interface in self._facts().interfaces
        }

    def get_interfaces_ip(self) -> Answer:
        """Return the addresses of every interface that has any."""
        found: Answer = {}
        for interface in self._facts().interfaces:
            families: dict[str, Answer] = {}
            for address in interface.addresses:
                family = families.setdefault(f"ipv{address.version}", {})
                family[str(address.ip)] = {"prefix_length": address.network.prefixlen}
            if families:
                found[interface.name] = families
        return found

    def get_vlans(self) -> Answer:
        """Return the ports of every VLAN; Open vSwitch gives VLANs no names."""
        ports = self._facts().vlan_ports
        return {str(vlan): {"name": "", "interfaces": list(names)} for vlan, names in ports.items()}

    def get_optics(self) -> Answer:
        """Return what each optical module measures, in dBm and mA, as one channel; only instants are known."""
        found: Answer = {}
        for port, reading in self._facts().optics.items():
            if reading.measured is None:
                continue
            powers = {
                "input_power": dbm(reading.measured.receive),
                "output_power": dbm(reading.measured.transmit),
                "laser_bias_current": reading.measured.bias,
            }
            state = {name: dict.fromkeys(("instant", "avg", "min", "max"), value) for name, value in powers.items()}
            found[port] = {"physical_channels": {"channel": [{"index": 0, "state": state}]}}
        return found
