"""Who reaches whom as a page: one file without script, in French and English, in the style of the audit's page."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined

import cloison.evidence
from cloison.evidence.symbols import definitions, sign
from cloison.evidence.truth import Reach
from cloison.evidence.wording import Language, wording
from cloison.model import Untrusted
from cloison.prove.matrix import CellState

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jinja2 import Template

    from cloison.evidence.wording import Wording
    from cloison.prove.matrix import Cell, Matrix

REACH: Final = {
    CellState.LEAK: Reach.LEAK,
    CellState.OUTAGE: Reach.OUTAGE,
    CellState.UNKNOWN: Reach.UNKNOWN,
    CellState.DECLARED: Reach.DELIVERED,
    CellState.SILENT: Reach.SILENT,
}
_FOLDER: Final = Path(__file__).parent
_STATEMENT_LIMIT = 300


@dataclass(frozen=True, slots=True)
class Article:
    """All that the template needs to write the page in one language."""

    words: Wording
    texts: Mapping[str, str]
    matrix: Matrix
    subject: str
    site_spans: tuple[tuple[str, int], ...]
    """The site of consecutive equipment, and how many they are."""
    listed: tuple[Cell, ...]
    """Every pair between which something is so, the worst first."""
    counts: tuple[tuple[Reach, int], ...]
    """Of the pairs of equipment."""
    silent: tuple[str, ...]
    """The other places from which nothing gets through."""
    undetermined: tuple[str, ...]


def matrix_page(found: Matrix, running_on: str | None) -> str:
    """Return the page; `running_on` is the network whose devices were read, None for what is rendered."""
    articles = [_article(found, running_on, language) for language in Language]
    return _template().render(articles=articles, definitions=definitions())


@cache
def _template() -> Template:
    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    css = Path(cloison.evidence.__path__[0], "page.css").read_text(encoding="utf-8")
    environment.globals.update(sign=sign, reach=REACH, css=css)
    return environment.get_template("matrix.html.j2")


@cache
def _texts() -> Mapping[str, Mapping[str, str]]:
    """Return what only this page says, by language."""
    return tomllib.loads((_FOLDER / "matrix_wording.toml").read_text(encoding="utf-8"))


def _article(found: Matrix, running_on: str | None, language: Language) -> Article:
    texts = _texts()[language]
    states = [found.cell(one, other).state for one in found.equipment for other in found.equipment if one != other]
    counts = [(REACH[state], states.count(state)) for state in CellState]
    order = list(CellState)
    speaking = {cell.sender for cell in found.cells.values() if cell.state is not CellState.SILENT}
    return Article(
        words=wording(language),
        texts=texts,
        matrix=found,
        subject=texts["rendered"] if running_on is None else texts["running"].format(network=running_on),
        site_spans=_spans(found.equipment),
        listed=tuple(sorted(found.cells.values(), key=lambda cell: (order.index(cell.state), cell.sender))),
        counts=tuple((reach, count) for reach, count in counts if count),
        silent=tuple(place for place in found.places if place not in speaking and not place.endswith("-segment")),
        undetermined=tuple(Untrusted(str(one)).shown(_STATEMENT_LIMIT) for one in found.undetermined),
    )


def _spans(places: Sequence[str]) -> tuple[tuple[str, int], ...]:
    by_site = groupby(places, key=lambda place: place.partition("/")[0])
    return tuple((site, len(list(those))) for site, those in by_site)
