"""What every guard of a device promises: the one in memory, the script with a ticker, and with a real systemd."""

from __future__ import annotations

import dataclasses
import itertools
from typing import TYPE_CHECKING

import pytest
from tests.contract.guarded_devices import GuardedDevice, in_memory
from tests.contract.guarded_nodes import Node, interfaces_text, switch_text

from cloison.device.guard import GRACE_SECONDS, Cause, GuardState, Lease, LeaseError, TokenError, TransactionState
from cloison.device.job import Job, Load
from cloison.errors import DeviceError
from cloison.render.config import SectionName

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SWITCH, INTERFACES = SectionName.SWITCH, SectionName.INTERFACES
OLD = {SWITCH: switch_text(10), INTERFACES: interfaces_text(1)}
NEW = {SWITCH: switch_text(20), INTERFACES: interfaces_text(2)}
REFUSED = "refuse this\n"
TOKENS = (f"20261124t203000z-{number:04x}-0123456789ab" for number in itertools.count())
UNDER_WAY = {TransactionState.ARMED, TransactionState.REVERTING}


def loads(texts: dict[SectionName, str], instead_of: dict[SectionName, str]) -> tuple[Load, ...]:
    """Return the loads of both sections; what interfaces take away is the address of the other text."""
    gone = [line.split()[2] for line in instead_of[INTERFACES].splitlines() if line.startswith("address")]
    removals = "".join(f"ip address delete {address} dev p2\n" for address in gone)
    return Load(SWITCH, texts[SWITCH]), Load(INTERFACES, texts[INTERFACES], removals)


def job_of(token: str, deadline: int = 60) -> Job:
    """Return the job that makes a device that runs OLD run NEW."""
    return Job(token, deadline, (loads(NEW, OLD),), loads(OLD, NEW), loads(NEW, {INTERFACES: ""}))


def lease_of(token: str, seconds: float = 30.0, owner: str = "an engineer@here") -> Lease:
    return Lease(token=token, owner=owner, plan="0123456789ab", seconds=seconds)


def settle(device: GuardedDevice) -> str:
    """Make a device run OLD, and boot with it; return the token of the transaction that did."""
    token = next(TOKENS)
    device.guard.lease(lease_of(token))
    device.guard.arm(Job(token, 60, (loads(OLD, NEW),), loads(OLD, NEW), loads(OLD, {INTERFACES: ""})))
    assert device.guard.confirm(token).state is TransactionState.CONFIRMED
    return token


@pytest.fixture(scope="module")
def nodes() -> Iterator[Callable[[str], Node]]:
    made: dict[str, Node] = {}

    def node(timer: str) -> Node:
        if timer not in made:
            made[timer] = Node(timer)
        return made[timer]

    yield node
    for one in made.values():
        one.close()


@pytest.fixture(
    params=["memory", pytest.param("ticker", marks=pytest.mark.lab), pytest.param("systemd", marks=pytest.mark.lab)]
)
def device(request: pytest.FixtureRequest, nodes: Callable[[str], Node]) -> Iterator[GuardedDevice]:
    """A device that runs OLD, has booted with it, and has no lease."""
    if request.param == "memory":
        yield in_memory(OLD)
        return
    node = nodes(request.param)
    if node.running() != OLD or node.guard.state().startup != node.settled:
        node.settled = settle(node)
    yield node
    node.free_disk()
    state = node.guard.state()
    if not state.timer_alive:
        node.reboot()
    elif state.state in UNDER_WAY:
        node.guard.revert(state.token)
    if state.lease is not None:
        node.guard.release(state.lease.token)


@pytest.fixture
def token() -> str:
    return next(TOKENS)


def armed(device: GuardedDevice, token: str, deadline: int = 60) -> GuardState:
    device.guard.lease(lease_of(token))
    return device.guard.arm(job_of(token, deadline))


def gone_back(device: GuardedDevice, seconds: float) -> GuardState:
    """Return the state once nothing is under way, within so many seconds of the device's time."""
    for _ in range(int(seconds / 0.1)):
        state = device.guard.state()
        if state.state not in UNDER_WAY:
            return state
        device.wait(0.1)
    return device.guard.state()


# --- armed and applied as one ---------------------------------------------------------------------------------------


def test_arming_applies_and_says_when_it_would_go_back(device: GuardedDevice, token: str) -> None:
    state = armed(device, token)
    assert (state.state, state.token, state.step, state.busy) == (TransactionState.ARMED, token, 1, False)
    assert state.timer_alive
    assert 30 < state.remaining <= 60
    assert device.running() == NEW
    assert state.startup != token


def test_arming_again_applies_nothing(device: GuardedDevice, token: str) -> None:
    armed(device, token)
    device.edit(INTERFACES, interfaces_text(9))
    before = device.running()
    again = device.guard.arm(job_of(token))
    assert (again.state, again.token, again.step) == (TransactionState.ARMED, token, 1)
    assert device.running() == before
    device.edit(INTERFACES, NEW[INTERFACES])


