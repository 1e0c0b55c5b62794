import re
import tomllib
from collections.abc import Callable
from html.parser import HTMLParser
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

import cloison.evidence
from cloison.errors import EvidenceError
from cloison.evidence.document import AuditDocument, NotExamined
from cloison.evidence.page import equipment_state, link_state, render_page
from cloison.evidence.picture import Picture, PictureCable, PictureEquipment, PictureSite, PictureTunnel
from cloison.evidence.wording import Language, readable, wording
from cloison.flow import Outcome, Verdict
from cloison.model import EquipmentName, Name

Make = Callable[..., AuditDocument]
HOSTILE = "</pre></style><script>alert(1)</script><img src=http://x onerror=y>\x1b[2J\u202e\x9b\x00{{ 7*7 }}"
CAMERA, GATEWAY, WALL, STATION, FAR_WALL = (
    EquipmentName(name) for name in ("town/camera", "town/gateway", "town/firewall", "cell/station", "cell/firewall")
)
SWITCHES = EquipmentName("town/pole-switch"), EquipmentName("town/core-switch")


def box(name: EquipmentName, kind: str) -> PictureEquipment:
    return PictureEquipment(name=name, kind=Name(kind), address=IPv4Address("10.0.0.1"))


PICTURE = Picture(
    sites=(
        PictureSite(
            name=Name("town"),
            title="Town <hall>",
            prefix=IPv4Network("10.56.1.0/24"),
            equipment=(
                box(CAMERA, "camera"),
                *(box(name, "switch") for name in SWITCHES),
                box(GATEWAY, "live-gateway"),
                box(WALL, "firewall"),
            ),
            cables=(
                PictureCable(ends=(CAMERA, SWITCHES[0]), vlans=(110,)),
                PictureCable(ends=SWITCHES, vlans=(110, 150), fibre=True, metres=820),
                PictureCable(ends=(SWITCHES[1], GATEWAY), vlans=(130,)),
                PictureCable(ends=(WALL, SWITCHES[1]), vlans=(110, 130, 150)),
            ),
        ),
        PictureSite(
            name=Name("cell"),
            title="Cell",
            prefix=IPv4Network("10.56.2.0/24"),
            equipment=(box(FAR_WALL, "firewall"), box(STATION, "station")),
            cables=(PictureCable(ends=(FAR_WALL, STATION), vlans=(210,)),),
        ),
    ),
    tunnels=(PictureTunnel(name=Name("video"), kind=Name("video"), ends=(WALL, FAR_WALL)),),
    outside=(PictureEquipment(name=EquipmentName("wan/rogue-laptop"), kind=Name("rogue-laptop")),),
)


