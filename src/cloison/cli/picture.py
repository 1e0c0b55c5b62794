"""The declared network as the picture of an audit's page shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloison.evidence.picture import Picture, PictureCable, PictureEquipment, PictureSite, PictureTunnel
from cloison.intent.models import Medium
from cloison.model import EquipmentName, Name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cloison.intent.network import Cable, Intent, Site


def picture_of(intent: Intent, outside: Sequence[EquipmentName] = ()) -> Picture:
    """Return the picture of the declared network; `outside` names hosts of the wide-area network to show with it."""
    return Picture(
        sites=tuple(_site(site) for site in intent.sites),
        tunnels=tuple(
            PictureTunnel(
                name=tunnel.name, kind=tunnel.kind, ends=(tunnel.initiator.firewall, tunnel.responder.firewall)
            )
            for tunnel in intent.tunnels
        ),
        outside=tuple(PictureEquipment(name=name, kind=name.equipment) for name in outside),
    )


def _site(site: Site) -> PictureSite:
    return PictureSite(
        name=site.name,
        title=site.title,
        prefix=site.prefix,
        equipment=tuple(
            PictureEquipment(name=item.name, kind=Name(item.kind), address=item.address) for item in site.equipment
        ),
        cables=tuple(_cable(site, cable) for cable in site.cables),
    )


def _cable(site: Site, cable: Cable) -> PictureCable:
    equipment = {item.name: item for item in site.equipment}
    first, second = cable.ends
    carried = [
        set(port.vlans)
        for end in cable.ends
        for port in equipment[end.equipment].ports
        if port.name == end.port and port.vlans
    ]
    fibre = cable.medium is Medium.FIBRE
    return PictureCable(
        ends=(first.equipment, second.equipment),
        vlans=tuple(sorted(set.intersection(*carried))) if carried else (),
        fibre=fibre,
        metres=site.fibre.length if fibre and site.fibre is not None else None,
    )
