"""The pytest plugin that runs validators: inert unless `--network` is given."""

from __future__ import annotations

import pytest

from cloison.testing.options import add_options

__all__ = ["pytest_addoption", "pytest_configure"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of the plugin."""
    add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    """Register what runs validators, when a network is named to run them against."""
    if config.getoption("--network") is None:
        return
    # Imported late: every pytest of this environment loads the plugin, and few name a network.
    from cloison.errors import CloisonError  # noqa: PLC0415
    from cloison.testing import fixtures  # noqa: PLC0415
    from cloison.testing.plugin import ValidatorPlugin  # noqa: PLC0415

    try:
        plugin = ValidatorPlugin(config)
    except CloisonError as error:
        raise pytest.UsageError(str(error)) from error
    config.pluginmanager.register(plugin, "cloison-validators")
    config.pluginmanager.register(fixtures, "cloison-fixtures")
