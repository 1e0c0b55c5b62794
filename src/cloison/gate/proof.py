"""The proof as the gate asks it: what every device was read back with, held against the intent."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from cloison.change.gate import GateCheck
from cloison.errors import CloisonError
from cloison.flow import Outcome
from cloison.prove.judge import judge

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from cloison.intent.network import Intent
    from cloison.model import EquipmentName
    from cloison.prove.answer import Answer, Finding
    from cloison.prove.configuration import Configuration, Configurations
    from cloison.render.config import Config

NAME = "proof"
_MOST_NAMED = 3


class ProofOfTheNetwork:
    """A `cloison.change.gate.Proof`. What it cannot model or compute is UNKNOWN, and so is a device that is missing.

    With `before`, what was found on the network as it was, held against what was declared then, is not held against the
    change: a site can be changed while another one is not made yet, or is broken. Without it the network must be right.
    """

    def __init__(self, intent: Intent, before: tuple[Intent, Mapping[EquipmentName, Config]] | None = None) -> None:
        self._intent = intent
        self._before = before

    def __call__(self, running: Mapping[EquipmentName, Config]) -> tuple[GateCheck, ...]:
        """Return the check `proof`: PASS when every packet that can pass is declared, and every flow gets through."""
        try:
            answer = judge(self._intent, configurations_of(running))
            known = self._known(running) if answer.findings else frozenset()
        except CloisonError as error:
            return (GateCheck(name=NAME, outcome=Outcome.UNKNOWN, detail=f"it could not be computed: {error}"),)
        left = replace(answer, findings=tuple(one for one in answer.findings if one.identity not in known))
        told, old = _told(left), len(answer.findings) - len(left.findings)
        if old:
            told = f"{told}; {old} more were there before" if left.findings else f"nothing new; {old} old findings"
        return (GateCheck(name=NAME, outcome=left.outcome, detail=told),)

    def _known(self, running: Mapping[EquipmentName, Config]) -> frozenset[str]:
        """Return what was found before the change; a device that it knows nothing of ran then what it runs now."""
        if self._before is None:
            return frozenset()
        intent, earlier = self._before
        return frozenset(one.identity for one in judge(intent, configurations_of({**running, **earlier})).findings)


def configurations_of(running: Mapping[EquipmentName, Config]) -> Configurations:
    """Return the texts of devices as the proof reads them."""
    return {name: texts_of(config) for name, config in running.items()}


def texts_of(config: Config) -> Configuration:
    """Return the text of each section, by its name."""
    return {section.name.value: section.text for section in config.sections}


def _told(answer: Answer) -> str:
    """Return one sentence: the findings, the first ones in words, or what was proved."""
    if not answer.findings:
        return f"{answer.flows} flows get through and no other packet does, from {answer.senders} places"
    return named(finding_words(one) for one in answer.findings)


def finding_words(finding: Finding) -> str:
    """Return what a finding says, with the state of the tunnels where it is not the usual one."""
    tunnels = " (with the tunnels down)" if finding.tunnels.value == "down" else ""
    return f"{finding.what}{tunnels}"


def named(words: Iterable[str]) -> str:
    """Return the first few of several sentences, and how many more there are."""
    every = list(dict.fromkeys(words))
    more = [f"and {len(every) - _MOST_NAMED} more"] if len(every) > _MOST_NAMED else []
    return "; ".join([*every[:_MOST_NAMED], *more])
