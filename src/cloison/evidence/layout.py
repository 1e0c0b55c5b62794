"""Where each box of the picture stands: fixed columns, from the cameras on the left to the centres on the right.

A site with cameras is on the left: cameras, pole switch, core switch, hosts, firewall. Any other is on the right of the
wide-area network, and runs the other way. Units are those of the picture, WIDTH across.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cloison.evidence.picture import Picture, PictureEquipment, PictureSite
    from cloison.model import EquipmentName

WIDTH = 1300.0
BOX_HEIGHT = 70.0
_BOX_WIDTH = 88.0
_HOST_WIDTH = 104.0
_ROW = 82.0
_PADDING = 13.0
_HEADER = 50.0
_BETWEEN = 20.0
_OUTSIDE_GAP = 16.0
_LOWEST = 320.0
"""Room for the wide-area network and its hosts, however few the equipment."""
_SWITCHES = ("switch", "unmanaged-switch")


class Column(IntEnum):
    """The columns of a site, from the far end of the fibre to the wide-area network."""

    FIELD = 0
    """Cameras, and whatever else hangs on the pole's switch."""
    POLE = 1
    CORE = 2
    HOSTS = 3
    FIREWALL = 4


_LEFT_GAP = {Column.FIELD: 48.0, Column.POLE: 78.0, Column.CORE: 24.0, Column.HOSTS: 24.0, Column.FIREWALL: 0.0}
"""Room after each column of a site on the left."""
_RIGHT_ORDER = (Column.FIREWALL, Column.CORE, Column.HOSTS, Column.POLE, Column.FIELD)
_RIGHT_GAP = {Column.FIREWALL: 74.0, Column.CORE: 52.0, Column.HOSTS: 52.0, Column.POLE: 52.0, Column.FIELD: 0.0}


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle: its left upper corner, width and height."""

    x: float
    y: float
    width: float
    height: float

    @property
    def middle(self) -> float:
        """The height of its middle."""
        return self.y + self.height / 2

    @property
    def centre(self) -> float:
        """The abscissa of its middle."""
        return self.x + self.width / 2

    @property
    def right(self) -> float:
        """The abscissa of its right edge."""
        return self.x + self.width

    @property
    def bottom(self) -> float:
        """The height of its lower edge."""
        return self.y + self.height


@dataclass(frozen=True, slots=True)
class Layout:
    """Every box of the picture."""

    height: float
    sites: Mapping[str, Box] = field(default_factory=dict)
    equipment: Mapping[EquipmentName, Box] = field(default_factory=dict)
    columns: Mapping[EquipmentName, Column] = field(default_factory=dict)
    wide_area: Box = Box(0, 0, 0, 0)


def columns_of(site: PictureSite) -> dict[EquipmentName, Column]:
    """Return the column of each equipment of a site, as its cables say; what hangs nowhere is among the hosts."""
    kinds = {item.name: str(item.kind) for item in site.equipment}
    beside: dict[EquipmentName, set[EquipmentName]] = {name: set() for name in kinds}
    for cable in site.cables:
        first, second = cable.ends
        beside[first].add(second)
        beside[second].add(first)
    found = {name: Column.FIREWALL for name, kind in kinds.items() if kind == "firewall"}
    core = {name for wall in found for name in beside[wall] if kinds[name] in _SWITCHES}
    found |= dict.fromkeys(core, Column.CORE)
    pole = {name for switch in core for name in beside[switch] - found.keys() if kinds[name] in _SWITCHES}
    found |= dict.fromkeys(pole, Column.POLE)
    far = {name for switch in pole for name in beside[switch] - found.keys()}
    found |= dict.fromkeys(far, Column.FIELD)
    cameras = {name for name, kind in kinds.items() if kind == "camera" and name not in found and pole}
    found |= dict.fromkeys(cameras, Column.FIELD)
    return {name: found.get(name, Column.HOSTS) for name in kinds}


def lay_out(picture: Picture) -> Layout:
    """Return the place of every box: sites with cameras stacked on the left, the others on the right."""
    left = [site for site in picture.sites if any(item.kind == "camera" for item in site.equipment)]
    left = left or list(picture.sites[:1])
    right = [site for site in picture.sites if site not in left]
    plans = {site.name: _Plan.of(site, mirrored=site in right) for site in picture.sites}
    stacks = [[plans[site.name] for site in side] for side in (left, right)]
    height = max([_LOWEST, *(_stack_height(stack) for stack in stacks)]) + 2
    sites: dict[str, Box] = {}
    equipment: dict[EquipmentName, Box] = {}
    for side, stack in enumerate(stacks):
        spare = (height - 2 - _stack_height(stack)) / max(1, len(stack))
        width = max((plan.width for plan in stack), default=0.0)
        y = 1.0
        for plan in stack:
            frame = Box(1.0 if side == 0 else WIDTH - width - 1.0, y, width, plan.height + spare)
            sites[plan.site.name] = frame
            equipment |= plan.placed(frame)
            y = frame.bottom + _BETWEEN
    start = max((frame.right for frame in sites.values() if frame.x == 1.0), default=0.0)
    end = min((frame.x for frame in sites.values() if frame.x > 1.0), default=WIDTH)
    wide_area = Box(start, 0.0, end - start, height)
    equipment |= _outside(picture.outside, wide_area)
    columns = {name: column for plan in plans.values() for name, column in plan.columns.items()}
    return Layout(height, sites, equipment, columns, wide_area)


def _outside(hosts: tuple[PictureEquipment, ...], area: Box) -> dict[EquipmentName, Box]:
    """Stack the hosts of the wide-area network at its bottom, side by side as far as they fit."""
    width = min(_BOX_WIDTH, (area.width - _OUTSIDE_GAP) / max(1, len(hosts)) - _OUTSIDE_GAP / 2)
    total = len(hosts) * width + (len(hosts) - 1) * _OUTSIDE_GAP / 2
    x = area.centre - total / 2
    y = area.bottom - BOX_HEIGHT - 4
    return {
        host.name: Box(x + index * (width + _OUTSIDE_GAP / 2), y, width, BOX_HEIGHT) for index, host in enumerate(hosts)
    }


def _stack_height(stack: list[_Plan]) -> float:
    return sum(plan.height for plan in stack) + _BETWEEN * max(0, len(stack) - 1)


@dataclass(frozen=True, slots=True)
class _Plan:
    """One site, laid out from (0, 0)."""

    site: PictureSite
    columns: Mapping[EquipmentName, Column]
    boxes: Mapping[EquipmentName, Box]
    width: float
    height: float

    @classmethod
    def of(cls, site: PictureSite, *, mirrored: bool) -> _Plan:
        columns = columns_of(site)
        members = {
            column: [item.name for item in site.equipment if columns[item.name] is column]
            for column in (_RIGHT_ORDER if mirrored else tuple(Column))
        }
        members = {column: names for column, names in members.items() if names}
        rows = _rows({column: len(names) for column, names in members.items()}, mirrored=mirrored)
        boxes: dict[EquipmentName, Box] = {}
        x = _PADDING
        gap = 0.0
        for column, names in members.items():
            x += gap
            width = _HOST_WIDTH if column is Column.HOSTS else _BOX_WIDTH
            for index, name in enumerate(names):
                boxes[name] = Box(x, _HEADER + (rows[column] + index) * _ROW, width, BOX_HEIGHT)
            x += width
            gap = _RIGHT_GAP[column] if mirrored else _LEFT_GAP[column]
        bottom = max((box.bottom for box in boxes.values()), default=_HEADER)
        return cls(site, columns, boxes, x + _PADDING, bottom + _PADDING)

    def placed(self, frame: Box) -> dict[EquipmentName, Box]:
        """Return the boxes where the frame stands, in the middle of the height it was given."""
        down = frame.y + (frame.height - self.height) / 2
        return {name: Box(frame.x + box.x, down + box.y, box.width, box.height) for name, box in self.boxes.items()}


def _rows(counts: Mapping[Column, int], *, mirrored: bool) -> dict[Column, float]:
    """Return the row of the first box of each column; firewall, core and pole switch are on one line.

    On the left the trunk to the firewall passes above the hosts, so they start one row below that line.
    """
    sides = [Column.FIELD, Column.HOSTS] if mirrored else [Column.FIELD]
    line = max([(counts.get(column, 1) - 1) / 2 for column in sides] + [0.0])
    rows = {column: line - (count - 1) / 2 for column, count in counts.items()}
    if not mirrored and Column.HOSTS in counts:
        rows[Column.HOSTS] = line + 1
    return rows
