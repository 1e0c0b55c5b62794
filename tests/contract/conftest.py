"""Devices to try the contract on: one in memory, and one of real daemons in namespaces that nothing else is in."""

from __future__ import annotations

import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cloison.desired import state_of
from cloison.device.contract import Device
from cloison.device.daemons import DaemonReader, DaemonWriter
from cloison.device.memory import MemoryDevice
from cloison.intent.load import load
from cloison.model import EquipmentName
from cloison.optics import Link, Module, encode, typical
from cloison.render import render
from cloison.render.config import Config, Section, SectionName
from cloison.transport.namespace import NamespaceRunner, Namespaces

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cloison.intent.network import Intent

ROOT = Path(__file__).parents[2]
FIREWALL = EquipmentName("roussy-le-village/firewall")
CORE_SWITCH = EquipmentName("roussy-le-village/core-switch")

NODE = r"""
set -e
mount -t tmpfs tmpfs /run
mkdir -p /run/openvswitch /run/lock /run/cloison/sfp /run/strongswan.d
mount -t tmpfs tmpfs /etc/swanctl
mkdir -p /etc/swanctl/conf.d /etc/swanctl/x509 /etc/swanctl/x509ca /etc/swanctl/private /etc/swanctl/x509crl
cp -a /etc/strongswan.d /run/strongswan.d/
mount --bind /run/strongswan.d/strongswan.d /etc/strongswan.d
printf 'kernel-libipsec {\n  load = yes\n}\n' >/etc/strongswan.d/charon/kernel-libipsec.conf
ip link set lo up
for port in p1 p2 p3 p4 p5 p6 p7 p8 sfp1 trunk wan0 local0; do
  ip link add "$port" type veth peer name "far-$port"
done
cat >/run/cloison/sfp/sfp1.eeprom
ovsdb-tool create /run/openvswitch/conf.db /usr/share/openvswitch/vswitch.ovsschema
ovsdb-server /run/openvswitch/conf.db --remote=punix:/run/openvswitch/db.sock --pidfile --detach --log-file=/run/db.log
ovs-vsctl --no-wait init
ovs-vswitchd --pidfile --detach --log-file=/run/vswitchd.log --disable-system
setsid /usr/sbin/charon-systemd >/run/charon.log 2>&1 &
until swanctl --stats >/dev/null 2>&1; do sleep 0.05; done
echo ready
exec sleep infinity
"""
APART = ("unshare", "--net", "--mount", "--pid", "--uts", "--ipc", "--fork", "--kill-child", "--mount-proc")

TUNNELS = """# two ends that never meet
connections {
	video {
		version = 2
		local_addrs = 192.0.2.2
		remote_addrs = 198.51.100.2
		proposals = aes256gcm16-prfsha384-ecp384
		dpd_delay = 5s
		reauth_time = 0
		rekey_time = 4h
		local {
			auth = psk
			id = here
		}
		remote {
			auth = psk
			id = there
		}
		children {
			video {
				local_ts = 10.56.1.48/28, 10.56.1.64/28
				remote_ts = 10.56.2.0/28
				esp_proposals = aes256gcm16-ecp384
				rekey_time = 1h
				start_action = none
				close_action = none
				dpd_action = clear
			}
		}
	}
}
"""
"""Accepted by a daemon that has no certificate."""


@dataclass
class Bench:
    """A device under test, what it is to be given, and whether real daemons run it."""

    device: Device
    candidate: Config
    real: bool
    runner: NamespaceRunner | None = None

    def run(self, *arguments: str) -> str:
        """Run a command on a real device behind Cloison's back; return its output."""
        assert self.runner is not None
        result = self.runner.run(arguments)
        assert result.exit_status == 0, result
        return result.text


@pytest.fixture(scope="session")
def intent() -> Intent:
    return load(ROOT)


def candidate_of(intent: Intent, name: EquipmentName) -> Config:
    """Return the pilot's configuration of a device, with tunnels that need no certificate."""
    config = render(state_of(intent, name), ROOT / "templates")
    return config.model_copy(
        update={
            "sections": tuple(
                Section(name=section.name, text=TUNNELS) if section.name is SectionName.TUNNELS else section
                for section in config.sections
            )
        }
    )


def an_image() -> bytes:
    """Return the image of the module at one end of the pilot's fibre."""
    link = Link(length=820, connectors=4, splices=2, transmitter="1000BASE-LX10", receiver="1000BASE-LX10")
    return encode(Module("CLOISON EMULATED", "1000BASE-LX10", "SFP-0002", 1310, 10_000), typical(link))


@pytest.fixture(scope="module")
def node() -> Iterator[NamespaceRunner]:
    process = subprocess.Popen(
        [*APART, "sh", "-c", NODE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(an_image())
        process.stdin.close()
        assert process.stdout.readline() == b"ready\n"
        (child,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        runner = NamespaceRunner("site/device", Namespaces.of_process(int(child)))
        yield runner
        runner.close()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    deadline = time.monotonic() + 5
    while Path(f"/proc/{child}").exists() and time.monotonic() < deadline:
        time.sleep(0.02)


@pytest.fixture(
    params=[
        "memory-firewall",
        "memory-switch",
        pytest.param("real-firewall", marks=pytest.mark.lab),
        pytest.param("real-switch", marks=pytest.mark.lab),
    ],
    scope="module",
)
def bench(request: pytest.FixtureRequest, intent: Intent) -> Bench:
    kind, role = request.param.split("-")
    candidate = candidate_of(intent, FIREWALL if role == "firewall" else CORE_SWITCH)
    if kind == "memory":
        return Bench(MemoryDevice(candidate.device, candidate.platform, candidate.names).open(), candidate, real=False)
    return real_bench(request.getfixturevalue("node"), candidate)


def real_bench(runner: NamespaceRunner, candidate: Config) -> Bench:
    """Return a bench of the daemons in a node."""
    reader = DaemonReader(runner, candidate.device, candidate.platform, candidate.names, 60.0)
    writer = DaemonWriter(runner, candidate.device, candidate.platform)
    return Bench(Device(reader, writer, close=lambda: None), candidate, real=True, runner=runner)


@pytest.fixture
def firewall(node: NamespaceRunner, intent: Intent) -> Bench:
    return real_bench(node, candidate_of(intent, FIREWALL))


@pytest.fixture
def switch(node: NamespaceRunner, intent: Intent) -> Bench:
    return real_bench(node, candidate_of(intent, CORE_SWITCH))
