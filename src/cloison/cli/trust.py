"""The command trust: the host key that a device shows, beside the one that is pinned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from cloison.cli.app import app
from cloison.cli.declared import JsonOption, workspace_of
from cloison.cli.lab import DEFAULT_LAB, NameOption
from cloison.cli.running import NetworkOption, ViaOption, via_of

if TYPE_CHECKING:
    from ipaddress import IPv4Address

    from cloison.change.order import Via
    from cloison.device.access import HostKey
    from cloison.intent.pinning import Pinning
    from cloison.model import EquipmentName, HostKeyFingerprint
    from cloison.session import Session
    from cloison.workspace import Network

CONSOLE = "ssh-keygen -l -f /etc/ssh/ssh_host_ed25519_key.pub"
"""What prints the fingerprint on a device of the reference platform."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a device answered, beside what is pinned for it."""

    device: EquipmentName
    via: Via
    address: IPv4Address
    shown: HostKey
    pinned: HostKeyFingerprint | None
    pinning: Pinning | None
    """What pinning the key would change; None where it is pinned, and in a twin."""

    @property
    def equal(self) -> bool:
        """True when the device shows the pinned key."""
        return self.shown.fingerprint == self.pinned

    def document(self, *, written: bool) -> dict[str, object]:
        """Return the answer for `--json`."""
        return {
            "device": self.device,
            "address": str(self.address),
            "via": self.via.value,
            "shown": {"type": self.shown.kind, "fingerprint": self.shown.fingerprint},
            "pinned": self.pinned,
            "equal": self.equal,
            "file": self.pinning.file.as_posix() if self.pinning is not None else None,
            "diff": self.pinning.diff if self.pinning is not None else "",
            "written": written and self.pinning is not None,
        }


@app.command()
def trust(
    context: typer.Context,
    device: Annotated[str, typer.Argument(help="A device, <site>/<equipment>.")],
    *,
    write: Annotated[
        bool, typer.Option("--write", help="Pin the key that the device shows in inventory/sites/<site>.yaml.")
    ] = False,
    network: NetworkOption = None,
    via: ViaOption = None,
    name: NameOption = DEFAULT_LAB,
    as_json: JsonOption = False,
) -> None:
    """Show a device's host key beside the pinned one, and the change that would pin it. Nobody logs in."""
    from cloison.cli.output import print_json

    session = _session(context, network, name, write=write)
    asked = _asked(session, _device(session, device), via)
    if write and asked.pinning is not None:
        asked.pinning.write(session.workspace)
    if as_json:
        print_json(asked.document(written=write))
    else:
        _show(asked, written=write)
    raise typer.Exit(0 if asked.equal or write else 1)


def _session(context: typer.Context, network: Network | None, name: str, *, write: bool) -> Session:
    from cloison.errors import RefusedError
    from cloison.session import open_session
    from cloison.workspace import Network

    workspace = workspace_of(context)
    chosen = network or workspace.network
    if write and chosen is Network.LAB:
        msg = "--write: a twin's keys are made and pinned by `cloison lab up`; none of them belongs in the inventory"
        raise RefusedError(msg)
    return open_session(workspace, chosen, name, logs_in=False)


def _device(session: Session, given: str) -> EquipmentName:
    """Return the device of this name; InputError when there is none."""
    from cloison.errors import InputError
    from cloison.model import EquipmentName

    names = [str(device.name) for device in session.intent.devices]
    if given not in names:
        msg = f"{given} is not a device; expected one of {', '.join(names)}"
        raise InputError(msg)
    return EquipmentName(given)


def _asked(session: Session, device: EquipmentName, via: str | None) -> _Asked:
    way = via_of(session, via, [device.site])
    reach = session.reach(way)
    equipment = reach.equipment(device)
    shown, pinned = reach.shown_host_key(device), reach.pinned(equipment)
    wanted = shown.fingerprint != pinned and session.lab is None
    pinning = _pinning(session, device, shown) if wanted else None
    return _Asked(device, way, reach.address(equipment), shown, pinned, pinning)


def _pinning(session: Session, device: EquipmentName, shown: HostKey) -> Pinning:
    """Return what pinning the key changes; RefusedError when it is another device's."""
    from cloison.errors import RefusedError
    from cloison.intent.pinning import pin

    for other in session.intent.devices:
        if other.host_key == shown.fingerprint and other.name != device:
            msg = (
                f"{device} shows {shown.fingerprint}, which is pinned for {other.name}: one of the two is not what it "
                "is called; nothing was written"
            )
            raise RefusedError(msg)
    return pin(session.workspace, device, shown.fingerprint)


def _show(asked: _Asked, *, written: bool) -> None:
    from cloison.cli.output import print_untrusted, say
    from cloison.model import Untrusted

    say(f"{asked.device} at {asked.address}, via {asked.via}")
    say(f"  shown   {asked.shown.fingerprint} ({asked.shown.kind})")
    say(f"  pinned  {asked.pinned or 'nothing'}")
    if asked.equal:
        say("the device shows the pinned key", style="green")
        return
    say("NOT THE PINNED KEY" if asked.pinned else "NO KEY IS PINNED", style="red")
    if asked.pinning is None:
        say("A twin's keys are made and pinned with it: `cloison lab down` and `cloison lab up` make new ones.")
        return
    say(f"Compare it with what `{CONSOLE}` prints at the device's own console; only then pin it:")
    print_untrusted(Untrusted(asked.pinning.diff))
    say(f"written to {asked.pinning.file}" if written else f"next: cloison trust {asked.device} --write")
