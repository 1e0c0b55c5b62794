"""The script that guards a change on a device, beyond what every guard promises: kills, races, broken jobs, boots."""

from __future__ import annotations

import dataclasses
import itertools
import random
import re
import shutil
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
from tests.contract.guarded_nodes import SCRIPT_FILE, Node, interfaces_text, kill_group, switch_text

from cloison.device.agent import SCRIPT, script_sha256
from cloison.device.guard import GRACE_SECONDS, Cause, Lease, Timer, TokenError, TransactionState
from cloison.device.job import Job, Load
from cloison.errors import DeviceError
from cloison.render.config import SectionName

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cloison.device.guard import GuardState

TOKENS = (f"20261124t213000z-{number:04x}-0123456789ab" for number in itertools.count())
OLD, NEW = (switch_text(10), interfaces_text(1)), (switch_text(20), interfaces_text(2))
UNDER_WAY = {TransactionState.ARMED, TransactionState.REVERTING}
RACES = 200
KILLS = 30
NODES = 5
"""How many devices are tried at once."""


def loads(texts: tuple[str, str], address_gone: str = "") -> tuple[Load, ...]:
    removals = f"ip address delete {address_gone} dev p2\n" if address_gone else ""
    return Load(SectionName.SWITCH, texts[0]), Load(SectionName.INTERFACES, texts[1], removals)


def job_of(token: str, deadline: int = 60) -> Job:
    return Job(token, deadline, (loads(NEW, "10.0.1.1/24"),), loads(OLD, "10.0.2.1/24"), startup=loads(NEW, ""))


def lease(node: Node, token: str) -> None:
    node.guard.lease(Lease(token, "an engineer@here", "0123456789ab", 60.0))


def settle(node: Node) -> str:
    token = next(TOKENS)
    lease(node, token)
    node.guard.arm(Job(token, 60, (loads(OLD, "10.0.2.1/24"),), loads(OLD), loads(OLD)))
    assert node.guard.confirm(token).state is TransactionState.CONFIRMED
    return token


def settled(node: Node, seconds: float) -> GuardState:
    """Return the state once nothing is under way."""
    deadline = time.monotonic() + seconds
    while (state := node.guard.state()).state in UNDER_WAY and time.monotonic() < deadline:
        time.sleep(0.1)
    return state


def texts(node: Node) -> tuple[str, str]:
    running = node.running()
    return running[SectionName.SWITCH], running[SectionName.INTERFACES]


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    with Node("ticker") as made:
        settle(made)
        yield made


@pytest.mark.parametrize("check", [("dash", "-n"), ("shellcheck", "-s", "dash")], ids=lambda check: check[0])
def test_the_script_is_plain_sh(check: tuple[str, ...]) -> None:
    if shutil.which(check[0]) is None:
        assert check[0] == "shellcheck"  # what reads scripts more strictly is not on every machine
        return
    result = subprocess.run([*check, str(SCRIPT_FILE)], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_the_script_evaluates_nothing() -> None:
    code = [line.partition(" # ")[0] for line in SCRIPT_FILE.read_text().splitlines() if not line.startswith("#")]
    assert [line for line in code if re.search(r"\b(eval|date)\b", line)] == []  # no wall clock either


@pytest.mark.lab
def test_the_state_names_the_script_and_the_timer(node: Node) -> None:
    state = node.guard.state()
    assert (state.script, state.timer, state.timer_alive) == (script_sha256(), Timer.TICKER, True)


@pytest.mark.lab
@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"tag=20", b"tag=21"),
        (b"end\n", b""),
        (b"file step1.00.switch", b"file ../step1.00.switch"),
        (b"file step1.00.switch", b"file step1.00.passwd"),
        (b"file step1.00.switch", b"file settings"),
        (b"job 2", b"job ../2"),
        (b" 60 1 ", b" 0 1 "),
        (b"file step1.00.switch ", b"file step1.00.switch 9"),
        (b"job ", b"jobs "),
    ],
    ids=str,
)
def test_a_job_that_is_not_what_it_says_is_refused(node: Node, before: bytes, after: bytes) -> None:
    token = next(TOKENS)
    lease(node, token)
    sent = job_of(token).encode()
    assert before in sent
    result = node.runner.run([SCRIPT, "arm"], stdin=sent.replace(before, after, 1))
    assert result.exit_status == 12, result
    assert result.stdout == b""
    assert texts(node) == OLD
    assert node.guard.state().token != token
    assert node.shell("ls /var/lib/cloison").split() == ["startup"]
    node.guard.release(token)


