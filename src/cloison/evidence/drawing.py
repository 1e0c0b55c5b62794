"""The picture of the network as SVG: boxes, links with their VLANs, tunnels, and a sign with every colour.

Every text goes through Markup.format, which escapes it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from markupsafe import Markup

from cloison.evidence.layout import BOX_HEIGHT, WIDTH, Column, Layout, lay_out
from cloison.evidence.symbols import NONE, pictogram

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cloison.evidence.layout import Box
    from cloison.evidence.picture import Picture, PictureCable, PictureEquipment, PictureSite, PictureTunnel
    from cloison.evidence.wording import Wording
    from cloison.flow import Outcome
    from cloison.model import EquipmentName

_VLANS_SHOWN = 6
_LINE_CHARACTERS = 15
_BADGE = 20.0
_SPREAD = 10.0
_BULGE = 0.5
_BESIDE = 0.36
_TUNNEL_KINDS = ("video", "administration")

_Point: TypeAlias = tuple[float, float]
_Curve: TypeAlias = tuple[_Point, _Point, _Point, _Point]


def draw(
    picture: Picture,
    state: Mapping[EquipmentName, Outcome],
    links: Mapping[str, Outcome],
    words: Wording,
) -> Markup:
    """Return the picture as one SVG element.

    `state` holds the worst outcome of each equipment, `links` that of each tunnel by its name and of each fibre by
    `<equipment>--<equipment>`; what is in neither was looked at by no check.
    """
    return _Drawing(picture, lay_out(picture), state, links, words).svg()


class _Drawing:
    def __init__(
        self,
        picture: Picture,
        layout: Layout,
        state: Mapping[EquipmentName, Outcome],
        links: Mapping[str, Outcome],
        words: Wording,
    ) -> None:
        self._picture = picture
        self._layout = layout
        self._state = state
        self._links = links
        self._words = words

    def svg(self) -> Markup:
        # Later parts cover earlier ones.
        sites = self._picture.sites
        parts = [self._cloud(), *(self._frame(site) for site in sites)]
        parts += [self._tunnel(tunnel, index) for index, tunnel in enumerate(self._picture.tunnels)]
        parts += [self._cable(cable) for site in sites for cable in site.cables]
        parts += [self._box(item) for site in sites for item in site.equipment]
        parts += [self._box(item) for item in self._picture.outside]
        parts += [self._tunnel_label(tunnel, index) for index, tunnel in enumerate(self._picture.tunnels)]
        return Markup('<svg class="network" viewBox="0 0 {:g} {:g}" role="img" aria-label="{}">{}</svg>').format(
            WIDTH, self._layout.height, self._words["picture"], Markup("").join(parts)
        )

    def _frame(self, site: PictureSite) -> Markup:
        box = self._layout.sites[site.name]
        x = box.x + 14
        return Markup(
            '<g><rect x="{:g}" y="{:g}" width="{:g}" height="{:g}" rx="8" class="site"/>'
            '<text x="{:g}" y="{:g}" class="place">{}</text><text x="{:g}" y="{:g}" class="prefix">{}</text></g>'
        ).format(box.x, box.y, box.width, box.height, x, box.y + 22, site.title, x, box.y + 38, site.prefix)

    def _box(self, item: PictureEquipment) -> Markup:
        box = self._layout.equipment[item.name]
        outcome = self._state.get(item.name)
        name = str(outcome) if outcome else NONE
        lines = _lines(item.name.equipment)
        text = Markup("").join(
            Markup('<text x="{:g}" y="{:g}" class="name">{}</text>').format(
                box.centre, box.y + 45 - 6 * (len(lines) - 1) + 12 * row, line
            )
            for row, line in enumerate(lines)
        )
        address = Markup('<text x="{:g}" y="{:g}" class="address">{}</text>').format(
            box.centre, box.bottom - 6, item.address or ""
        )
        return Markup(
            '<g class="equipment b-{}"><title>{}: {}</title>'
            '<rect x="{:g}" y="{:g}" width="{:g}" height="{:g}" rx="5"/>'
            '<use href="#{}" x="{:g}" y="{:g}" width="22" height="22" class="kind"/>{}{}{}</g>'
        ).format(
            name,
            item.name,
            self._words.outcome(outcome),
            box.x,
            box.y,
            box.width,
            box.height,
            pictogram(item.kind),
            box.centre - 11,
            box.y + 4,
            text,
            address,
            _badge(name, box.right - 7, box.y + 7),
        )

    def _cable(self, cable: PictureCable) -> Markup:
        first, second = sorted(cable.ends, key=lambda name: (self._layout.equipment[name].x, name))
        left, right = self._layout.equipment[first], self._layout.equipment[second]
        if cable.fibre:
            return self._fibre(cable, left, right)
        label = _vlans(cable.vlans, self._words)
        ends = (self._layout.columns.get(first), self._layout.columns.get(second))
        on_the_left = right.x < self._layout.wide_area.x
        if on_the_left and ends == (Column.CORE, Column.HOSTS) and right.y >= left.bottom:
            # Down from the core switch, and across to the host.
            path = f"M{left.centre:g} {left.bottom:g}V{right.middle:g}H{right.x:g}"
            return _line(path, label, (left.centre + right.x) / 2 + 4, right.middle, boxed=True)
        bend = (left.right + right.x) / 2
        if left.middle == right.middle and len(cable.vlans) > 1:
            return _line(f"M{left.right:g} {left.middle:g}H{right.x:g}", label, bend, left.middle - 6, boxed=False)
        path = f"M{left.right:g} {left.middle:g}H{bend:g}V{right.middle:g}H{right.x:g}"
        # The label stands on the part that this link shares with no other: at the end of many.
        many = left if ends[0] in {Column.FIELD, Column.HOSTS} else right
        at = (left.right + bend) / 2 if many is left else (bend + right.x) / 2
        return _line(path, label, at, many.middle, boxed=True)

    def _fibre(self, cable: PictureCable, left: Box, right: Box) -> Markup:
        outcome = self._links.get("--".join(sorted(cable.ends)))
        name = str(outcome) if outcome else NONE
        middle = (left.right + right.x) / 2
        return Markup(
            '<g><title>{}: {}</title><path d="M{:g} {:g}H{:g}" class="fibre"/>'
            '<text x="{:g}" y="{:g}" class="tag">{} {}</text><text x="{:g}" y="{:g}" class="vlan">{}</text>{}</g>'
        ).format(
            self._words["fibre"],
            self._words.outcome(outcome),
            left.right,
            left.middle,
            right.x,
            middle,
            left.middle - 15,
            self._words["fibre"],
            "" if cable.metres is None else f"{cable.metres} m",
            middle,
            left.middle + 22,
            _vlans(cable.vlans, self._words),
            _badge(name, middle, left.middle),
        )

    def _cloud(self) -> Markup:
        area = self._layout.wide_area
        top, bottom = 26.0, self._layout.height - (BOX_HEIGHT + 34 if self._picture.outside else 26)
        radius = area.width * 0.3
        rows = max(2, round((bottom - top - 2 * radius) / (0.95 * radius)) + 1)
        puffs = [
            (area.centre + side * radius * (0.62 + 0.22 * ((row + (side > 0)) % 2)), row)
            for row in range(rows)
            for side in (-1, 1)
        ]
        step = (bottom - top - 2 * radius) / (rows - 1)
        circles = Markup("").join(
            Markup('<circle cx="{:g}" cy="{:g}" r="{:g}"/>').format(x, top + radius + row * step, radius)
            for x, row in puffs
        )
        links = Markup("").join(
            Markup('<path d="M{:g} {:g}V{:g}" class="cable"/>').format(
                self._layout.equipment[item.name].centre, bottom - radius, self._layout.equipment[item.name].y
            )
            for item in self._picture.outside
        )
        return Markup('{}<g class="cloud">{}</g><text x="{:g}" y="{:g}" class="place middle">{}</text>').format(
            links, circles, area.centre, top + 0.75 * radius, self._words["picture_wan"]
        )

    def _curve(self, tunnel: PictureTunnel, index: int) -> _Curve:
        """Return the Bézier curve of a tunnel from its left (or upper) end; tunnels of one firewall are spread."""
        first, second = sorted((self._layout.equipment[name] for name in tunnel.ends), key=lambda box: (box.x, box.y))
        spread = _SPREAD * (index % 3 - 1)
        if abs(first.x - second.x) < first.width:
            # Both on one side of the wide-area network: out into it and back.
            sign = 1 if first.x < WIDTH / 2 else -1
            start = (first.right, second.right) if sign > 0 else (first.x, second.x)
            out = sign * _BULGE * self._layout.wide_area.width
            above, below = first.middle + 14, second.middle - 14
            return (start[0], above), (start[0] + out, above), (start[1] + out, below), (start[1], below)
        bend = (first.right + second.x) / 2
        above, below = first.middle + spread, second.middle + spread / 2
        return (first.right, above), (bend, above), (bend, below), (second.x, below)

    def _tunnel(self, tunnel: PictureTunnel, index: int) -> Markup:
        start, one, two, end = (f"{x:g} {y:g}" for x, y in self._curve(tunnel, index))
        return Markup('<path d="{0}" class="pipe p-{1}"/><path d="{0}" class="core p-{1}"/>').format(
            f"M{start}C{one} {two} {end}", _tunnel_kind(tunnel)
        )

    def _tunnel_label(self, tunnel: PictureTunnel, index: int) -> Markup:
        curve = self._curve(tunnel, index)
        crosses = curve[0][0] != curve[3][0] and abs(curve[0][1] - curve[3][1]) > BOX_HEIGHT
        # Beside the middle where tunnels cross, so that their labels stay apart.
        x, y = _on_curve(curve, _BESIDE if crosses else 0.5)
        outcome = self._links.get(tunnel.name)
        text = Markup("").join(
            Markup('<text x="{:g}" y="{:g}" class="tag pipe-name">{}</text>').format(x, y + 22 + 12 * row, word)
            for row, word in enumerate(self._words[f"tunnel_{_tunnel_kind(tunnel)}"].split(" ", 1))
        )
        return Markup("<g><title>{}: {}</title>{}{}</g>").format(
            tunnel.name, self._words.outcome(outcome), _badge(str(outcome) if outcome else NONE, x, y), text
        )


def _tunnel_kind(tunnel: PictureTunnel) -> str:
    return tunnel.kind if tunnel.kind in _TUNNEL_KINDS else "other"


def _on_curve(curve: _Curve, part: float) -> _Point:
    """Return the point of a cubic Bézier curve at a part of its way, 0 to 1."""
    rest = 1 - part
    weights = (rest**3, 3 * rest**2 * part, 3 * rest * part**2, part**3)
    x, y = (sum(weight * point[axis] for weight, point in zip(weights, curve, strict=True)) for axis in (0, 1))
    return x, y


def _badge(name: str, x: float, y: float) -> Markup:
    return Markup('<use href="#s-{}" x="{:g}" y="{:g}" width="{}" height="{}" class="badge"/>').format(
        name, x - _BADGE / 2, y - _BADGE / 2, _BADGE, _BADGE
    )


def _line(path: str, label: str, x: float, y: float, *, boxed: bool) -> Markup:
    """Return a copper link with its VLANs: in a pill on the line, or above it."""
    if not boxed:
        return Markup('<path d="{}" class="cable"/><text x="{:g}" y="{:g}" class="vlan">{}</text>').format(
            path, x, y, label
        )
    width = 6.6 * len(label) + 8
    return Markup(
        '<path d="{}" class="cable"/><rect x="{:g}" y="{:g}" width="{:g}" height="14" rx="7" class="pill"/>'
        '<text x="{:g}" y="{:g}" class="vlan">{}</text>'
    ).format(path, x - width / 2, y - 7, width, x, y + 3.5, label)


def _vlans(vlans: tuple[int, ...], words: Wording) -> str:
    if len(vlans) > _VLANS_SHOWN:
        return words.text("vlans_many", count=len(vlans))
    return "·".join(str(vlan) for vlan in vlans)


def _lines(name: str) -> list[str]:
    """Return a name on at most two lines, broken after the hyphen nearest to its middle."""
    if len(name) <= _LINE_CHARACTERS - 1:
        return [name]
    hyphens = [at + 1 for at, char in enumerate(name) if char == "-"]
    if not hyphens:
        return [name[:_LINE_CHARACTERS], name[_LINE_CHARACTERS:]]
    at = min(hyphens, key=lambda place: abs(place - len(name) / 2))
    return [name[:at], name[at:]]
