"""The pytest fixture ``smart_flows_server``, loaded by pytest's entry point.

It comes with the package into every pytest run of every user. Invariant: importing this module imports
nothing but pytest; the server is imported when a test asks for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from smartflows_provider.devserver.server import DevServer


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the option ``smart_flows_dir``."""
    parser.addini(
        "smart_flows_dir",
        "Folder of <name>/flow.yaml that the fixture smart_flows_server serves, relative to the "
        "configuration file. Default: the flows that come with the package.",
        default="",
    )


@pytest.fixture(scope="session")
def smart_flows_directory(pytestconfig: pytest.Config) -> Path | None:
    """Return the folder of flows that ``smart_flows_server`` serves; override it to choose another."""
    folder = pytestconfig.getini("smart_flows_dir")
    return pytestconfig.rootpath / folder if folder else None


@pytest.fixture(scope="session")
def _smart_flows_server_lacks() -> list[str]:
    """Look once for what the server needs: reading the metadata takes as long as starting it."""
    from smartflows_provider.extras import missing

    return missing("devserver")


@pytest.fixture
def smart_flows_server(
    smart_flows_directory: Path | None, tmp_path: Path, _smart_flows_server_lacks: list[str]
) -> Iterator[DevServer]:
    """
    Serve Smart Flows on a free port of the loopback, anew for each test.

    The flows are those of the option ``smart_flows_dir`` (or of an overridden fixture
    ``smart_flows_directory``), else those that come with the package; ``add_flow`` adds more. Set
    ``AIRFLOW_CONN_SMARTFLOWS_DEFAULT`` to ``connection_json()`` to let a DAG use it.
    """
    if _smart_flows_server_lacks:
        from smartflows_provider.extras import how_to_install

        lacking = ", ".join(_smart_flows_server_lacks)
        pytest.fail(
            f"the fixture smart_flows_server needs {lacking}. {how_to_install('devserver')}", pytrace=False
        )
    from smartflows_provider.devserver.server import running_server

    with running_server(flows=smart_flows_directory, state=tmp_path / "smart_flows.sqlite") as server:
        yield server
