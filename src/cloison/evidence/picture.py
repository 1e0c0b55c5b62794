"""What the picture of the network is drawn from: sites, their equipment and cables, and the tunnels between them."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

from cloison.model import EquipmentName, Model, Name


class PictureEquipment(Model):
    """One box."""

    name: EquipmentName
    kind: Name
    """What it is: camera, switch, unmanaged-switch, firewall, recorder, …; it chooses the pictogram."""
    address: IPv4Address | None = None


class PictureCable(Model):
    """One line between two boxes of a site."""

    ends: tuple[EquipmentName, EquipmentName]
    vlans: tuple[int, ...]
    """The VLANs that it carries, sorted."""
    fibre: bool = False
    metres: int | None = None
    """Length of a fibre."""


class PictureSite(Model):
    """One frame with its boxes."""

    name: Name
    title: str
    prefix: IPv4Network
    equipment: tuple[PictureEquipment, ...]
    cables: tuple[PictureCable, ...]


class PictureTunnel(Model):
    """One pipe through the wide-area network."""

    name: Name
    kind: Name
    """`video`, `administration`, …; it chooses the colour."""
    ends: tuple[EquipmentName, EquipmentName]
    """The two firewalls, the initiator first."""


class Picture(Model):
    """The whole network."""

    sites: tuple[PictureSite, ...]
    tunnels: tuple[PictureTunnel, ...]
    outside: tuple[PictureEquipment, ...] = ()
    """Hosts of the wide-area network that belong to nobody: from there packets were sent too."""