@pytest.mark.lab
def test_a_dead_ticker_comes_back(node: Node) -> None:
    dead = node.kill_ticker()
    deadline = time.monotonic() + GRACE_SECONDS
    while not node.guard.state().timer_alive and time.monotonic() < deadline:
        time.sleep(0.05)
    assert node.guard.state().timer_alive
    assert node.shell("cut -d ' ' -f 1 /run/cloison/ticker").strip() != dead


@pytest.mark.lab
def test_it_goes_back_although_the_ticker_dies_again_and_again(node: Node) -> None:
    token = next(TOKENS)
    lease(node, token)
    node.guard.arm(job_of(token, 2))
    for _ in range(6):
        node.kill_ticker()
        node.wait(0.5)
    state = settled(node, GRACE_SECONDS)
    assert (state.state, state.cause) == (TransactionState.REVERTED, Cause.DEADLINE)
    assert texts(node) == OLD


@pytest.mark.lab
def test_what_is_not_touched_is_not_loaded_to_go_back(node: Node) -> None:
    token = next(TOKENS)
    lease(node, token)
    port = node.shell("ovs-vsctl get port p1 _uuid")
    node.guard.arm(dataclasses.replace(job_of(token), steps=(loads(NEW, "10.0.1.1/24")[1:],)))
    assert node.guard.revert(token).state is TransactionState.REVERTED
    assert texts(node) == OLD
    assert node.shell("ovs-vsctl get port p1 _uuid") == port


@pytest.mark.lab
def test_foreign_rows_do_not_count_as_a_difference(node: Node) -> None:
    node.shell("ovs-vsctl -- --id=@m create mirror name=spy select_all=true -- set bridge br0 mirrors=@m")
    token = next(TOKENS)
    lease(node, token)
    node.guard.arm(job_of(token))
    assert node.guard.revert(token).state is TransactionState.REVERTED
    assert node.shell("ovs-vsctl list mirror") == ""


@pytest.mark.lab
def test_a_broken_transaction_is_reported_and_left_alone(node: Node) -> None:
    node.shell("mkdir /var/lib/cloison/armed")
    with pytest.raises(DeviceError, match="armed cannot be read"):
        node.guard.state()
    node.wait(1.0)
    assert node.shell("ls -d /var/lib/cloison/armed")
    node.shell("rmdir /var/lib/cloison/armed")


@pytest.mark.lab
def test_a_damaged_startup_is_not_loaded() -> None:
    with Node("ticker") as node:
        settle(node)
        node.shell("echo nonsense >>/var/lib/cloison/startup/boot.01.interfaces")
        node.reboot()
        assert "not loaded" in node.shell("cat /run/loader.log")
        assert texts(node)[1] == ""


@pytest.mark.lab
def test_a_device_that_never_confirmed_boots_with_what_it_had_before() -> None:
    with Node("ticker") as node:
        token = next(TOKENS)
        lease(node, token)
        node.shell("ovs-vsctl add-br br0 -- set bridge br0 datapath_type=netdev -- add-port br0 p1 tag=10")
        node.edit(SectionName.INTERFACES, OLD[1])
        node.guard.arm(job_of(token))
        node.reboot()
        state = node.guard.state()
        assert (state.token, state.cause, state.startup) == (token, Cause.BOOT, "")
        assert texts(node) == OLD