def test_without_the_lease_nothing_is_armed(device: GuardedDevice, token: str) -> None:
    with pytest.raises(LeaseError):
        device.guard.arm(job_of(token))
    assert device.running() == OLD
    assert device.guard.state().token != token


def test_a_second_transaction_is_refused_while_one_is_pending(device: GuardedDevice, token: str) -> None:
    armed(device, token)
    other = next(TOKENS)
    with pytest.raises((LeaseError, TokenError)):
        device.guard.arm(job_of(other))
    for call in (device.guard.confirm, device.guard.revert):
        with pytest.raises(TokenError):
            call(other)
    assert device.guard.state().token == token


def test_without_a_dead_man_nothing_is_armed(device: GuardedDevice, token: str) -> None:
    if isinstance(device, Node) and device.timer == "systemd":
        device.shell("mv /run/cloison/booted /run/cloison/booted.away")  # as where the loader has not run
    else:
        device.kill_timer()
    assert not device.guard.state().timer_alive
    device.guard.lease(lease_of(token))
    with pytest.raises(DeviceError, match="dead-man"):
        device.guard.arm(job_of(token))
    assert device.running() == OLD
    assert device.guard.state().token != token


def test_a_dead_man_that_dies_later_is_seen(device: GuardedDevice, token: str) -> None:
    armed(device, token)
    device.kill_timer()
    assert not device.guard.state().timer_alive


# --- the lease ------------------------------------------------------------------------------------------------------


def test_the_lease_belongs_to_one(device: GuardedDevice, token: str) -> None:
    device.guard.lease(lease_of(token, owner="the first@here"))
    with pytest.raises(LeaseError, match="the first@here is changing it") as caught:
        device.guard.lease(lease_of(next(TOKENS)))
    assert caught.value.lease is not None
    assert caught.value.lease.token == token
    device.guard.lease(lease_of(token, 60.0))
    lease = device.guard.state().lease
    assert lease is not None
    assert (lease.token, lease.plan) == (token, "0123456789ab")
    assert 30 < lease.seconds <= 60


def test_a_lease_that_is_given_up_is_free(device: GuardedDevice, token: str) -> None:
    other = next(TOKENS)
    device.guard.lease(lease_of(token))
    device.guard.release(other)
    with pytest.raises(LeaseError):
        device.guard.lease(lease_of(other))
    device.guard.release(token)
    assert device.guard.state().lease is None
    device.guard.lease(lease_of(other))


def test_a_lease_ends_by_itself(device: GuardedDevice, token: str) -> None:
    device.guard.lease(lease_of(token, 1.0))
    device.wait(1.1)
    assert device.guard.state().lease is None
    with pytest.raises(LeaseError):
        device.guard.arm(job_of(token))


def test_a_lease_lives_as_long_as_what_is_pending(device: GuardedDevice, token: str) -> None:
    device.guard.lease(lease_of(token, 1.0))
    device.guard.arm(job_of(token))
    device.wait(1.1)
    device.guard.release(token)
    with pytest.raises(LeaseError):
        device.guard.lease(lease_of(next(TOKENS)))
    device.guard.revert(token)
    assert device.guard.state().lease is None


# --- decided --------------------------------------------------------------------------------------------------------


def test_a_confirmed_change_stays_and_is_what_the_device_boots_with(device: GuardedDevice, token: str) -> None:
    armed(device, token)
    confirmed = device.guard.confirm(token)
    assert (confirmed.state, confirmed.token, confirmed.startup) == (TransactionState.CONFIRMED, token, token)
    assert confirmed.lease is None
    boot = confirmed.boot
    device.reboot()
    state = device.guard.state()
    assert (state.state, state.token, state.startup) == (TransactionState.CONFIRMED, token, token)
    assert state.boot != boot
    assert device.running() == NEW


def test_confirming_again_says_the_same(device: GuardedDevice, token: str) -> None:
    armed(device, token)
    first = device.guard.confirm(token)
    again = device.guard.confirm(token)
    assert dataclasses.replace(again, remaining=first.remaining) == first
    with pytest.raises(TokenError):
        device.guard.revert(token)
    asked = device.guard.arm(job_of(token))
    assert (asked.state, asked.token) == (TransactionState.CONFIRMED, token)
    assert device.running() == NEW


def test_what_was_never_armed_cannot_be_confirmed(device: GuardedDevice, token: str) -> None:
    with pytest.raises(TokenError):
        device.guard.confirm(token)
    device.guard.lease(lease_of(token))
    with pytest.raises(TokenError):
        device.guard.confirm(token)


# --- back -----------------------------------------------------------------------------------------------------------


def test_a_change_that_nobody_confirms_goes_back_in_time(device: GuardedDevice, token: str) -> None:
    remaining = armed(device, token, deadline=3).remaining
    state = gone_back(device, remaining + GRACE_SECONDS)
    assert (state.state, state.cause, state.token) == (TransactionState.REVERTED, Cause.DEADLINE, token)
    assert device.running() == OLD
    assert state.lease is None
    with pytest.raises(TokenError):
        device.guard.confirm(token)
    assert device.running() == OLD
    again = device.guard.arm(job_of(token))
    assert (again.state, again.token) == (TransactionState.REVERTED, token)


