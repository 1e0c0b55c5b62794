"""Faults of the stream: a camera that is silent, a gateway that is not who it should be."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloison.lab.fault import Fault, Layer, Restart, Script, Start, Stop
from cloison.lab.faults.pilot import CAM_CONTEXT, CAM_NARROW, GATEWAY, relays_again, shows
from cloison.model import Name

if TYPE_CHECKING:
    from cloison.intent.network import Intent

_LISTENING = "ss -Hltn 'sport = :{port}' | grep -q ."
_OTHER_CERTIFICATE = (
    "cd /etc/cloison/relay\n"
    "for file in certificate key; do cp -p $file.pem $file.before-fault; done\n"
    "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-384 -nodes -days 2 "
    f"-subj /CN={GATEWAY.host_name} -addext subjectAltName=DNS:{GATEWAY.host_name} "
    "-keyout new.key -out certificate.pem 2>/dev/null\n"
    "cat new.key >key.pem; rm new.key"
)
_OWN_CERTIFICATE = (
    "cd /etc/cloison/relay\n"
    "for file in certificate key; do [ ! -e $file.before-fault ] || mv $file.before-fault $file.pem; done"
)


def faults(intent: Intent) -> tuple[Fault, ...]:
    """Return the faults of this layer."""
    return (_camera_stopped(intent), _gateway_other_authority(intent))


def _camera_stopped(intent: Intent) -> Fault:
    port = next(f.service.port for f in intent.flows if f.destination.name == CAM_NARROW and f.rule == "relay")
    return Fault(
        name=Name("camera-stopped"),
        layer=Layer.STREAM,
        title="the narrow-field camera serves no stream",
        inject=(Stop(node=CAM_NARROW, service=Name("camera")),),
        heal=(Start(node=CAM_NARROW, service=Name("camera")),),
        healed=(shows(CAM_NARROW, _LISTENING.format(port=port)), relays_again(intent, CAM_NARROW)),
        must=("video/live/roussy-le-village.cam-narrow",),
        may=("reach/*cam-narrow--rtsps", "tunnel/*", "video/*"),
        unproved="a program on a host: no packet's way changes",
    )


def _gateway_other_authority(intent: Intent) -> Fault:
    port = next(flow.service.port for flow in intent.flows if flow.rule == "watch-live")
    return Fault(
        name=Name("gateway-other-authority"),
        layer=Layer.STREAM,
        title="the live gateway shows a certificate that another authority issued",
        inject=(Script(node=GATEWAY, script=_OTHER_CERTIFICATE), Restart(node=GATEWAY, service=Name("relay"))),
        heal=(Script(node=GATEWAY, script=_OWN_CERTIFICATE), Restart(node=GATEWAY, service=Name("relay"))),
        healed=(
            shows(GATEWAY, _LISTENING.format(port=port)),
            relays_again(intent, CAM_CONTEXT),
            relays_again(intent, CAM_NARROW),
        ),
        must=("video/certificate/roussy-le-village.live-gateway",),
        may=("video/*", "tunnel/*"),
        unproved="a certificate of a host: no packet's way changes",
    )
