"""Which tests run on every Airflow, in layers, and why the others do not.

Invariant: a test file is in one layer or in :data:`LEFT_OUT`, by where it is; so new ones are in without
being named. Tests that are marked `full` run on the newest Airflow only.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Final, Literal, get_args

Layer = Literal["unit", "contract", "dag"]
LAYERS: Final[tuple[Layer, ...]] = get_args(Layer)
QUICK: Final = "quick"
"""In place of layers: a part of them that takes a minute, for every change."""

NO_AIRFLOW = "of a room that knows no Airflow, which `make check` holds"
NO_PACKAGE = "of the repository, not of the package"
LEFT_OUT: Final = {
    "tests/wire/": NO_AIRFLOW,
    "tests/waiting/": NO_AIRFLOW,
    "tests/transport/": NO_AIRFLOW,
    "tests/payload/": NO_AIRFLOW,
    "tests/output/": NO_AIRFLOW,
    "tests/devserver/": NO_AIRFLOW,
    "tests/hostile/": NO_AIRFLOW,
    "tests/fuzz/": NO_AIRFLOW,
    "tests/lifecycle/test_run_life_machine.py": "walks through a model of Airflow of its own, for long",
    "tests/test_parse_cost.py": "says what the newest Airflow loads at a DAG parse",
    "tests/benchmarks/": NO_PACKAGE,
    "tests/demo/": NO_PACKAGE,
    "tests/docs/": NO_PACKAGE,
    "tests/packaging/": NO_PACKAGE,
    "tests/test_example_parse_cost.py": NO_PACKAGE,
    "tests/matrix/": NO_PACKAGE,
    "tests/test_documentation.py": NO_PACKAGE,
    "tests/e2e/": "runs Airflow's components; `make faults AIRFLOW=…` does that on another version",
    "tests/faults/": "the same",
    "tests/ui/": "the same",
}
"""What runs on the newest Airflow only, with the reason; folders end in a slash."""

WHOLE_DAGS: Final = (
    "tests/dags/",
    "tests/decorators/test_smart_flow_dags.py",
    "tests/notifications/test_notifier_dags.py",
    "tests/sensors/test_sensor_dags.py",
)
"""Where whole DAGs run in the test's own process, which loads much of Airflow's server for the first one."""

CONTRACT: Final = (
    "tests/conformance/",
    "tests/complaints/",
    "tests/hooks/test_contract_profiles.py",
    "tests/test_modes_alike.py",
    "tests/test_process_modes_alike.py",
    "tests/test_worker_processes_alike.py",
    "tests/test_upgrades.py",
)
"""What all systems, both modes and all releases of the package have in common."""

QUICK_FILES: Final = (
    "tests/test_every_module.py",
    "tests/test_version_compat.py",
    "tests/test_get_provider_info.py",
    "tests/test_exceptions.py",
    "tests/test_retry_policy.py",
    "tests/lifecycle/test_deferred_kill.py",
    "tests/lifecycle/test_own_threads.py",
    "tests/lifecycle/test_run_record.py",
    "tests/operators/test_ask_people.py",
    "tests/operators/test_run_kill.py",
    "tests/operators/test_run_outcomes.py",
    "tests/sensors/test_execution_sensor.py",
    "tests/triggers/test_execution_trigger.py",
    "tests/triggers/test_finished_trigger.py",
    "tests/triggers/test_finished_trigger_without_state.py",
    "tests/triggers/test_kill_log.py",
    "tests/dags/test_ocp_example.py",
)
"""Imports, the provider's entry, lifecycle and kills in both modes, one DAG."""


class UnknownLayerError(ValueError):
    """There is no such layer; the message names those that there are."""


def layer_of(file: str) -> Layer | None:
    """
    Return the layer of a test file, None for one that is left out.

    :param file: its path from the project's root.
    """
    if file.startswith(tuple(LEFT_OUT)):
        return None
    if file.startswith(WHOLE_DAGS):
        return "dag"
    return "contract" if file.startswith(CONTRACT) else "unit"


def selected(root: Path, layers: Collection[str]) -> tuple[str, ...]:
    """
    Return the test files that run, as paths from the project's root.

    :param root: the project's.
    :param layers: of :data:`LAYERS`; or :data:`QUICK`.
    :raises UnknownLayerError: for any other word.
    """
    if unknown := sorted(set(layers) - {*LAYERS, QUICK}):
        raise UnknownLayerError(f"{', '.join(unknown)} is no layer: {', '.join(LAYERS)}; or {QUICK}")
    if QUICK in layers:
        return QUICK_FILES
    return tuple(file for file in _test_files(root) if layer_of(file) in layers)


def _test_files(root: Path) -> Sequence[str]:
    return sorted(path.relative_to(root).as_posix() for path in (root / "tests").rglob("test_*.py"))
