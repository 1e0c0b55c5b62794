"""Faults of hosts: a socket too many, a service stopped."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloison.lab.fault import Fault, Layer, Script, Start, Stop
from cloison.lab.faults.pilot import LOG_COLLECTOR, RECORDER, STATION, TIME_SERVER, shows
from cloison.model import Name

if TYPE_CHECKING:
    from cloison.intent.network import Intent

_EXTRA_PORT = 8000
_A_PROGRAM = "a program on a host: no packet's way changes"


def faults(intent: Intent) -> tuple[Fault, ...]:  # noqa: ARG001  every layer is asked alike
    """Return the faults of this layer."""
    return (
        _extra_listener(),
        _time_source_stopped(),
        _clock_alone(),
        _collector_stopped(),
        _log_sender_stopped(),
    )


def _extra_listener() -> Fault:
    listening = f"ss -Hltn 'sport = :{_EXTRA_PORT}' | grep -q ."
    listen = (
        f"setsid /usr/bin/python3 -m http.server {_EXTRA_PORT} --directory /tmp </dev/null >/dev/null 2>&1 & "
        "echo $! >/run/extra-listener\n"
        f"n=0; until {listening}; do n=$((n + 1)); [ $n -lt 100 ] || exit 1; sleep 0.1; done"
    )
    return Fault(
        name=Name("extra-listener"),
        layer=Layer.HOSTS,
        title="a program nobody declared listens on the recorder",
        inject=(Script(node=RECORDER, script=listen),),
        heal=(
            Script(
                node=RECORDER,
                script="[ ! -e /run/extra-listener ] || { kill $(cat /run/extra-listener); rm /run/extra-listener; }",
            ),
        ),
        healed=(shows(RECORDER, f"! {listening}"),),
        must=("hosts/sockets/roussy-le-village.nvr",),
        unproved=_A_PROGRAM,
    )


def _time_source_stopped() -> Fault:
    return Fault(
        name=Name("time-source-stopped"),
        layer=Layer.HOSTS,
        title="the time server is stopped",
        inject=(Stop(node=TIME_SERVER, service=Name("chronyd")),),
        heal=(Start(node=TIME_SERVER, service=Name("chronyd")),),
        healed=(shows(TIME_SERVER, "ss -Hlun 'sport = :123' | grep -q ."),),
        must=(
            "hosts/sockets/operations-centre.time-server",
            "reach/delivered/operations-centre.firewall--operations-centre.time-server--ntp",
        ),
        may=("hosts/time/*", "reach/*--operations-centre.time-server--ntp", "reach/*firewall--ntp"),
        unproved=_A_PROGRAM,
    )


def _clock_alone() -> Fault:
    return Fault(
        name=Name("clock-alone"),
        layer=Layer.HOSTS,
        title="a crisis-cell station follows no time source",
        inject=(Stop(node=STATION, service=Name("chronyd")),),
        heal=(Start(node=STATION, service=Name("chronyd")),),
        healed=(shows(STATION, "chronyc -n tracking | grep -q 'Leap status *: Normal'"),),
        must=("hosts/time/crisis-cell.station-fire",),
        unproved=_A_PROGRAM,
    )


def _log_sender_stopped() -> Fault:
    return Fault(
        name=Name("log-sender-stopped"),
        layer=Layer.HOSTS,
        title="the recorder sends its log to nobody",
        inject=(Stop(node=RECORDER, service=Name("rsyslogd")),),
        heal=(Start(node=RECORDER, service=Name("rsyslogd")),),
        healed=(shows(RECORDER, "ss -Htn state established 'dport = :6514' | grep -q ."),),
        must=("hosts/logs/roussy-le-village.nvr",),
        unproved=_A_PROGRAM,
    )


def _collector_stopped() -> Fault:
    return Fault(
        name=Name("collector-stopped"),
        layer=Layer.HOSTS,
        title="the log collector is stopped",
        inject=(Stop(node=LOG_COLLECTOR, service=Name("rsyslogd")),),
        heal=(Start(node=LOG_COLLECTOR, service=Name("rsyslogd")),),
        healed=(shows(LOG_COLLECTOR, "ss -Hltn 'sport = :6514' | grep -q ."),),
        must=(
            "hosts/sockets/operations-centre.log-collector",
            "reach/delivered/roussy-le-village.nvr--operations-centre.log-collector--syslog-tls",
        ),
        may=("hosts/logs/*", "reach/*log-collector--syslog-tls"),
        unproved=_A_PROGRAM,
    )
