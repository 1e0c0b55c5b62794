"""A site and its hub in memory, one plan over both, and a coordinator that can be killed at every moment.

The administration station stands behind the hub: whoever asks for the site's devices passes the hub's firewall, the
tunnel and the site's firewall, and for the pole switch the core switch too. What those run decides at every moment
whether a call comes through.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from cloison.change.effects import Effects
from cloison.change.gate import GateCheck
from cloison.change.journal import Entry, Event, Run
from cloison.change.order import Via
from cloison.change.plan import Plan, plan_device
from cloison.change.resuming import Status, resume, status
from cloison.change.transaction import Transaction
from cloison.device.guard import GRACE_SECONDS, TransactionState
from cloison.device.memory import MemoryDevice
from cloison.device.memory_world import Call, Fault, Killed, World
from cloison.errors import CloisonError, RefusedError
from cloison.flow import Outcome
from cloison.model import EquipmentName, Platform
from cloison.render.config import Config, Section, SectionName

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cloison.change.crash import CrashPoint
    from cloison.change.outcome import Result
    from cloison.device.contract import Device

POLE, CORE, FIREWALL, HUB = (
    EquipmentName(name) for name in ("site/pole-switch", "site/core-switch", "site/firewall", "centre/firewall")
)
PATHS: Mapping[EquipmentName, tuple[EquipmentName, ...]] = {
    HUB: (HUB,),
    FIREWALL: (HUB, FIREWALL),
    CORE: (HUB, FIREWALL, CORE),
    POLE: (HUB, FIREWALL, CORE, POLE),
}
STAGES = ((POLE,), (CORE,), (FIREWALL,), (HUB,))
DEADLINE = 120
CUT = "cut management"
"""A line in any section that carries management no further."""
LIVE = "accept live"
"""The line of the site's filter that the live stream needs."""
FORBIDDEN = "accept everything"
"""A line that the proof finds a leak in."""
SWITCH, INTERFACES, EDGE, FILTER, TUNNELS = (
    SectionName.SWITCH,
    SectionName.INTERFACES,
    SectionName.EDGE,
    SectionName.FILTER,
    SectionName.TUNNELS,
)
Texts = dict[SectionName, str]


def _tunnel(cipher: str, *, initiates: bool) -> str:
    near, far = ("192.0.2.2", "10.56.1.0/24"), ("192.0.2.6", "10.56.3.0/24")
    (own, within), (other, beyond) = (near, far) if initiates else (far, near)
    return f"""connections {{
admin {{
local_addrs = {own}
remote_addrs = {other}
children {{
admin {{
local_ts = {within}
remote_ts = {beyond}
esp_proposals = {cipher}-x25519
start_action = {"start" if initiates else "none"}
}}
}}
}}
}}
"""


def old() -> dict[EquipmentName, Texts]:
    """Return what every device runs before the change."""
    switching = {SWITCH: "port 1\n", INTERFACES: "address 1\n", EDGE: "flow 1\n"}
    walls = {SWITCH: "trunk\n", INTERFACES: "address 1\n", FILTER: f"{LIVE}\naccept 1\n"}
    return {
        POLE: dict(switching),
        CORE: dict(switching),
        FIREWALL: {**walls, TUNNELS: _tunnel("aes128gcm16", initiates=True)},
        HUB: {**walls, TUNNELS: _tunnel("aes128gcm16", initiates=False)},
    }


def new() -> dict[EquipmentName, Texts]:
    """Return what every device shall run: ports, flows, rules and the tunnel between the firewalls change."""
    texts = old()
    texts[POLE][SWITCH] = "port 1\nport 2\n"
    texts[CORE][EDGE] = "flow 1\nflow 2\n"
    for wall in (FIREWALL, HUB):
        texts[wall][FILTER] = f"{LIVE}\naccept 2\n"
    texts[FIREWALL][TUNNELS] = _tunnel("aes256gcm16", initiates=True)
    texts[HUB][TUNNELS] = _tunnel("aes256gcm16", initiates=False)
    return texts


@dataclass(frozen=True, slots=True)
class MemoryRun(Run):
    """A run whose journal is kept in memory, and is as durable as one on a disk."""

    lines: list[Entry] = field(default_factory=list)
    kept: list[Plan] = field(default_factory=list)

    def entries(self) -> tuple[Entry, ...]:
        """Return what was written."""
        return tuple(self.lines)

    @property
    def plan(self) -> Plan:
        """The plan of the run."""
        return self.kept[0]


@dataclass(frozen=True, slots=True)
class Moment:
    """A moment of the coordinator between two calls: the n-th line of its journal, or the n-th point it passes."""

    kind: str
    number: int

    def __str__(self) -> str:
        """Return `KIND NUMBER`."""
        return f"{self.kind} {self.number}"


