"""Every ordered pair of vantage points: what policy does not authorise between these two arrives nowhere."""

from collections.abc import Callable

import pytest

from cloison.probe.judge import Finding
from cloison.probe.question import Pair
from cloison.testing.survey import Survey


@pytest.mark.check(
    "packets/refused",
    title="nothing that policy does not authorise arrives",
    controls=("ANSSI-PA-72 R16", "ANSSI-PA-72 R23", "ANSSI-PA-72 R24"),
)
def test_nothing_else_arrives(pair: Pair, survey: Survey, conclude: Callable[[Finding], None]) -> None:
    """No packet from the one is heard at the other, but for the authorised ones."""
    conclude(survey.pair(pair))
