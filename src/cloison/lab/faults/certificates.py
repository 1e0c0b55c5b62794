"""Faults of what a firewall proves itself with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloison.lab.fault import Certify, Fault, Layer, Script
from cloison.lab.faults.pilot import COMMUNE_FIREWALL, shows
from cloison.model import Name

if TYPE_CHECKING:
    from cloison.intent.network import Intent

_NAME = COMMUNE_FIREWALL.host_name
_CERTIFICATE = f"/etc/swanctl/x509/{_NAME}.crt"
_PRIVATE_KEY = f"/etc/swanctl/private/{_NAME}.key"
_KEPT = "/etc/swanctl/before-fault"
"""On the firewall itself, in a folder of root's: a private key stays where it was made."""
_LOAD = "timeout 10 swanctl --load-creds --noprompt"
_DAYS = 5
_UNPROVED = "it decides about no packet's way before the tunnels authenticate again"


def faults(intent: Intent) -> tuple[Fault, ...]:  # noqa: ARG001  every layer is asked alike
    """Return the faults of this layer."""
    return (_ends_soon(), _key_readable())


def _ends_soon() -> Fault:
    keep = f"mkdir -m 700 {_KEPT}\ncp -p {_CERTIFICATE} {_PRIVATE_KEY} {_KEPT}/"
    restore = (
        f"[ -d {_KEPT} ] || exit 0\n"
        f"mv {_KEPT}/{_NAME}.key {_PRIVATE_KEY}\nmv {_KEPT}/{_NAME}.crt {_CERTIFICATE}\n{_LOAD}\nrmdir {_KEPT}"
    )
    return Fault(
        name=Name("certificate-ends-soon"),
        layer=Layer.TUNNEL,
        title=f"the certificate of the commune's firewall ends in {_DAYS} days, and nobody has renewed it",
        inject=(
            Script(node=COMMUNE_FIREWALL, script=keep),
            Certify(node=COMMUNE_FIREWALL, days=_DAYS),
        ),
        heal=(Script(node=COMMUNE_FIREWALL, script=restore),),
        healed=(shows(COMMUNE_FIREWALL, f"[ ! -e {_KEPT} ]"),),
        must=("tunnel/certificate/roussy-le-village.firewall",),
        unproved=_UNPROVED,
    )


def _key_readable() -> Fault:
    return Fault(
        name=Name("key-readable"),
        layer=Layer.TUNNEL,
        title="everybody on the commune's firewall may read the private key of its tunnels",
        inject=(Script(node=COMMUNE_FIREWALL, script=f"chmod 644 {_PRIVATE_KEY}"),),
        heal=(Script(node=COMMUNE_FIREWALL, script=f"chmod 600 {_PRIVATE_KEY}"),),
        healed=(shows(COMMUNE_FIREWALL, f"[ $(stat -c %a {_PRIVATE_KEY}) = 600 ]"),),
        must=("tunnel/certificate/roussy-le-village.firewall",),
        unproved=_UNPROVED,
    )
