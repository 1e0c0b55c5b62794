"""Which tracked connections a change must cut, as the change asks it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloison.change.gate import GateCheck
from cloison.flow import Outcome
from cloison.gate.proof import named, texts_of
from cloison.prove.conversation import weigh
from cloison.prove.parse.tracked import read_tracked

if TYPE_CHECKING:
    from cloison.model import EquipmentName
    from cloison.prove.conversation import Doubt
    from cloison.render.config import Config


class RefusedConversations:
    """A `cloison.change.gate.Refusals`. What it cannot tell is left alone, and `checks` says so."""

    def __init__(self) -> None:
        self._doubts: dict[EquipmentName, tuple[Doubt, ...]] = {}

    def __call__(self, running: Config, tracked: str) -> tuple[str, ...]:
        """Return the words of conntrack(8) for those that are refused.

        Raises DeviceError for text of no known form, and what the proof raises.
        """
        weighed = weigh(running.device, texts_of(running), read_tracked(running.device, tracked))
        self._doubts[running.device] = weighed.undetermined
        return tuple(dict.fromkeys(conversation.words for conversation in weighed.refused))

    def checks(self) -> tuple[GateCheck, ...]:
        """Return a check `conversations` for each device that has some which may go on although they are refused."""
        return tuple(
            GateCheck(name="conversations", outcome=Outcome.UNKNOWN, device=device, detail=named(map(str, doubts)))
            for device, doubts in self._doubts.items()
            if doubts
        )