class SceneWatch:
    """Judges the live stream, which needs the tunnel and a line in the filter of the site's firewall."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.opened = False

    def before(self) -> None:
        self.opened = True

    def after(self) -> tuple[GateCheck, ...]:
        assert self.opened
        if self.scene.verdict is not None:
            return (GateCheck(name="session/live", outcome=self.scene.verdict, tries=self.scene.tries),)
        texts = {name: device.running for name, device in self.scene.devices.items()}
        passes = LIVE in texts[FIREWALL][FILTER] and met(texts[FIREWALL][TUNNELS], texts[HUB][TUNNELS])
        detail = "" if passes else "the live stream does not arrive"
        return (GateCheck(name="session/live", outcome=Outcome.PASS if passes else Outcome.FAIL, detail=detail),)

    def close(self) -> None:
        self.opened = False


def proved(running: Mapping[EquipmentName, Config]) -> tuple[GateCheck, ...]:
    """Prove that nothing accepts everything."""
    leaks = [name for name, config in running.items() for one in config.sections if FORBIDDEN in one.text]
    detail = f"a leak on {', '.join(leaks)}" if leaks else ""
    return (GateCheck(name="proof", outcome=Outcome.FAIL if leaks else Outcome.PASS, detail=detail),)


class RulesGone:
    """Refuses the tracked connections whose rule is gone, and is never in doubt."""

    def __call__(self, running: Config, tracked: str) -> tuple[str, ...]:
        accepted = running.section(FILTER).text.splitlines()
        return tuple(line for line in tracked.splitlines() if line not in accepted)

    def checks(self) -> tuple[GateCheck, ...]:
        return ()


@cache
def met(initiator: str, responder: str) -> bool:
    """Tell whether two ends agree on a proposal."""
    ends = (re.search(r"esp_proposals = (.*)", text) for text in (initiator, responder))
    asked, taken = ({one.strip() for one in found[1].split(",")} if found else set() for found in ends)
    return bool(asked & taken)


@dataclass
class Scene:
    """The devices, the plan, and what the coordinator left behind."""

    before: dict[EquipmentName, Texts] = field(default_factory=old)
    after: dict[EquipmentName, Texts] = field(default_factory=new)
    world: World = field(default_factory=lambda: World(round_trip=0.1))
    verdict: Outcome | None = None
    """What the watch says of the live stream instead of what is so."""
    tries: tuple[str, ...] = ()
    """What it saw in each of its tries."""
    killed_at: Moment | None = None
    journal_fails_at: int | None = None
    """The line of the journal from which on the disk of the coordinator is full."""
    plan_of: Scene | None = None
    """A scene whose plan is taken: planning again gives the same one."""
    calls: list[Call] = field(default_factory=list)
    moments: list[Moment] = field(default_factory=list)
    points: list[tuple[CrashPoint, EquipmentName | str]] = field(default_factory=list)
    started: int = 0
    _passed: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        """Make the devices and the plan; the calls of planning are nobody's."""
        self.devices = {
            name: MemoryDevice(
                name,
                Platform.DEBIAN_LIBIPSEC if FILTER in texts else Platform.OPENVSWITCH,
                tuple(texts),
                dict(texts),
                world=self.world,
            )
            for name, texts in self.before.items()
        }
        self.plan: Plan = self.planned(self.after) if self.plan_of is None else self.plan_of.plan
        self.run = self.begun(self.plan)
        self.world.reach = self.carried
        self.world.note = self.calls.append
        self.world.revive(self.world.faults)

    # --- what the network does -------------------------------------------------------------------------------------

    def carried(self, device: EquipmentName) -> bool:
        """Tell whether the network carries management to a device at this moment."""
        path = PATHS[device]
        if any(CUT in text for name in path for text in self.devices[name].running.values()):
            return False
        ends = [self.devices[name].running[TUNNELS] for name in (FIREWALL, HUB)]
        return device == HUB or met(*ends)

    def rest(self) -> None:
        """Let the world run until nothing is due any more."""
        self.world.advance(10 * (DEADLINE + GRACE_SECONDS))

    # --- what the coordinator does ---------------------------------------------------------------------------------

    def planned(self, texts: Mapping[EquipmentName, Texts]) -> Plan:
        """Return the plan that makes the devices run these texts."""
        devices = []
        for name, wanted in texts.items():
            device = self.devices[name]
            sections = tuple(Section(name=section, text=text) for section, text in wanted.items())
            candidate = Config(device=name, platform=device.platform, sections=sections)
            devices.append(plan_device(device, candidate, device.guard))
        return Plan(
            network="lab", via=Via.TUNNEL, intent="0" * 64, devices=tuple(devices), stages=STAGES, deadline=DEADLINE
        )

    def begun(self, plan: Plan) -> MemoryRun:
        """Return a new run of a plan."""
        self.started += 1
        return MemoryRun(f"20261124t{self.started:06}z-0000", Path("nowhere"), kept=[plan])

    def effects(self, run: MemoryRun, owner: str = "ann@desk") -> Effects:
        """Return the world as the coordinator sees it."""
        return Effects(
            opener=self.opened,
            journal=lambda event, device=None, detail="": self.write(run, event, device, detail),
            monotonic=self.world.monotonic,
            sleep=self.world.sleep,
            proof=proved,
            refusals=RulesGone(),
            watch=SceneWatch(self),
            owner=owner,
            workers=1,
            point=self.pass_point,
        )

    def opened(self, device: EquipmentName) -> Device:
        return self.devices[device].open()

    def write(self, run: MemoryRun, event: Event, device: EquipmentName | None, detail: str) -> None:
        """Write a line; the coordinator may be killed before it is on the disk, or just after."""
        self._come_to("line-before")
        if self.journal_fails_at is not None and len(run.lines) + 1 >= self.journal_fails_at:
            msg = "journal: no space left on device; a change is not made without its journal"
            raise RefusedError(msg)
        run.lines.append(Entry(f"{self.world.now:.1f}", event, device, detail))
        self._come_to("line-after")

    def pass_point(self, point: CrashPoint, device: EquipmentName | str = "") -> None:
        """Pass a point of the change."""
        self.points.append((point, device))
        self._come_to("point")

    def go(self) -> Ending:
        """Carry the plan out."""
        return _ending(lambda: Transaction(self.plan, self.run, self.effects(self.run)).go())

    def resume(self, faults: tuple[Fault, ...] = ()) -> Ending:
        """Take the run to its end with a new coordinator."""
        self.revive(faults)
        return _ending(lambda: resume(self.run, self.effects(self.run)))

    def aim(self, texts: Mapping[EquipmentName, Texts]) -> None:
        """Begin another run, which makes the devices run these texts."""
        self.before = {name: dict(device.running) for name, device in self.devices.items()}
        self.after = {name: dict(wanted) for name, wanted in texts.items()}
        self.plan = self.planned(self.after)
        self.run = self.begun(self.plan)

    def revive(self, faults: tuple[Fault, ...] = ()) -> None:
        """Begin a new coordinator."""
        self.killed_at = None
        self.world.revive(faults)

    def status(self) -> Status:
        """Ask where the run stands."""
        self.revive()
        return status(self.run, self.effects(self.run))

    def _come_to(self, kind: str) -> None:
        self.world.live()
        self._passed[kind] += 1
        moment = Moment(kind, self._passed[kind])
        self.moments.append(moment)
        if moment == self.killed_at:
            self.world.kill()

    # --- what is found afterwards ----------------------------------------------------------------------------------

    @property
    def decided(self) -> bool:
        """True when the decision is on the coordinator's disk."""
        return any(entry.event is Event.DECIDED for entry in self.run.lines)

    def sides(self) -> str:
        """Return for each device `old`, `new`, or `neither`, in the order of the stages, each by its first letter."""
        return "".join(self.side(name) for (name,) in STAGES)

    def side(self, name: EquipmentName) -> str:
        """Return `O` when a device runs exactly what it ran, `N` for exactly the candidate, else `?`."""
        running = {section: text for section, text in self.devices[name].running.items() if text}
        return "O" if running == self.before[name] else "N" if running == self.after[name] else "?"

    def left_over(self) -> list[str]:
        """Return what must not be left once the world is at rest: a lease, something pending, another start-up."""
        found = []
        for name, device in self.devices.items():
            state = device.guard.state()
            if state.lease is not None:
                found.append(f"{name}: {state.lease.owner} holds the lease")
            if state.state is TransactionState.ARMED:
                found.append(f"{name}: {state.token} is pending")
            if device.guard.boots_with() != device.running:
                found.append(f"{name}: it boots with something else than it runs")
        return found


@dataclass(frozen=True, slots=True)
class Ending:
    """How a command ended: with a result, with an error, or because it was killed."""

    result: Result | None = None
    error: CloisonError | None = None

    @property
    def killed(self) -> bool:
        """True when it was killed."""
        return self.result is None and self.error is None

    @property
    def code(self) -> int | None:
        """The exit code; None when it was killed."""
        if self.result is not None:
            return self.result.exit_code
        return None if self.error is None else self.error.exit_code


def _ending(act: Callable[[], Result]) -> Ending:
    try:
        return Ending(result=act())
    except Killed:
        return Ending()
    except CloisonError as error:
        return Ending(error=error)
