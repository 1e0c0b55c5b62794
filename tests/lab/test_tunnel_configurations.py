"""The golden tunnels in real IKE daemons, as the twin starts them: they load, come up, and carry what they should."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import permutations
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from cloison.intent.load import load
from cloison.lab.configure.charon import TunnelTrust, charon
from cloison.model import HostName
from cloison.pki.authority import (
    Authority,
    Purpose,
    Subject,
    Validity,
    issue,
    make_revocation_list,
    make_root,
    make_subordinate,
)
from cloison.pki.encoding import certificate_pem, key_pem, new_key
from cloison.transport.base import CommandResult
from cloison.transport.local import LocalRunner

pytestmark = pytest.mark.lab

ROOT = Path(__file__).parents[2]
RENDERED = ROOT / "tests" / "golden" / "render"
PILOT = ("roussy-le-village", "crisis-cell", "operations-centre")
FIREWALLS = sorted(path.parents[1].name for path in RENDERED.glob("*/firewall/tunnels"))
SERIALS = {site: number for number, site in enumerate(FIREWALLS, 100)}

BEGIN = r"""
set -euo pipefail
mount -t tmpfs tmpfs /run
mkdir -p /run/netns
ip link set lo up
ip netns add wan
ip netns exec wan sysctl -qw net.ipv4.ip_forward=1
begin() { # site: a namespace with the addresses and routes of its firewall, and its IKE daemon
  local site=$1 address
  ip netns add "$site"
  sed 's/^sysctl .*//; /^$/d' "$ROOT/$site.interfaces" >/run/lines
  for link in $(sed -n 's/^link set dev \([^ ]*\).*/\1/p' /run/lines); do
    ip -n "$site" link add "$link" type veth peer name "far-$link"
    ip -n "$site" link set "far-$link" up
  done
  ip -n "$site" link set far-wan0 netns wan name "to-${site:0:8}"
  address=$(sed -n 's/^route replace default via \([^ ]*\) .*/\1/p' /run/lines)
  ip -n wan address add "$address/30" dev "to-${site:0:8}"
  ip -n wan link set "to-${site:0:8}" up
  ip -n "$site" link set lo up
  ip -n "$site" -batch /run/lines
  mkdir -p "/run/of/$site"
  ip netns exec "$site" unshare --mount bash -c "
    mount --bind $ROOT/$site/etc/swanctl /etc/swanctl
    mount --bind $ROOT/$site/etc/strongswan.conf /etc/strongswan.conf
    mount --bind /run/of/$site /run
    exec /usr/sbin/charon-systemd" >"$ROOT/$site.log" 2>&1 &
  until [ -S "/run/of/$site/charon.vici" ]; do kill -0 $!; sleep 0.05; done
}
swan() { # site, arguments
  local site=$1; shift
  SWANCTL_DIR=$ROOT/$site/etc/swanctl STRONGSWAN_CONF=$ROOT/$site/etc/strongswan.conf \
    timeout 20 swanctl "$@" --uri "unix:///run/of/$site/charon.vici"
}
installed() { # site, child: wait until it is, at most 8 s
  for _ in $(seq 80); do swan "$1" --list-sas --raw --child "$2" | grep -q state=INSTALLED && return; sleep 0.1; done
  return 1
}
"""


@dataclass(frozen=True)
class Identity:
    """What a firewall proves itself with, and whom it believes."""

    certificate: bytes
    key: bytes
    trust: TunnelTrust


@dataclass(frozen=True)
class Certificates:
    """What the daemons of the pilot are given, each with one thing changed or nothing."""

    root: Authority
    tunnel: Authority
    tls: Authority
    validity: Validity

    def identity(self, site: str, *, signer: Authority | None = None, revoked: Iterable[str] = ()) -> Identity:
        """Return what a firewall proves itself with; `signer` in place of the authority for tunnels."""
        key, name = new_key(), f"firewall.{site}"
        signed = issue(
            signer or self.tunnel,
            Subject(HostName(name)),
            key.public_key(),
            self.validity,
            serial=SERIALS.get(site, 99),
        )
        gone = [(SERIALS[other], self.validity.start) for other in revoked]
        lists = [
            make_revocation_list(authority, entries, self.validity, number=1).public_bytes(serialization.Encoding.PEM)
            for authority, entries in ((self.root, []), (self.tunnel, gone))
        ]
        trust = TunnelTrust(
            root=certificate_pem(self.root.certificate),
            authority=certificate_pem(self.tunnel.certificate),
            revocations=(lists[0], lists[1]),
        )
        return Identity(certificate_pem(signed), key_pem(key), trust)


@pytest.fixture(scope="module")
def certificates() -> Certificates:
    now = datetime.now(UTC).replace(microsecond=0)
    validity = Validity(now - timedelta(hours=1), now + timedelta(days=1))
    root = make_root("test", validity, serial=1)
    tunnel = make_subordinate(root, Purpose.TUNNEL, validity, serial=2)
    return Certificates(root, tunnel, make_subordinate(root, Purpose.TLS, validity, serial=3), validity)


def put(folder: Path, site: str, identity: Identity, tunnels: str | None = None) -> None:
    """Write what the twin gives to the firewall of a site, and its golden configuration."""
    given = charon(identity.trust)
    for made in given.folders:
        (folder / site / made.path.relative_to("/")).mkdir(parents=True, exist_ok=True)
    for file in given.files:
        path = folder / site / file.path.relative_to("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.content)
        path.chmod(file.mode)
    swanctl = folder / site / "etc/swanctl"
    (swanctl / f"x509/firewall.{site}.crt").write_bytes(identity.certificate)
    (swanctl / f"private/firewall.{site}.key").write_bytes(identity.key)
    golden = RENDERED / site / "firewall"
    (folder / site / "etc/swanctl/swanctl.conf").write_text(tunnels or (golden / "tunnels").read_text())
    (folder / f"{site}.interfaces").write_text((golden / "interfaces").read_text())


def run(folder: Path, script: str) -> CommandResult:
    """Run a script with the daemons, in namespaces of their own; nothing of it is left."""
    namespaces = ("unshare", "--net", "--mount", "--pid", "--mount-proc", "--fork", "--kill-child")
    return LocalRunner().run([*namespaces, "bash", "-c", f"ROOT={folder}\n{BEGIN}{script}"], timeout=120.0)


@pytest.mark.parametrize("site", FIREWALLS)
def test_tunnels_load_and_the_daemon_shows_their_selectors(
    tmp_path: Path, certificates: Certificates, site: str
) -> None:
    put(tmp_path, site, certificates.identity(site))
    result = run(tmp_path, f"begin {site}\nswan {site} --load-all >&2\nswan {site} --list-conns\n")
    assert result.exit_status == 0, result
    golden = (RENDERED / site / "firewall" / "tunnels").read_text()
    for side in ("local", "remote"):
        written = [line.split(", ") for line in re.findall(rf"^\t+{side}_ts = (.*)$", golden, re.MULTILINE)]
        shown = [line.split() for line in re.findall(rf"^    {side}: +(.*)$", result.text, re.MULTILINE)]
        assert sorted(map(sorted, shown)) == sorted(map(sorted, written))
    assert result.text.count("rekeying every 3600s or 100000000000 bytes") == golden.count("local_ts")


@pytest.mark.parametrize(
    ("good", "spoilt"),
    [
        ("proposals = aes256gcm16-prfsha384-ecp384", "proposals = aes256gcm16-prfsha384-ecp385"),
        ("rekey_time = 1h", "rekay_time = 1h"),
        ("local_ts = 10.56.1.0/27", "local_ts = 10.56.1.256/27"),
        ("certs = firewall", "certs = fierwall"),
        ("cacerts = tunnel.crt", "cacerts = tunel.crt"),
        ("start_action = start", "start_action = begin"),
        ("revocation = strict", "revocation = strikt"),
    ],
)
def test_spoilt_tunnel_is_refused(tmp_path: Path, certificates: Certificates, good: str, spoilt: str) -> None:
    site = PILOT[0]
    golden = (RENDERED / site / "firewall" / "tunnels").read_text()
    assert good in golden
    put(tmp_path, site, certificates.identity(site), golden.replace(good, spoilt, 1))
    result = run(tmp_path, f"begin {site}\nswan {site} --load-all || echo refused\n")
    assert result.exit_status == 0, result
    assert result.text.splitlines()[-1] == "refused"


def test_text_cut_short_shows_in_what_the_daemon_lists_alone(tmp_path: Path, certificates: Certificates) -> None:
    """Swanctl ends with status 0 on a text that it cannot parse, and loads nothing: only the listing tells."""
    site = PILOT[0]
    golden = (RENDERED / site / "firewall" / "tunnels").read_text()
    put(tmp_path, site, certificates.identity(site), golden.removesuffix("}\n"))
    result = run(tmp_path, f"begin {site}\nswan {site} --load-all >&2\nswan {site} --list-conns\n")
    assert (result.exit_status, result.stdout) == (0, b"")
    assert b"no connections found" in result.stderr


# --- the three firewalls of the pilot together -----------------------------------------------------------------------

TOGETHER = r"""
for site in operations-centre crisis-cell roussy-le-village; do begin $site; done
for site in operations-centre crisis-cell roussy-le-village; do swan $site --load-all >/dev/null 2>&1; done
"""


def pings(pairs: Iterable[tuple[str, str, str]]) -> str:
    """Return a script that pings every pair at once, each from its own address, and prints those that answered."""
    asked = "".join(
        f"ip netns exec {site} ping -q -c 1 -W 2 -I {source} {target} >/dev/null && echo {source} {target} &\n"
        for site, source, target in pairs
    )
    return f"(\n{asked}wait\n)\necho --\n"


def test_every_pair_of_selectors_passes_and_no_other_before_and_after_a_rekey(
    tmp_path: Path, certificates: Certificates
) -> None:
    intent = load(ROOT)
    gateways = [(segment.site, segment) for site in intent.sites for segment in site.segments]
    pairs, expected = [], set()
    for (site, one), (other_site, other) in permutations(gateways, 2):
        if site != other_site:
            pairs.append((str(site), str(one.gateway), str(other.gateway)))
            for ends in intent.tunnels:
                sides = (set(ends.initiator.selectors), set(ends.responder.selectors))
                if any(one.prefix in sides[n] and other.prefix in sides[1 - n] for n in (0, 1)):
                    expected.add(f"{one.gateway} {other.gateway}")
    for name in PILOT:
        put(tmp_path, name, certificates.identity(name))
    up = "".join(f"installed {t.initiator.firewall.site} {t.name}\n" for t in intent.tunnels)
    rekey = "".join(f"swan {t.initiator.firewall.site} --rekey --child {t.name} >/dev/null\n" for t in intent.tunnels)
    result = run(tmp_path, TOGETHER + up + pings(pairs) + rekey + up + pings(pairs) + f"swan {PILOT[0]} --list-sas\n")
    assert result.exit_status == 0, result
    before, after, negotiated = result.text.split("--\n", 2)
    assert len(pairs) > len(expected) > 20
    assert set(before.splitlines()) == expected
    assert set(after.splitlines()) == expected
    assert negotiated.count("INSTALLED, TUNNEL-in-UDP, ESP:AES_GCM_16-256/ECP_384") == 2
    assert negotiated.count("AES_GCM_16-256/PRF_HMAC_SHA2_384/ECP_384") == 2


@pytest.mark.parametrize(("case", "logged"), [("revoked", "certificate was revoked"), ("purpose", "constraint check")])
def test_firewall_without_a_good_certificate_gets_no_tunnel(
    tmp_path: Path, certificates: Certificates, case: str, logged: str
) -> None:
    """Its certificate is on the list, or signed by the authority for TLS; the tunnel of the two others comes up."""
    outcast = PILOT[0]
    revoked = (outcast,) if case == "revoked" else ()
    signer = certificates.tls if case == "purpose" else None
    for site in PILOT:
        put(tmp_path, site, certificates.identity(site, signer=signer if site == outcast else None, revoked=revoked))
    if case == "purpose":
        authority = certificate_pem(certificates.tls.certificate)
        for site in PILOT:
            (tmp_path / site / "etc/swanctl/x509ca/tls.crt").write_bytes(authority)
            lists = make_revocation_list(certificates.tls, [], certificates.validity, number=1)
            (tmp_path / site / "etc/swanctl/x509crl/tls.crl").write_bytes(
                lists.public_bytes(serialization.Encoding.PEM)
            )
    result = run(
        tmp_path,
        TOGETHER
        + "installed crisis-cell administration-crisis-cell--operations-centre\n"
        + f"until grep -q 'AUTH_FAILED' $ROOT/{outcast}.log; do sleep 0.1; done\n"
        + f"swan {outcast} --list-sas --raw\n",
    )
    assert result.exit_status == 0, result
    assert "INSTALLED" not in result.text
    assert logged in (tmp_path / "operations-centre.log").read_text()
