"""No section holds a secret, and what somebody planted on a device does not come into any text that is kept."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, get_type_hints

import pytest
from pydantic import BaseModel

from cloison.device.capabilities import PLATFORMS
from cloison.device.concealed import CONCEALED, concealed_lines, is_secret
from cloison.device.daemons import DaemonReader
from cloison.device.rows import canonical_rows, parse_dump
from cloison.device.section import Answers
from cloison.device.tunnels import TunnelsReading
from cloison.errors import DeviceError, LoadError
from cloison.intent import models
from cloison.model import EquipmentName, Platform, Secret
from cloison.render.config import Config, Section, SectionName
from cloison.render.environment import SpellingError, environment, spelt
from cloison.transport.base import CommandResult
from cloison.transport.local import LocalRunner

if TYPE_CHECKING:
    from pathlib import Path

PLANTED = "Canary-7Jq2wX9vRb4K"
SWANCTL = f"""connections {{
}}
secrets {{
	ike-one {{
		secret = {PLANTED}
		id = here
	}}
	token-two {{
		pin = {PLANTED}
	}}
}}
"""


def test_a_planted_section_of_secrets_is_read_without_them() -> None:
    said = {"tunnels-loaded": SWANCTL, "tunnels-file": SWANCTL, "connections": "list-conns reply {\n}\n"}
    results = {name: CommandResult(0, text.encode(), b"") for name, text in said.items()}
    text = TunnelsReading().running(Answers("site/device", results))
    assert PLANTED not in text
    assert text.count(CONCEALED) == 2
    assert "id = here" in text


@pytest.mark.parametrize("line", [f"pin={PLANTED}", f'secret = "one\n{PLANTED}"', f"secret={PLANTED} {{"])
def test_what_cannot_be_read_is_not_quoted(line: str) -> None:
    text = f"secrets {{\n\tike {{\n{line}\n\t}}\n}}\n"
    said = {"tunnels-loaded": text, "tunnels-file": text, "connections": "list-conns reply {\n}\n"}
    answers = Answers("site/device", {name: CommandResult(0, text.encode(), b"") for name, text in said.items()})
    with pytest.raises(DeviceError, match=r"line 3|line 4") as caught:
        TunnelsReading().running(answers)
    assert PLANTED not in str(caught.value)
    with pytest.raises(LoadError) as refused:
        TunnelsReading().canonical(text, answers)
    assert PLANTED not in str(refused.value)


def test_a_planted_section_of_secrets_is_not_loaded() -> None:
    reading = TunnelsReading()
    with pytest.raises(LoadError, match="secrets is no section") as caught:
        reading.canonical(SWANCTL, Answers("site/device", {}))
    assert PLANTED not in str(caught.value)


def test_a_planted_option_of_a_port_is_read_without_its_value() -> None:
    options = ["map", [["psk", PLANTED], ["remote_ip", "192.0.2.9"]]]
    table = {
        "caption": "Interface table",
        "headings": ["_uuid", "name", "type", "options"],
        "data": [[["uuid", "1"], "x", "gre", options]],
    }
    text = canonical_rows(parse_dump("site/device", json.dumps(table)))
    assert text == f"interface x options=psk:{CONCEALED},remote_ip:192.0.2.9 type=gre\n"


@pytest.mark.parametrize("name", [SectionName.SWITCH, SectionName.TUNNELS])
def test_what_is_concealed_is_not_put_back_as_if_it_were_known(name: SectionName) -> None:
    device = EquipmentName("site/device")
    platform = Platform.DEBIAN_LIBIPSEC
    text = {
        SectionName.SWITCH: f"interface br0/x/x options=psk:{CONCEALED} type=gre\n",
        SectionName.TUNNELS: concealed_lines(SWANCTL),
    }[name]
    running = Config(device=device, platform=platform, sections=(Section(name=name, text=text),))
    reader = DaemonReader(LocalRunner(), device, platform, PLATFORMS[platform].sections, 1.0)
    with pytest.raises(LoadError, match=r"site/device: section \w+ holds a secret, which nothing here keeps"):
        reader.loadable(running, name)


@pytest.mark.parametrize(
    "key", ["psk", "secret", "secret1", "pin", "password", "user_password", "PASSPHRASE", "my-psk"]
)
def test_a_key_of_a_secret_is_one(key: str) -> None:
    assert is_secret(key)


@pytest.mark.parametrize(
    "key", ["tag", "auth", "certs", "proposals", "ofport_request", "spin", "private_key", "pinned"]
)
def test_another_key_is_none(key: str) -> None:
    assert not is_secret(key)


def test_the_inventory_declares_no_secret() -> None:
    declared = [value for value in vars(models).values() if isinstance(value, type) and issubclass(value, BaseModel)]
    assert declared
    kinds = {str(hint) for model in declared for hint in get_type_hints(model, vars(models)).values()}
    assert not [kind for kind in kinds if Secret.__name__ in kind]
    names = {name for model in declared for name in model.model_fields}
    assert not [name for name in names if is_secret(name)]


def test_a_template_writes_no_secret_and_no_reference_to_one(tmp_path: Path) -> None:
    with pytest.raises(SpellingError, match="a Secret may not be written"):
        spelt(Secret("env:PASSWORD"))
    (tmp_path / "a.j2").write_text("{{ state }}")
    with pytest.raises(SpellingError):
        environment(tmp_path).get_template("a.j2").render(state=Secret("env:PASSWORD"))
