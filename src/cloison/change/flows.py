"""Which declared flows a change opens and closes: the difference of two intents."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cloison.flow import Flow
    from cloison.intent.network import Intent


def opened(before: Intent | None, after: Intent) -> tuple[Flow, ...]:
    """Return the flows that come, sorted; all of them where nothing was declared before."""
    return _sorted(set(after.flows) - set(before.flows if before is not None else ()))


def closed(before: Intent | None, after: Intent) -> tuple[Flow, ...]:
    """Return the flows that go, sorted."""
    return _sorted(set(before.flows if before is not None else ()) - set(after.flows))


def _sorted(flows: Iterable[Flow]) -> tuple[Flow, ...]:
    return tuple(sorted(flows, key=lambda flow: flow.key))


def in_words(flow: Flow) -> str:
    """Return a flow as a person reads it."""
    return f"{flow.source.name} → {flow.destination.name} {flow.service} ({flow.purpose})"


def tracked(flow: Flow) -> str:
    """Return the words of conntrack(8) that select the connections of a flow."""
    words = f"-p {flow.service.protocol} -s {flow.source.address} -d {flow.destination.address}"
    return f"{words} --dport {flow.service.port}"
