"""The vocabulary that both judges share: who, to whom, over what, and with which outcome."""

from __future__ import annotations

from enum import StrEnum
from ipaddress import IPv4Address
from typing import Annotated

from pydantic import Field

from cloison.model import EquipmentName, Model, Name

PortNumber = Annotated[int, Field(ge=1, le=65535)]


class Protocol(StrEnum):
    """An IP protocol that a service can use."""

    TCP = "tcp"
    UDP = "udp"


class Purpose(StrEnum):
    """Why a flow is authorised. `control` (PTZ) exists and the pilot has no flow of it."""

    LIVE = "live"
    PLAYBACK = "playback"
    EXPORT = "export"
    CONTROL = "control"
    MANAGE = "manage"
    INFRASTRUCTURE = "infrastructure"


class Service(Model):
    """A named service: one protocol, one destination port."""

    name: Name
    protocol: Protocol
    port: PortNumber


class Endpoint(Model):
    """One end of a flow: an equipment by one of its addresses."""

    name: EquipmentName
    address: IPv4Address


class Flow(Model):
    """One authorised conversation: the source opens it, the destination answers."""

    rule: Name
    """The id of the flow in policy.yaml that this one was expanded from."""
    source: Endpoint
    destination: Endpoint
    service: Service
    purpose: Purpose

    @property
    def key(self) -> str:
        """Stable identifier, `<source>--<destination>--<service>` with the slashes as dots."""
        return f"{self.source.name}--{self.destination.name}--{self.service.name}".replace("/", ".")


class Vantage(Model):
    """A place from which packets can be sent and where they can be heard."""

    name: EquipmentName
    address: IPv4Address | None = None
    """None for a place with no address of its own (a bare cable, a spare port)."""


class Outcome(StrEnum):
    """What became of one check. Only PASS is green."""

    PASS = "PASS"  # noqa: S105  an outcome, not a password
    FAIL = "FAIL"
    """The network is wrong."""
    ERROR = "ERROR"
    """The check broke."""
    UNKNOWN = "UNKNOWN"
    """Not determinable: not modelled, not measurable, capture dropped."""
    NOT_RUN = "NOT_RUN"


class Verdict(Model):
    """The outcome of one check with its reasons."""

    check: str
    """Stable identifier, `<family>/<check>/<subject>`."""
    outcome: Outcome
    title: str
    detail: str = ""
    seconds: float = 0.0
    emulated: bool = False
    """True when what was measured is emulated (SFP optics in the twin)."""
    controls: tuple[str, ...] = ()
    """Recommendations this check evidences, such as `ANSSI-PA-72 R16`."""


def exit_code(outcomes: list[Outcome] | tuple[Outcome, ...]) -> int:
    """Return 0 conforms, 1 findings, 3 could not be determined. Nothing checked is 3."""
    if Outcome.FAIL in outcomes:
        return 1
    if not outcomes or any(outcome is not Outcome.PASS for outcome in outcomes):
        return 3
    return 0
