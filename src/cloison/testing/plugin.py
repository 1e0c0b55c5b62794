"""Runs validators as checks: says what is planned, streams a verdict for each, says that it came to the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cloison.evidence.stream import PlannedCheck, StreamWriter
from cloison.flow import Outcome
from cloison.testing.checks import MARKER_LINE, Check, Course, check_of, outcome_of, reason_of
from cloison.testing.options import Settings
from cloison.testing.subjects import SUBJECTS
from cloison.workspace import Network

if TYPE_CHECKING:
    from collections.abc import Generator

    from cloison.intent.network import Intent

_COURSE = pytest.StashKey[Course]()
_TRACE_LIMIT = 2000


class ValidatorPlugin:
    """The hooks of one session."""

    def __init__(self, config: pytest.Config) -> None:
        from cloison.intent.load import load  # noqa: PLC0415  needed only from here on
        from cloison.workspace import find_workspace  # noqa: PLC0415

        self.settings = Settings.of(config)
        workspace = find_workspace(self.settings.root)
        self.intent: Intent = load(workspace, self.settings.network)
        self._writer: StreamWriter | None = None
        config.addinivalue_line("markers", MARKER_LINE)

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Give a validator that asks for a subject (a flow, a pair, a host…) each of them, by its stable name."""
        for name in set(metafunc.fixturenames) & set(SUBJECTS):
            subjects = SUBJECTS[name](self.intent)
            metafunc.parametrize(name, list(subjects.values()), ids=list(subjects), scope="session")

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Leave out validators that this network has no subject for; know every other one as its check."""
        items[:] = [item for item in items if not _has_no_subject(item)]
        taken: dict[str, str] = {}
        for item in items:
            check = check_of(item, twin=self.settings.network is Network.LAB)
            if check.id in taken:
                msg = f"{item.nodeid} and {taken[check.id]} are both the check {check.id}"
                raise pytest.UsageError(msg)
            taken[check.id] = item.nodeid
            item.stash[_COURSE] = Course(check)
        items[:] = [item for item in items if self.settings.chosen(self._check(item).id)]

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Say what is planned, before anything runs."""
        if any(_COURSE not in item.stash for item in session.items):
            return  # refused above; pytest says why
        checks = [self._check(item) for item in session.items]
        file = self.settings.open_results()
        if file is not None and not session.config.option.collectonly:
            self._writer = StreamWriter(file)
            self._writer.planned(tuple(PlannedCheck(check=check.id, title=check.title) for check in checks))

    @staticmethod
    def _check(item: pytest.Item) -> Check:
        return item.stash[_COURSE].check

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Take in how one phase of a validator ended."""
        report = yield
        course = item.stash[_COURSE]
        course.seconds += call.duration
        if report.outcome == "skipped" or hasattr(report, "wasxfail"):
            course.worsen(Outcome.ERROR, "a validator lets itself be left out; it must run or raise Undetermined")
        elif call.excinfo is not None:
            error = call.excinfo.value
            reason = reason_of(error, lambda: report.longreprtext[-_TRACE_LIMIT:])
            course.worsen(outcome_of(report.when, error), reason)
        if report.when == "teardown" and self._writer is not None:
            self._writer.result(course.verdict())
        return report

    def pytest_sessionfinish(self, exitstatus: int) -> None:
        """Say that the run came to its end; not when it was interrupted or broke."""
        if self._writer is not None:
            if exitstatus in {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED}:
                self._writer.end()
            self._writer.close()


def course_of(item: pytest.Item) -> Course:
    """Return what has become of a validator so far."""
    return item.stash[_COURSE]


def _has_no_subject(item: pytest.Item) -> bool:
    """Tell whether pytest marked the item to be skipped because its parameters are none."""
    return any("empty parameter set" in str(mark.kwargs.get("reason", "")) for mark in item.iter_markers("skip"))
