"""What a DAG file that uses this package loads each time Airflow parses it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

PROBE = """
import json, sys
import airflow.sdk
from airflow.sdk import DAG, BaseOperator, BaseSensorOperator, task
before = set(sys.modules)
import {module}
print(json.dumps(sorted(set(sys.modules) - before)))
"""

HEAVY = {"aiohttp", "requests", "urllib3", "lxml", "xmlschema", "jmespath", "starlette", "uvicorn", "upath"}


@pytest.mark.parametrize(
    "module",
    [
        "smartflows_provider.operators.smart_flows",
        "smartflows_provider.sensors.smart_flows",
        "smartflows_provider.decorators.smart_flows",
    ],
)
def test_importing_loads_none_of_the_heavy_libraries_and_few_of_our_modules(module: str) -> None:
    answer = subprocess.run(
        [sys.executable, "-c", PROBE.format(module=module)], capture_output=True, text=True, check=True
    )
    loaded = json.loads(answer.stdout.splitlines()[-1])
    assert not {name.partition(".")[0] for name in loaded} & HEAVY
    # Options, which are checked at every parse, are plain words.
    plain = {"smartflows_provider.payload", "smartflows_provider.payload.options"}
    ours = {name for name in loaded if name.startswith("smartflows_provider.")} - plain
    rooms = {".".join(name.split(".")[:2]) for name in ours}
    assert not rooms & {
        f"smartflows_provider.{room}"
        for room in ("hooks", "transport", "wire", "payload", "output", "waiting", "triggers", "devserver")
    }
    # Airflow's triggers alone take some 20 ms.
    assert "airflow.triggers.base" not in loaded
