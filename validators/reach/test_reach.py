"""Every authorised flow: its first packet arrives, and its source can use it."""

from collections.abc import Callable

import pytest

from cloison.flow import Flow
from cloison.probe.judge import Finding
from cloison.testing.survey import Survey


@pytest.mark.check("reach/delivered", title="an authorised flow is delivered")
def test_flow_is_delivered(flow: Flow, survey: Survey, conclude: Callable[[Finding], None]) -> None:
    """The first packet of the flow is heard at its destination, and its source can use the service."""
    conclude(survey.flow(flow))
