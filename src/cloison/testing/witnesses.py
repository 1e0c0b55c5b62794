"""The witnesses of a proof, sent into a twin: what a proof says of a packet, and what becomes of it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, fields
from enum import StrEnum
from ipaddress import IPv4Address
from random import Random
from secrets import randbits
from typing import TYPE_CHECKING, Final

from cloison.intent.models import Kind
from cloison.probe.exchange import use
from cloison.probe.witness import Fate, Outcome, Trial, try_all
from cloison.probe.witness_frame import ICMP, TCP, UDP, WitnessFrame
from cloison.prove.answer import Finding, FindingKind, TunnelsAre
from cloison.prove.packet import Connection
from cloison.prove.places import WAN, technician
from cloison.testing.places import TwinPlaces, Unreachable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from cloison.flow import Flow
    from cloison.intent.network import Intent
    from cloison.lab.client import LabClient
    from cloison.model import EquipmentName
    from cloison.prove.answer import Witness

_CLAIMING: Final = (FindingKind.LEAK, FindingKind.OUTAGE)
_FORGET: Final = "while read -r entry; do conntrack -D $entry >/dev/null 2>&1 || :; done"
_DIRECT: Final = "frames"
"""The service of a finding about frames that are heard without having met a router."""
_JOINED: Final = "of conversations that exist"
"""How the service ends of a finding about packets that somebody puts into a conversation of others."""
_PROTOCOLS: Final = {TCP: "tcp", UDP: "udp"}
_AT_ONCE: Final = 16


class Claim(StrEnum):
    """What a proof says of the witness of a finding."""

    ARRIVES = "arrives"
    """Of a leak."""
    IS_LOST = "is lost"
    """Of an outage."""

    def reversed(self) -> Claim:
        """Return the other claim: what has to hold once what the finding is about was undone."""
        return Claim.IS_LOST if self is Claim.ARRIVES else Claim.ARRIVES


@dataclass(frozen=True, slots=True)
class Tried:
    """What became of the witness of a finding."""

    claim: Claim
    fate: Fate
    why: str = ""
    """Why it was not tried, or how it was lost."""

    @property
    def disagrees(self) -> bool:
        """Whether the packet did something else than the proof says."""
        return self.fate is (Fate.LOST if self.claim is Claim.ARRIVES else Fate.ARRIVED)


def claims_of(findings: Iterable[Finding]) -> list[tuple[Finding, Claim]]:
    """Return every finding that says something of its witness, with what it says."""
    return [(finding, claim) for finding in findings if (claim := claim_of(finding)) is not None]


def claim_of(finding: Finding) -> Claim | None:
    """Return what a finding says of its witness; None when it has none, or is not about packets."""
    if finding.witness is None or finding.kind not in _CLAIMING:
        return None
    return Claim.ARRIVES if finding.kind is FindingKind.LEAK else Claim.IS_LOST


def try_witnesses(intent: Intent, client: LabClient, claims: Iterable[tuple[Finding, Claim]]) -> Mapping[str, Tried]:
    """Send the witness of every finding into a twin, all at once; return by identity what became of each.

    Nothing of the devices' configuration is changed. The rogue laptop is plugged into the spare ports that packets are
    sent from or heard at, and pulled out again; what the firewalls remember of the packets' connections is deleted, so
    that each is the first of its own. Raises LabError when the twin is not up, ProbeError when nothing can be heard.
    """
    asked = {finding.identity: (finding, claim) for finding, claim in claims}
    with TwinPlaces(intent, client) as places:
        attempt = _Attempt(intent, client, places)
        return attempt.run(asked)


def disagreements(findings: Iterable[Finding], tried: Mapping[str, Tried]) -> tuple[Finding, ...]:
    """Return a finding for each whose witness did something else than the proof says: one of the two is wrong."""
    return tuple(
        Finding(
            FindingKind.NOTICE,
            finding.sender,
            finding.receiver,
            f"witness of {finding.identity}",
            f"the proof says that the witness {tried[finding.identity].claim}, and it {tried[finding.identity].fate}: "
            "proof and packet disagree",
        )
        for finding in findings
        if finding.identity in tried and tried[finding.identity].disagrees
    )


class _Attempt:
    """One sending of witnesses."""

    def __init__(self, intent: Intent, client: LabClient, places: TwinPlaces) -> None:
        self._intent = intent
        self._client = client
        self._places = places
        self._owners = {
            int(one.address): name for name, one in intent.equipment_by_name.items() if one.address is not None
        }

        self._laptops = {
            technician(site.name): int(site.firewall.local_management[1].ip)
            for site in intent.sites
            if site.firewall.local_management is not None
        }

    def run(self, asked: Mapping[str, tuple[Finding, Claim]]) -> dict[str, Tried]:
        """Return what became of each."""
        trials: dict[str, Trial] = {}
        conversations: dict[str, Flow] = {}
        outcomes: dict[str, Outcome] = {}
        for identity, (finding, claim) in asked.items():
            try:
                planned = self._plan(finding, claim)
            except Unreachable as error:
                outcomes[identity] = Outcome(Fate.UNTRIED, str(error))
                continue
            if isinstance(planned, Trial):
                trials[identity] = planned
            else:
                conversations[identity] = planned
        outcomes |= self._sent(trials) | self._conversed(conversations)
        return {identity: Tried(claim, *_parts(outcomes[identity])) for identity, (_, claim) in asked.items()}

    def _sent(self, trials: Mapping[str, Trial]) -> dict[str, Outcome]:
        if not trials:
            return {}
        self._forget(trials.values())
        found = try_all(list(trials.values()), Random(randbits(64)))  # noqa: S311  a nonce, and no secret
        return dict(zip(trials, found, strict=True))

    def _conversed(self, conversations: Mapping[str, Flow]) -> dict[str, Outcome]:
        """Open real conversations, all at once: an answer cannot be sent without the question."""

        def one(flow: Flow) -> Outcome:
            why = use(flow, self._places.namespace(flow.source.name))
            said = "a packet of a conversation, so the whole conversation was opened"
            return Outcome(Fate.LOST, f"{said}: {why}") if why else Outcome(Fate.ARRIVED, said)

        with ThreadPoolExecutor(_AT_ONCE) as pool:
            return dict(zip(conversations, pool.map(one, conversations.values()), strict=True))

    # --- planning ---------------------------------------------------------------------------------------------------

    def _plan(self, finding: Finding, claim: Claim) -> Trial | Flow:
        """Return the frame to send, or the flow to use instead; Unreachable when neither is possible."""
        witness = finding.witness
        if witness is None:
            msg = "it has no witness"
            raise Unreachable(msg)
        if finding.tunnels is TunnelsAre.DOWN:
            msg = "it holds while the tunnels are down, and they are left up"
            raise Unreachable(msg)
        if finding.kind is FindingKind.OUTAGE and (
            finding.reply or witness.packet["connection"] == Connection.ESTABLISHED
        ):
            return self._flow(finding)
        if finding.service.endswith(_JOINED):
            msg = "it is part of a conversation of others, which would have to be there"
            raise Unreachable(msg)
        frame = frame_of(witness)
        if witness.packet["connection"] == Connection.RELATED and frame.protocol == ICMP:
            msg = "an error of ICMP is part of a conversation, which is not there"
            raise Unreachable(msg)
        routed = self._routed(finding, witness)
        if routed:
            self._require_aimed(witness.receiver, frame)
        outlets = self._places.outlets(witness.sender, witness.receiver, routed=routed)
        return Trial(frame, outlets, self._places.ears(witness.receiver, routed=routed), arrives=claim is Claim.ARRIVES)

    def _flow(self, finding: Finding) -> Flow:
        for flow in self._intent.flows:
            ends = (str(flow.source.name), str(flow.destination.name), str(flow.service.name))
            if ends == (finding.sender, finding.receiver, finding.service):
                return flow
        msg = "no flow of the intent has these ends"
        raise Unreachable(msg)

    def _routed(self, finding: Finding, witness: Witness) -> bool:
        """Tell whether the frame is for a router: it stays in its segment when the proof has it heard directly."""
        firewalls = {str(site.firewall.name) for site in self._intent.sites}
        if finding.service == _DIRECT:
            return False
        if witness.receiver in {*firewalls, WAN} or finding.kind is FindingKind.OUTAGE:
            return True
        return any(hop.device in firewalls for hop in finding.hops)

    def _require_aimed(self, receiver: str, frame: WitnessFrame) -> None:
        """Raise Unreachable for a packet that its receiver would hear only from a switch that floods.

        A switch that has learnt where an address is sends there alone, until somebody fills its table.
        """
        laptop = self._laptops.get(receiver)
        if laptop is not None and frame.destination != laptop:
            msg = f"{receiver} has another address: whoever took this one would hear it"
            raise Unreachable(msg)
        owner = self._owners.get(frame.destination)
        if owner is None or receiver in {owner, WAN}:
            return
        if self._intent.equipment_by_name[owner].kind is Kind.FIREWALL:
            return
        msg = f"the switches have learnt where {owner} is: {receiver} hears this once somebody fills their tables"
        raise Unreachable(msg)

    # --- connections --------------------------------------------------------------------------------------------------

    def _forget(self, trials: Iterable[Trial]) -> None:
        """Delete what the firewalls remember of the connections that the packets would be part of."""
        frames = {trial.frame for trial in trials if trial.frame.version == 4 and trial.frame.protocol in _PROTOCOLS}  # noqa: PLR2004  IPv4
        entries = "\n".join(sorted(_entry(frame) for frame in frames)) + "\n"

        def forget(firewall: EquipmentName) -> None:
            with closing(self._client.runner(firewall)) as runner:
                runner.run(["sh", "-c", _FORGET], stdin=entries.encode())

        if frames:
            with ThreadPoolExecutor(_AT_ONCE) as pool:
                list(pool.map(forget, [site.firewall.name for site in self._intent.sites]))


def _entry(frame: WitnessFrame) -> str:
    ends = f"-s {IPv4Address(frame.source)} -d {IPv4Address(frame.destination)}"
    return f"-p {_PROTOCOLS[frame.protocol]} {ends} --sport {frame.source_port} --dport {frame.destination_port}"


def _parts(outcome: Outcome) -> tuple[Fate, str]:
    return outcome.fate, outcome.why


def frame_of(witness: Witness) -> WitnessFrame:
    """Return the frame of a witness."""
    return WitnessFrame(**{one.name: witness.packet[one.name] for one in fields(WitnessFrame)})
