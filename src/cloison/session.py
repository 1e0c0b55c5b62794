"""One workspace and one network: the intent, the host keys that are pinned, and how devices are reached.

On the lab, connections open inside the namespaces of the twin's own stations; on the live network, on this machine.
Nothing falls back from one to the other.
"""

from __future__ import annotations

import fcntl
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cloison.change.order import Via
from cloison.errors import InputError, LabError
from cloison.fleet.reach import NO_KEY, Reach
from cloison.intent.load import load
from cloison.lab.client import LabClient
from cloison.lab.credentials import kept
from cloison.model import Name
from cloison.transport.dial import DirectDialer
from cloison.workspace import Network

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from cloison.intent.network import Intent
    from cloison.model import EquipmentName, HostKeyFingerprint
    from cloison.transport.base import Dialer
    from cloison.workspace import Workspace

ENGINEER = "engineer"
AUDITOR = "auditor"


@dataclass(frozen=True, slots=True)
class Session:
    """Everything a command needs to speak with a network."""

    workspace: Workspace
    network: Network
    intent: Intent
    key: Path | None
    """The private SSH key of whoever runs the command; None where nobody logs in."""
    lab: LabClient | None
    """The twin; None on the live network."""
    host_keys: Mapping[EquipmentName, HostKeyFingerprint]
    """The twin's, which are made with it; none on the live network, whose keys are in the inventory."""

    @property
    def key_file(self) -> Path:
        """The private SSH key of whoever runs the command; InputError where nobody logs in."""
        if self.key is None:
            raise InputError(NO_KEY)
        return self.key

    def reach(self, via: Via) -> Reach:
        """Return how devices are reached, for changes and read-back."""
        return Reach(self.intent, via, self.key, self.dialer_at, self.host_keys)

    def dialer_at(self, place: EquipmentName) -> Dialer:
        """Return what opens connections from a place (the administration station, a technician's laptop)."""
        return DirectDialer(str(place)) if self.lab is None else self.lab.dialer(place)

    def devices_of(self, sites: Collection[str] | None) -> tuple[EquipmentName, ...]:
        """Return the devices of some sites, all of them for none; InputError for a site that there is not."""
        unknown = sorted(set(sites or ()) - set(self.intent.site_by_name))
        if unknown:
            msg = f"no site {unknown[0]}; expected one of {', '.join(sorted(self.intent.site_by_name))}"
            raise InputError(msg)
        return tuple(device.name for device in self.intent.devices if not sites or device.name.site in sites)

    def default_via(self, sites: Collection[str] | None = None) -> Via:
        """Return `tunnel` once every one of the sites was applied and verified, `local` while nothing is."""
        wanted = {str(name) for name in sites} if sites else {str(site.name) for site in self.intent.sites}
        return Via.TUNNEL if wanted <= self._confirmed() else Via.LOCAL

    def confirm(self, sites: Collection[str]) -> None:
        """Remember that these sites run what was declared, so that the next change goes the real way."""
        file = self._confirmed_file()
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.with_suffix(".lock").open("w") as lock:  # sites of a wave are confirmed at the same time
            fcntl.flock(lock, fcntl.LOCK_EX)
            known = sorted(self._confirmed() | {str(site) for site in sites})
            file.write_text(json.dumps({"twin": self.life, "sites": known}) + "\n", encoding="utf-8")

    def _confirmed(self) -> set[str]:
        try:
            known = json.loads(self._confirmed_file().read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return set()
        return set(known["sites"]) if known.get("twin") == self.life else set()

    def _confirmed_file(self) -> Path:
        folder = self.workspace.state / "live" if self.lab is None else self.lab.folder.path
        return folder / "confirmed.json"

    @property
    def life(self) -> str | None:
        """What tells this life of the twin from the one before: it boots in its factory state."""
        return None if self.lab is None else self.lab.status().born


def open_session(
    workspace: Workspace,
    network: Network,
    lab_name: str,
    *,
    key: Path | None = None,
    role: str = ENGINEER,
    logs_in: bool = True,
) -> Session:
    """Return the session of a command; `key` is needed on the live network, where there is no key of the twin's.

    A session in which nobody logs in can ask devices for their host keys and no more: it needs no key, and a live
    network's devices may lack a pinned one. Raises IntentError, LabError when the twin is not up, InputError without a
    key.
    """
    intent = load(workspace, network if logs_in else Network.LAB)  # the live network's rule is that all are pinned
    if network is Network.LIVE:
        if key is None and logs_in:
            raise InputError(NO_KEY)
        return Session(workspace, network, intent, key, None, {})
    client = LabClient(workspace.root, lab_name)
    client.status()  # its error says what is the matter, and what to do about it
    folder = workspace.lab(Name(lab_name))
    credentials = kept(folder)
    if credentials is None:
        msg = f"{folder} holds no credentials; `cloison lab down` and `cloison lab up` make them"
        raise LabError(msg)
    keys = {name: host.ssh_fingerprint for name, host in credentials.hosts.items()}
    return Session(workspace, network, intent, key or folder / "keys" / role, client, keys)
