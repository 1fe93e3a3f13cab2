"""The wheel in an empty environment, as somebody gets it who has no checkout and nothing else of ours."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pypdf
import pytest

from smartflows_provider.demo.database import clean_environment

ROOT = Path(__file__).resolve().parents[2]
UV = Path(sys.executable).with_name("uv")

pytestmark = [pytest.mark.full, pytest.mark.timeout(900)]


@dataclass(frozen=True, kw_only=True)
class Environment:
    """A virtual environment that holds what it was told to and nothing else."""

    python: Path
    elsewhere: Path
    """A folder outside of the checkout, with a name that needs quoting."""

    def run(self, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self.python), *arguments],
            cwd=self.elsewhere,
            env=clean_environment({"AIRFLOW_HOME": str(self.elsewhere / "airflow"), "PYTHONPATH": ""}),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            **options,
        )

    def install(self, *requirements: str) -> None:
        """Install the newest releases that the package allows, as `pip install` of a user does."""
        pip = [str(UV), "pip", "install", "--quiet", "--compile-bytecode", "--python", str(self.python)]
        done = subprocess.run(
            [*pip, *requirements], cwd=self.elsewhere, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr[-3000:]

    def check(self) -> str:
        """Return what `pip check` says of it."""
        done = subprocess.run(
            [str(UV), "pip", "check", "--python", str(self.python)],
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stderr.splitlines()[-1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    [wheel] = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def plain(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """What `pip install airflow-provider-smartflows` brings."""
    elsewhere = tmp_path_factory.mktemp("somebody's Ordner")
    subprocess.run([str(UV), "venv", "--quiet", str(elsewhere / "venv")], check=True)
    environment = Environment(python=elsewhere / "venv" / "bin" / "python", elsewhere=elsewhere)
    environment.install(str(wheel))
    return environment


@pytest.fixture(scope="module")
def with_demo(plain: Environment, wheel: Path) -> Environment:
    """The same environment with the extra; tests of the plain one come first in this file."""
    plain.install(f"airflow-provider-smartflows[demo] @ {wheel.as_uri()}")
    return plain


def test_a_plain_install_is_whole(plain: Environment) -> None:
    assert plain.check() == "All installed packages are compatible"


def test_a_plain_install_can_import_every_dag_authors_module(plain: Environment) -> None:
    code = (
        "import importlib\n"
        "from smartflows_provider.get_provider_info import get_provider_info\n"
        "info = get_provider_info()\n"
        "kinds = ('hooks', 'operators', 'sensors', 'triggers')\n"
        "for module in [name for kind in kinds for one in info[kind] for name in one['python-modules']]:\n"
        "    print(importlib.import_module(module).__file__)\n"
    )
    done = plain.run("-c", code)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) >= 13
    assert all(line.startswith(str(plain.elsewhere)) for line in done.stdout.splitlines())


@pytest.mark.parametrize("command", ["demo", "devserver"])
def test_a_command_names_the_extra_that_it_lacks(plain: Environment, command: str) -> None:
    done = plain.run("-m", f"smartflows_provider.{command}")
    assert done.returncode == 2
    assert re.match(rf"The {command} needs what is not installed here: .*fpdf2>=", done.stderr)
    assert done.stderr.endswith(f"\nInstall it with: pip install 'airflow-provider-smartflows[{command}]'\n")
    assert done.stdout == ""


def test_the_demo_runs_from_the_wheel_and_writes_nowhere_else(with_demo: Environment) -> None:
    assert with_demo.check() == "All installed packages are compatible"
    done = with_demo.run("-m", "smartflows_provider.demo")
    assert done.returncode == 0, done.stdout + done.stderr
    folder = with_demo.elsewhere / ".demo"
    assert done.stdout.startswith(f"everything that the demo writes goes to {folder}\n")
    [pdf] = re.findall(r"^PDF: (.+)$", done.stdout, re.MULTILINE)
    assert Path(pdf).is_relative_to(folder / "reports")
    assert "Flight report" in pypdf.PdfReader(pdf).pages[0].extract_text()
    assert {path.name for path in with_demo.elsewhere.iterdir()} <= {".demo", "venv", "airflow"}
    assert not list((folder / "runs").iterdir())
