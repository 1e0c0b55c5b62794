"""Who reaches whom in the pilot, against the table that was written by hand."""

import csv
from pathlib import Path

from cloison.intent.load import load
from cloison.model import Name

TABLE = Path(__file__).parent / "roussy-le-village.reach.csv"
PILOT = Name("roussy-le-village")


def test_derived_flows_of_the_pilot_are_the_table_written_by_hand() -> None:
    intent = load(TABLE.parents[2])
    derived = [
        [flow.source.name, flow.destination.name, flow.service.name, flow.purpose.value]
        for flow in intent.flows
        if PILOT in {flow.source.name.site, flow.destination.name.site}
    ]
    with TABLE.open(encoding="utf-8", newline="") as file:
        heading, *written = csv.reader(file)
    assert heading == ["from", "to", "service", "purpose"]
    assert sorted(derived) == written


def test_table_is_sorted_and_every_triple_stands_once() -> None:
    lines = TABLE.read_text(encoding="utf-8").splitlines()[1:]
    triples = [line.rsplit(",", 1)[0] for line in lines]
    assert lines == sorted(lines)
    assert len(set(triples)) == len(triples)
