"""Every mutant of a network's rendered sections."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

from tests.mutation import edge_edits, filter_edits, interface_edits, switch_edits, tunnel_edits
from tests.mutation.edits import Lines, Mutant

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.mutation.edits import Edit

    from cloison.prove.configuration import Configurations


def _fibre(text: str) -> Iterator[Edit]:
    lines = Lines(text)
    for index, _ in lines.meant():
        yield lines.dropped(index, "line dropped", inert=True)


_EDITS = {
    "filter": filter_edits.edits,
    "edge": edge_edits.edits,
    "switch": switch_edits.edits,
    "interfaces": interface_edits.edits,
    "tunnels": tunnel_edits.edits,
    "fibre": _fibre,
}


def mutants(configurations: Configurations) -> Iterator[Mutant]:
    """Yield every mutant, each different from the others, device by device and section by section.

    Raises KeyError for a section that no changes are known of: there must be some for every one.
    """
    seen: set[tuple[object, ...]] = set()
    for mutant in _every(configurations):
        key = (mutant.device, mutant.section, mutant.edit.text, mutant.others)
        if key not in seen and mutant.edit.text != configurations[mutant.device][mutant.section]:
            seen.add(key)
            yield mutant


def _every(configurations: Configurations) -> Iterator[Mutant]:
    for device, sections in configurations.items():
        for section, text in sections.items():
            for edit in _EDITS[section](text):
                yield Mutant(device, section, edit)
    ends = {device: of["tunnels"] for device, of in configurations.items() if "tunnels" in of}
    for one, other in combinations(ends, 2):
        for edit, text in tunnel_edits.at_both_ends(ends[one], ends[other]):
            yield Mutant(one, "tunnels", edit, ((other, "tunnels", text),))