class Reader(HTMLParser):
    """Collects the elements, attributes and text of a page, and refuses an element that is closed and was not open."""

    void = frozenset({"meta", "input", "br"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in self.void:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def verdict(check: str, outcome: Outcome, text: str = "a text") -> Verdict:
    return Verdict(check=check, outcome=outcome, title=text, detail=text, controls=(text,))


def english(document: AuditDocument) -> str:
    return re.sub(r"\s+", " ", Reader(render_page(document, PICTURE, (Language.ENGLISH,))).text)


def test_the_page_stands_alone_and_runs_nothing(document: AuditDocument) -> None:
    found = Reader(render_page(document, PICTURE))
    assert found.open == []
    assert {tag for tag, _ in found.elements} & {"script", "link", "iframe", "object", "embed", "form", "base"} == set()
    policy = [item["content"] for tag, item in found.elements if item.get("http-equiv") == "Content-Security-Policy"]
    assert policy == ["default-src 'none'; style-src 'unsafe-inline'; img-src data:"]
    for _, attributes in found.elements:
        assert not [name for name in attributes if name.startswith("on")]
        assert all(attributes[name].startswith("#") for name in {"href", "src", "xlink:href"} & attributes.keys())


def test_the_style_fetches_nothing() -> None:
    style = (Path(cloison.evidence.__file__).parent / "page.css").read_text(encoding="utf-8")
    assert "url(" not in style
    assert "@import" not in style


def test_hostile_text_is_shown_and_does_nothing(make: Make) -> None:
    base = make((verdict(f"packets/refused/{HOSTILE}", Outcome.FAIL, HOSTILE), verdict(f"{HOSTILE}/b/c", Outcome.PASS)))
    hostile = base.model_copy(
        update={
            "not_examined": (NotExamined(name=HOSTILE, reason=HOSTILE),),
            "emulated": (HOSTILE,),
            "version": HOSTILE,
        }
    )
    page = render_page(hostile, PICTURE)
    found = Reader(page)
    assert found.open == []
    assert {tag for tag, _ in found.elements} & {"script", "img"} == set()
    assert not any(char in page for char in "\x1b\x9b\x00\u202e")
    assert "<script>alert(1)</script>" in found.text
    assert r"\x1b[2J\x202e\x9b\x00" in found.text
    assert "{{ 7*7 }}" in found.text
    assert "Town <hall>" in found.text


def test_both_languages_are_whole_and_one_can_be_had_alone(document: AuditDocument) -> None:
    both = Reader(render_page(document, PICTURE))
    assert [item["lang"] for tag, item in both.elements if tag == "article"] == ["fr", "en"]
    assert wording(Language.FRENCH)["title"] in both.text
    assert wording(Language.ENGLISH)["title"] in both.text
    alone = Reader(render_page(document, PICTURE, (Language.FRENCH,)))
    assert [item["lang"] for tag, item in alone.elements if tag == "article"] == ["fr"]
    assert wording(Language.ENGLISH)["title"] not in alone.text


def test_identifiers_are_unique(document: AuditDocument) -> None:
    ids = [item["id"] for _, item in Reader(render_page(document, PICTURE)).elements if "id" in item]
    assert len(ids) == len(set(ids))


def test_every_reference_inside_the_page_exists(document: AuditDocument) -> None:
    elements = Reader(render_page(document, PICTURE)).elements
    ids = {item["id"] for _, item in elements if "id" in item}
    assert {item["href"].removeprefix("#") for tag, item in elements if tag == "use"} <= ids


def test_the_same_facts_make_the_same_page(document: AuditDocument) -> None:
    assert render_page(document, PICTURE) == render_page(document, PICTURE)


def test_every_fact_of_the_document_is_on_the_page(document: AuditDocument) -> None:
    text = english(document)
    for fact in (document.run_id, document.intent, "10 / 9", "95 s", "Checks run: 9 of 10 planned.", "ANSSI-PA-72 R16"):
        assert fact in text
    reasons = [item.reason for item in document.not_examined] + [item.reason for item in document.waivers]
    assert [said for said in (*reasons, *document.emulated) if said not in text] == []
    for item in document.verdicts:
        assert item.outcome is Outcome.PASS or item.check in text
    assert "expired, not applied" in text


def test_every_pair_has_a_cell_with_its_words(document: AuditDocument) -> None:
    page = render_page(document, PICTURE, (Language.ENGLISH,))
    words = wording(Language.ENGLISH)
    for cell in document.truth:
        assert f"<title>{cell.source} → {cell.destination}: {words[f'reach_{cell.reach}']}" in page
    assert page.count('<td class="first r-') + page.count('<td class="r-') == len(document.truth)


LEAK = verdict("packets/refused/cell.station--town.camera", Outcome.FAIL)
OUTAGE = verdict("reach/delivered/cell.station--town.gateway--live-relay", Outcome.FAIL)
PASSES = verdict("a/b/c", Outcome.PASS)


@pytest.mark.parametrize(
    ("verdicts", "said"),
    [
        ((PASSES,), "Every planned check succeeded (1): images reach only those"),
        ((LEAK,), "The partition leaks: one path out of 6 lets through"),
        ((LEAK, verdict("packets/refused/cell.station--town.gateway", Outcome.FAIL)), "leaks: 2 paths out of 6 let"),
        ((LEAK, OUTAGE), "In addition, one path does not deliver what it is meant to."),
        ((OUTAGE,), "Nothing was found to leak, but one path out of 6 does not deliver"),
        ((OUTAGE, verdict("a/b/d", Outcome.FAIL)), "not as it was declared: 2 checks out of 2 found something wrong"),
        ((LEAK, verdict("a/b/d", Outcome.ERROR)), "In addition, one check did not come to a conclusion."),
        ((PASSES, verdict("a/b/d", Outcome.UNKNOWN)), "No answer can be given: one check out of 2 did not come"),
        ((), "No answer can be given: nothing was checked"),
    ],
)
def test_the_verdict_is_said_in_one_sentence(make: Make, verdicts: tuple[Verdict, ...], said: str) -> None:
    assert said in english(make(verdicts))
    render_page(make(verdicts), PICTURE, (Language.FRENCH,))


def test_a_cut_off_run_says_so(make: Make) -> None:
    cut = make((PASSES,), ended=False).model_copy(update={"complaint": "killed <b>after</b> 900 s"})
    assert "The run did not come to its own end." in english(cut)
    assert "killed <b>after</b> 900 s" in english(cut)


def test_the_laboratory_is_never_taken_for_the_real_network(document: AuditDocument) -> None:
    assert "It says nothing about the real installation." in english(document)
    live = document.model_copy(update={"network": "live", "lab": None})
    assert "This verdict is about the real network" in english(live)


def test_each_equipment_has_the_worst_outcome_of_the_checks_that_name_it(document: AuditDocument) -> None:
    assert equipment_state(document, PICTURE) == {
        CAMERA: Outcome.FAIL,
        GATEWAY: Outcome.ERROR,
        STATION: Outcome.FAIL,
        SWITCHES[0]: Outcome.PASS,
    }
    assert link_state(document, PICTURE) == {
        "video": Outcome.FAIL,
        "town/core-switch--town/pole-switch": Outcome.PASS,
    }


def test_a_name_within_another_name_is_not_meant(make: Make) -> None:
    found = make(
        (verdict("hosts/sockets/town.gateway-two", Outcome.FAIL), verdict("x/y/up-town.gateway", Outcome.FAIL))
    )
    assert equipment_state(found, PICTURE) == {}


@pytest.mark.parametrize("language", list(Language))
def test_the_picture_shows_every_box_with_words_for_its_colour(document: AuditDocument, language: Language) -> None:
    page = render_page(document, PICTURE, (language,))
    words = wording(language)
    state = equipment_state(document, PICTURE)
    for site in PICTURE.sites:
        for item in site.equipment:
            outcome = state.get(item.name)
            assert f"<title>{item.name}: {words.outcome(outcome)}</title>" in page
    assert "820 m" in page


def test_a_trunk_of_many_vlans_shows_how_many(document: AuditDocument) -> None:
    town = PICTURE.sites[0]
    wide = town.cables[-1].model_copy(update={"vlans": tuple(range(110, 117))})
    picture = PICTURE.model_copy(update={"sites": (town.model_copy(update={"cables": (*town.cables[:-1], wide)}),)})
    picture = picture.model_copy(update={"tunnels": ()})
    assert ">7 VLAN<" in render_page(document, picture, (Language.FRENCH,))


FOLDER = Path(cloison.evidence.__file__).parent / "wording"
TABLES = {language: tomllib.loads((FOLDER / f"{language}.toml").read_text(encoding="utf-8")) for language in Language}


def flat(table: dict[str, object], before: str = "") -> dict[str, str]:
    found: dict[str, str] = {}
    for key, value in table.items():
        found |= flat(value, f"{before}{key}.") if isinstance(value, dict) else {f"{before}{key}": str(value)}
    return {key: value for key, value in found.items() if not key.startswith("phrases_known.")}


def test_every_language_has_the_same_texts_with_the_same_values() -> None:
    french, english = flat(TABLES[Language.FRENCH]), flat(TABLES[Language.ENGLISH])
    assert french.keys() == english.keys()
    for key, text in french.items():
        assert set(re.findall(r"\{(\w+)\}", text)) == set(re.findall(r"\{(\w+)\}", english[key])), key
        assert text.strip()


def test_every_text_is_used() -> None:
    folder = FOLDER.parent
    code = "".join(path.read_text(encoding="utf-8") for path in (*folder.glob("*.py"), folder / "page.html.j2"))
    made_up = ("outcome_", "meaning_", "reach_", "purpose_", "family_", "tunnel_", "network_", "scope_", "verdict_")
    for key in flat(TABLES[Language.ENGLISH]):
        stem = re.sub(r"_(one|many)$", "", key)
        if "." not in key and not key.startswith(made_up):
            assert f'"{stem}"' in code or f'"{key}"' in code or f"['{key}']" in code, key


def test_an_unknown_text_is_an_error() -> None:
    with pytest.raises(EvidenceError, match="no text `nothing` in fr"):
        wording(Language.FRENCH)["nothing"]


@pytest.mark.parametrize(
    ("subject", "shown"),
    [
        ("town.a--cell.b", "town/a → cell/b"),
        ("town.a--cell.b--https", "town/a → cell/b (https)"),
        ("town.a", "town/a"),
        ("video-town--cell", "video-town--cell"),
        ("a--b--c--d", "a--b--c--d"),
    ],
)
def test_subjects_are_made_readable(subject: str, shown: str) -> None:
    assert readable(subject) == shown


VALIDATORS = Path(__file__).parents[3] / "validators"
CHECK = re.compile(r'mark\.check\(\s*"([a-z]+/[a-z-]+)[/"]')


@pytest.mark.parametrize("language", list(Language))
def test_every_check_of_the_workspace_has_a_title_in_every_language(language: Language) -> None:
    kinds = {kind for path in VALIDATORS.rglob("*.py") for kind in CHECK.findall(path.read_text(encoding="utf-8"))}
    assert kinds
    assert sorted(kinds - wording(language).checks.keys()) == []
    assert sorted(kind for kind in kinds if f"family_{kind.split('/')[0]}" not in wording(language).texts) == []
