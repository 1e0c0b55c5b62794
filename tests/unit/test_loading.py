"""What the guard of a device is given for a section, from the text of it and what runs."""

from __future__ import annotations

import pytest

from cloison.device.loading import load_of
from cloison.errors import LoadError
from cloison.model import Platform
from cloison.render.config import Section, SectionName


def load(name: SectionName, running: str, candidate: str) -> tuple[str, str]:
    platform = Platform.DEBIAN_LIBIPSEC
    made = load_of("here/firewall", platform, Section(name=name, text=running), Section(name=name, text=candidate))
    assert made.section is name
    return made.text, made.removals


def test_switch_rows_become_the_words_of_one_transaction() -> None:
    candidate = "--if-exists del-br br0\n# a comment\nadd-br br0 -- set bridge br0 'other_config:a=b c'\n"
    words = "--if-exists\ndel-br\nbr0\n--\nadd-br\nbr0\n--\nset\nbridge\nbr0\nother_config:a=b c\n"
    assert load(SectionName.SWITCH, "", candidate) == (words, "")


def test_a_word_that_holds_a_line_break_is_refused() -> None:
    with pytest.raises(LoadError, match="here/firewall: section switch is refused: No closing quotation"):
        load(SectionName.SWITCH, "", "set bridge br0 'other_config:a=b\n")


def test_interfaces_take_away_what_is_not_declared_last_made_first() -> None:
    running = "link set dev p1 up\naddress replace 10.0.0.1/24 dev p1\nroute replace default via 10.0.0.2 dev p1\n"
    candidate = "# nothing but the link\nlink set dev p1 up\n"
    assert load(SectionName.INTERFACES, running, candidate) == (
        "link set dev p1 up\n",
        "ip route delete default via 10.0.0.2 dev p1\nip address delete 10.0.0.1/24 dev p1\n",
    )


def test_interfaces_without_a_known_form_are_refused() -> None:
    with pytest.raises(LoadError, match="section interfaces is refused"):
        load(SectionName.INTERFACES, "", "rm -rf /\n")


@pytest.mark.parametrize("name", [SectionName.FILTER, SectionName.EDGE, SectionName.TUNNELS])
def test_other_sections_are_sent_as_they_are(name: SectionName) -> None:
    assert load(name, "before\n", "# a comment\nafter\n") == ("# a comment\nafter\n", "")


def test_fibre_is_sent_without_comments() -> None:
    assert load(SectionName.FIBRE, "", "# a comment\nport sfp1 admin=up\n") == ("port sfp1 admin=up\n", "")
