"""What the daemon says of a twin: its nodes, their services, its cables."""

from __future__ import annotations

from pydantic import ConfigDict

from cloison.lab.design import NodeRole
from cloison.model import EquipmentName, Model


class NodeStatus(Model):
    """One node."""

    node: EquipmentName
    role: NodeRole
    power: bool
    services: dict[str, str]
    """By name: `running`, `stopped`, or `ended (STATUS)`."""


class LinkStatus(Model):
    """One cable."""

    near: str
    far: str | None
    """None when nothing belongs there (a spare port)."""
    at: tuple[str | None, str | None]
    """Where its two ends are now, `<site>/<equipment>:<interface>`; None: plugged in nowhere."""
    cut: bool


class LabStatus(Model):
    """A whole twin."""

    model_config = ConfigDict(extra="ignore")

    born: str
    """Another for each life of the twin: what was known of the one before says nothing of this one."""
    seconds: float
    """Since it was ready."""
    nodes: tuple[NodeStatus, ...]
    links: tuple[LinkStatus, ...]

    @property
    def failures(self) -> tuple[str, ...]:
        """What is not as `up` left it: nodes that are off, services that do not run, cables cut or moved."""
        off = [f"{node.node} is off" for node in self.nodes if not node.power]
        dead = [
            f"{node.node}: service {name} {state}"
            for node in self.nodes
            if node.power
            for name, state in node.services.items()
            if state != "running"
        ]
        cables = [f"{link.near} is cut" for link in self.links if link.cut]
        moved = [f"{link.near} is plugged otherwise" for link in self.links if link.at != (link.near, link.far)]
        return (*off, *dead, *cables, *moved)
