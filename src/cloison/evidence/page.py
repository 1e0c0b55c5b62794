"""The page of an audit: one file without script, in French and English, for a mayor, an auditor and a printer."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from cloison.evidence.drawing import draw
from cloison.evidence.symbols import definitions, sign
from cloison.evidence.truth import SEVERITY, Reach, subject, worst
from cloison.evidence.wording import Language, Wording, kind_of, readable, wording
from cloison.flow import Outcome
from cloison.model import Untrusted

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from jinja2 import Template
    from markupsafe import Markup

    from cloison.evidence.document import AuditDocument, JudgedVerdict
    from cloison.evidence.picture import Picture
    from cloison.evidence.truth import TruthCell
    from cloison.model import EquipmentName

_TEMPLATE = "page.html.j2"
_DETAIL_LIMIT = 6000
_PA72 = re.compile(r"ANSSI-PA-72 (R[0-9]+)[+-]?")


@dataclass(frozen=True, slots=True)
class ControlRow:
    """One recommendation, and the checks that bear on it."""

    control: str
    about: str
    checks: int
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Article:
    """All that the template needs to write the page in one language."""

    words: Wording
    document: AuditDocument
    sentence: str
    additions: tuple[str, ...]
    scope: str
    picture: Markup
    findings: tuple[JudgedVerdict, ...]
    families: tuple[tuple[str, tuple[tuple[str, tuple[JudgedVerdict, ...]], ...]], ...]
    """The checks by family and then by kind."""
    controls: tuple[ControlRow, ...]
    places: tuple[EquipmentName, ...]
    site_spans: tuple[tuple[str, int], ...]
    """The site of consecutive places, and how many they are."""
    cells: Mapping[tuple[EquipmentName, EquipmentName], TruthCell]
    reaches: tuple[tuple[Reach, int], ...]
    seconds: int


def render_page(
    document: AuditDocument, picture: Picture, languages: Sequence[Language] = (Language.FRENCH, Language.ENGLISH)
) -> str:
    """Return the page; with several languages it holds each whole, and shows the first until another is chosen."""
    articles = [article(document, picture, wording(language)) for language in languages]
    return _template().render(articles=articles, definitions=definitions())


@cache
def _template() -> Template:
    # Not the environment of the configuration templates: here everything is escaped.
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["shown"] = _shown
    environment.filters["about"] = lambda verdict: readable(subject(verdict.check))
    environment.globals.update(sign=sign, outcomes=tuple(Outcome))
    return environment.get_template(_TEMPLATE)


def article(document: AuditDocument, picture: Picture, words: Wording) -> Article:
    """Return what the page says in one language."""
    verdicts = document.verdicts
    pairs = [(cell.source, cell.destination) for cell in document.truth]
    places = tuple(dict.fromkeys(name for pair in pairs for name in pair))
    sentence, additions = _verdict(document, words)
    counts = [(reach, sum(cell.reach is reach for cell in document.truth)) for reach in Reach]
    return Article(
        words=words,
        document=document,
        sentence=sentence,
        additions=additions,
        scope=words.text(f"scope_{document.network}", lab=document.lab),
        picture=draw(picture, equipment_state(document, picture), link_state(document, picture), words),
        findings=tuple(
            sorted(
                (verdict for verdict in verdicts if verdict.outcome is not Outcome.PASS),
                key=lambda verdict: (SEVERITY.index(verdict.outcome), verdict.waived, verdict.check),
            )
        ),
        families=_families(verdicts),
        controls=_controls(verdicts, words),
        places=places,
        site_spans=tuple((site, len(list(members))) for site, members in groupby(places, key=lambda name: name.site)),
        cells=dict(zip(pairs, document.truth, strict=True)),
        reaches=tuple((reach, count) for reach, count in counts if count),
        seconds=round((document.finished - document.started).total_seconds()),
    )


def _families(
    verdicts: Iterable[JudgedVerdict],
) -> tuple[tuple[str, tuple[tuple[str, tuple[JudgedVerdict, ...]], ...]], ...]:
    return tuple(
        (family, tuple((kind, tuple(same)) for kind, same in groupby(members, key=lambda item: kind_of(item.check))))
        for family, members in groupby(verdicts, key=lambda item: _family(item.check))
    )


def equipment_state(document: AuditDocument, picture: Picture) -> dict[EquipmentName, Outcome]:
    """Return the worst outcome of the checks whose subject names each equipment; one that none names is left out."""
    known = {str(item.name): item.name for site in picture.sites for item in site.equipment}
    known |= {str(item.name): item.name for item in picture.outside}
    found: dict[EquipmentName, list[Outcome]] = {}
    for verdict in document.verdicts:
        for name in _named(verdict.check) & known.keys():
            found.setdefault(known[name], []).append(verdict.outcome)
    return {name: worst(outcomes) for name, outcomes in found.items()}


def link_state(document: AuditDocument, picture: Picture) -> dict[str, Outcome]:
    """Return the worst outcome for each tunnel by name, and for each fibre by `<equipment>--<equipment>`, sorted.

    A check is about a tunnel whose name stands in its subject, and about a fibre when it is of the family `fibre` and
    names an end of it.
    """
    fibres = {cable.ends for site in picture.sites for cable in site.cables if cable.fibre}
    found: dict[str, list[Outcome]] = {}
    for verdict in document.verdicts:
        for tunnel in picture.tunnels:
            if tunnel.name in subject(verdict.check).split("/"):
                found.setdefault(tunnel.name, []).append(verdict.outcome)
        for ends in fibres if _family(verdict.check) == "fibre" else ():
            if _named(verdict.check) & set(map(str, ends)):
                found.setdefault("--".join(sorted(ends)), []).append(verdict.outcome)
    return {name: worst(outcomes) for name, outcomes in found.items()}


def _named(check: str) -> set[str]:
    """Return every `<site>/<equipment>` that may stand in the subject of a check; a port after it does not count."""
    parts = re.split(r"--|[:@]", subject(check))
    return {"/".join(part.split(".")[:2]) for part in parts}


def _family(check: str) -> str:
    return check.split("/", 1)[0]


def _verdict(document: AuditDocument, words: Wording) -> tuple[str, tuple[str, ...]]:
    """Return the verdict in one sentence, and what has to be said besides."""
    tally = document.tally
    undetermined = tally.ERROR + tally.UNKNOWN + tally.NOT_RUN
    leaks = sum(cell.reach is Reach.LEAK for cell in document.truth)
    outages = sum(Outcome.FAIL in {item.outcome for item in cell.authorised} for cell in document.truth)
    pairs, planned = len(document.truth), document.planned
    also = []
    if document.exit_code == 0:
        sentence = words.text("sentence_0", planned=planned)
    elif document.exit_code == 1 and leaks:
        sentence = words.count("sentence_1_leak", leaks, pairs=pairs)
        also += [words.count("also_outage", outages)] if outages else []
    elif document.exit_code == 1 and outages and outages == tally.FAIL:
        sentence = words.count("sentence_1_outage", outages, pairs=pairs)
    elif document.exit_code == 1:
        sentence = words.count("sentence_1_other", tally.FAIL, planned=planned)
    elif undetermined:
        sentence = words.count("sentence_3", undetermined, planned=planned)
    else:
        sentence = words["sentence_3_nothing"]
    if document.exit_code == 1 and undetermined:
        also.append(words.count("also_undetermined", undetermined))
    if tally.waived:
        also.append(words.text("also_waived", waived=tally.waived, failed=tally.FAIL))
    also += [] if document.ended else [words["also_cut"]]
    also += [] if planned == document.run else [words["tally_mismatch"]]
    return sentence, tuple(also)


def _controls(verdicts: Iterable[JudgedVerdict], words: Wording) -> tuple[ControlRow, ...]:
    found: dict[str, list[Outcome]] = {}
    for verdict in verdicts:
        for control in verdict.controls:
            found.setdefault(control, []).append(verdict.outcome)
    rows = []
    for control, outcomes in sorted(found.items(), key=lambda item: _natural(item[0])):
        known = _PA72.fullmatch(control)
        about = words.controls.get(known[1], "") if known else ""
        rows.append(ControlRow(control, about, len(outcomes), worst(outcomes)))
    return tuple(rows)


def _natural(text: str) -> list[tuple[int, str]]:
    """Return a key by which R9 stands before R16."""
    return [(int(part), "") if part.isdigit() else (0, part) for part in re.split(r"([0-9]+)", text)]


def _shown(text: str, limit: int = _DETAIL_LIMIT) -> str:
    """Return text of a device or a host without controls and direction marks; the template escapes what is left."""
    return Untrusted(text).shown(limit)