@pytest.mark.lab
def test_a_confirm_that_is_killed_is_finished_by_a_boot() -> None:
    with Node("ticker") as node:
        settle(node)
        token = next(TOKENS)
        lease(node, token)
        node.guard.arm(job_of(token))
        node.shell("kill -STOP $(cat /run/supervisor) $(cut -d ' ' -f 1 /run/cloison/ticker)")
        node.shell("mv -T /var/lib/cloison/armed /var/lib/cloison/decided")  # and no more than that
        assert node.guard.state().state is TransactionState.CONFIRMED
        node.reboot()
        assert (node.guard.state().startup, node.guard.state().state) == (token, TransactionState.CONFIRMED)
        assert texts(node) == NEW


def _races(node: Node, count: int, seed: int) -> list[TransactionState]:
    """Confirm about when the deadline is, again and again; return who won."""
    chance, ends = random.Random(seed), []  # noqa: S311  moments, no secrets
    for _ in range(count):
        token = next(TOKENS)
        lease(node, token)
        remaining = node.guard.arm(Job(token, 1, ((),), (), ())).remaining
        time.sleep(max(0.0, remaining + chance.uniform(-0.15, 0.5)))
        try:
            confirmed = node.guard.confirm(token).state is TransactionState.CONFIRMED
        except TokenError:
            confirmed = False
        state = settled(node, GRACE_SECONDS)
        assert state.token == token
        assert (state.state is TransactionState.CONFIRMED, state.startup == token) == (confirmed, confirmed)
        assert confirmed or (state.state, state.cause) == (TransactionState.REVERTED, Cause.DEADLINE)
        ends.append(state.state)
    return ends


@pytest.mark.lab
def test_of_a_confirm_and_a_deadline_exactly_one_wins() -> None:
    with ExitStack() as alive, ThreadPoolExecutor(4 * NODES) as pool:
        nodes = [alive.enter_context(one) for one in pool.map(Node, ["ticker"] * 4 * NODES)]
        count = RACES // len(nodes)
        ends = [end for found in pool.map(_races, nodes, [count] * len(nodes), range(len(nodes))) for end in found]
    assert len(ends) == RACES
    assert set(ends) == {TransactionState.CONFIRMED, TransactionState.REVERTED}


def _killed(node: Node, count: int, seed: int) -> None:
    """Kill what asks, what loads, or both, at random moments; the device must then run the old or the new, whole."""
    chance = random.Random(seed)  # noqa: S311  moments, no secrets
    settle(node)
    for _ in range(count):
        token, runs = next(TOKENS), OLD
        lease(node, token)
        verb = chance.choice(["arm", "arm", "confirm", "revert"])
        if verb == "arm":
            process = node.start("arm", stdin=job_of(token, 2).encode())
        else:
            node.guard.arm(job_of(token, 2))
            process = node.start(verb, token)
        time.sleep(chance.uniform(0.0, 0.4))
        if chance.random() < 0.6:
            node.kill_load()
        kill_group(process)
        state = settled(node, 2 + 2 * GRACE_SECONDS)
        assert state.state not in UNDER_WAY, state
        if state.token == token and state.state is TransactionState.CONFIRMED:
            assert state.startup == token
            runs = NEW
        assert state.state is not TransactionState.REVERTED_DIFFERS, state
        assert texts(node) == runs, (verb, state)
        if runs == NEW:
            settle(node)
        node.guard.release(token)


@pytest.mark.lab
def test_kills_at_random_moments_leave_the_old_or_the_new() -> None:
    with ExitStack() as alive, ThreadPoolExecutor(NODES) as pool:
        nodes = [alive.enter_context(one) for one in pool.map(Node, ["ticker"] * NODES)]
        list(pool.map(_killed, nodes, [KILLS // NODES] * NODES, range(NODES)))