def test_a_change_goes_back_when_it_is_told_to(device: GuardedDevice, token: str) -> None:
    armed(device, token)
    state = device.guard.revert(token)
    assert (state.state, state.cause, state.lease) == (TransactionState.REVERTED, Cause.ORDER, None)
    assert device.running() == OLD
    assert device.guard.revert(token).state is TransactionState.REVERTED
    with pytest.raises(TokenError):
        device.guard.confirm(token)


@pytest.mark.parametrize("refused", [SWITCH, INTERFACES])
def test_a_refused_section_goes_back_at_once(device: GuardedDevice, token: str, refused: SectionName) -> None:
    job = job_of(token)
    spoilt = tuple(Load(refused, REFUSED) if load.section is refused else load for load in job.steps[0])
    device.guard.lease(lease_of(token))
    state = device.guard.arm(dataclasses.replace(job, steps=(spoilt,)))
    assert (state.state, state.cause) == (TransactionState.REVERTED, Cause.REFUSED)
    assert f"section {refused} is refused: " in state.detail
    assert device.running() == OLD
    with pytest.raises(TokenError):
        device.guard.confirm(token)


def test_what_differs_after_going_back_is_named(device: GuardedDevice, token: str) -> None:
    armed(device, token)
    device.edit(INTERFACES, interfaces_text(9))
    state = device.guard.revert(token)
    if state.state is TransactionState.REVERTED:  # one that knows of nothing but whole sections has put it right
        assert device.running() == OLD
        return
    assert state.state is TransactionState.REVERTED_DIFFERS
    assert "differs: interfaces" in state.detail
    assert "10.0.9.1" in device.running()[INTERFACES]
    device.edit(INTERFACES, OLD[INTERFACES])


def test_a_boot_drops_what_is_pending(device: GuardedDevice, token: str) -> None:
    boot = armed(device, token).boot
    device.reboot()
    state = device.guard.state()
    assert (state.state, state.cause, state.token) == (TransactionState.REVERTED, Cause.BOOT, token)
    assert (state.lease, state.timer_alive) == (None, True)
    assert state.boot != boot
    assert device.running() == OLD
    with pytest.raises(TokenError):
        device.guard.confirm(token)


# --- further steps --------------------------------------------------------------------------------------------------


def in_two_steps(token: str) -> Job:
    switch, interfaces = loads(NEW, OLD)
    return dataclasses.replace(job_of(token), steps=((switch,), (interfaces,)))


def test_steps_are_applied_one_after_the_other(device: GuardedDevice, token: str) -> None:
    device.guard.lease(lease_of(token))
    assert device.guard.arm(in_two_steps(token)).step == 1
    assert device.running() == {SWITCH: NEW[SWITCH], INTERFACES: OLD[INTERFACES]}
    with pytest.raises(DeviceError):
        device.guard.step(token, 3)
    with pytest.raises(TokenError):
        device.guard.step(next(TOKENS), 2)
    state = device.guard.step(token, 2)
    assert (state.state, state.step) == (TransactionState.ARMED, 2)
    assert device.running() == NEW
    assert device.guard.step(token, 2).step == 2
    assert device.guard.confirm(token).step == 2


def test_going_back_from_a_middle_step(device: GuardedDevice, token: str) -> None:
    device.guard.lease(lease_of(token))
    device.guard.arm(in_two_steps(token))
    assert device.guard.revert(token).state is TransactionState.REVERTED
    assert device.running() == OLD


def test_a_further_step_without_the_token_is_refused(device: GuardedDevice, token: str) -> None:
    with pytest.raises(TokenError):
        device.guard.step(token, 1)
    with pytest.raises(TokenError):
        device.guard.forget(token, ("-p tcp --dport 1",))
    armed(device, token)
    device.guard.forget(token, ("-p tcp --dport 1",))
    device.guard.revert(token)
    with pytest.raises(TokenError):
        device.guard.forget(token, ("-p tcp --dport 1",))
    assert device.running() == OLD


# --- a full disk ----------------------------------------------------------------------------------------------------


def test_nothing_is_armed_that_cannot_be_kept(device: GuardedDevice, token: str) -> None:
    device.guard.lease(lease_of(token))
    device.fill_disk()
    with pytest.raises(DeviceError):
        device.guard.arm(job_of(token))
    assert device.running() == OLD
    assert device.guard.state().token != token


def test_nothing_is_confirmed_that_cannot_be_kept_and_it_goes_back(device: GuardedDevice, token: str) -> None:
    armed(device, token, deadline=6)
    device.fill_disk()
    with pytest.raises(DeviceError):
        device.guard.confirm(token)
    state = gone_back(device, 6 + GRACE_SECONDS)
    assert (state.state, state.cause) == (TransactionState.REVERTED, Cause.DEADLINE)
    assert device.running() == OLD
