"""What is handed to others: sdist and wheel, built from this tree and once more from the sdist."""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from packaging.metadata import Metadata
from packaging.requirements import Requirement

import smartflows_provider

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
SOURCES = ("smartflows_provider", "example_dags", "benchmarks", "matrix", "tests", "docs", ".ci")
SINGLE_FILES = {
    *("README.md", "CHANGELOG.md", "LICENSE", "Makefile", "constraints.txt", "pyproject.toml"),
    *(".gitignore", "PKG-INFO"),
}
LEFT_BY_RUNS = ("__pycache__", ".pyc", ".demo", ".venv", ".db", ".sqlite", ".log", "_cache", ".hypothesis")


@dataclass(frozen=True, kw_only=True)
class Built:
    """The two files of a build."""

    sdist: Path
    wheel: Path

    def unpack(self, folder: Path) -> Path:
        """Unpack the sdist; return the folder of its sources."""
        with tarfile.open(self.sdist) as archive:
            archive.extractall(folder, filter="data")
        [sources] = folder.iterdir()
        return sources

    def sdist_files(self) -> set[str]:
        with tarfile.open(self.sdist) as archive:
            return {name.partition("/")[2] for name in archive.getnames()}

    def wheel_files(self) -> set[str]:
        with zipfile.ZipFile(self.wheel) as archive:
            return set(archive.namelist())

    def of_dist_info(self, name: str) -> str:
        with zipfile.ZipFile(self.wheel) as archive:
            [path] = [path for path in archive.namelist() if path.endswith(f".dist-info/{name}")]
            return archive.read(path).decode()

    def metadata(self) -> Metadata:
        """Read the metadata as package indexes do, with every check of theirs."""
        return Metadata.from_email(self.of_dist_info("METADATA"), validate=True)


def build(sources: Path, folder: Path) -> Built:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--directory", str(folder)],
        cwd=sources,
        capture_output=True,
        check=True,
    )
    [sdist], [wheel] = folder.glob("*.tar.gz"), folder.glob("*.whl")
    return Built(sdist=sdist, wheel=wheel)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    return build(ROOT, tmp_path_factory.mktemp("dist"))


def sources_below(folder: str) -> set[str]:
    """Return the files of this tree below a folder, without what runs leave there."""
    files = [path for path in (ROOT / folder).rglob("*") if path.is_file()]
    return {
        str(path.relative_to(ROOT)) for path in files if not any(left in str(path) for left in LEFT_BY_RUNS)
    }


def test_the_sdist_builds_the_same_two_files_again(built: Built, tmp_path: Path) -> None:
    """Elsewhere, of files with other times: the builds are repeatable, and the sdist is whole."""
    again = build(built.unpack(tmp_path / "sources"), tmp_path / "dist")
    assert again.wheel.read_bytes() == built.wheel.read_bytes()
    assert again.sdist.read_bytes() == built.sdist.read_bytes()


def test_the_wheel_has_the_package_with_its_examples_and_nothing_else(built: Built) -> None:
    package = sources_below("smartflows_provider")
    examples = {f"smartflows_provider/{path}" for path in sources_below("example_dags")}
    info = f"{built.wheel.name.partition('-py3')[0]}.dist-info"
    described = {
        f"{info}/{name}" for name in ("METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE")
    }
    assert built.wheel_files() == package | examples | described
    assert "smartflows_provider/py.typed" in package
    assert "smartflows_provider/example_dags/flows/flight_report/flow.yaml" in examples


def test_the_sdist_has_the_sources_and_nothing_that_runs_leave(built: Built) -> None:
    files = built.sdist_files()
    assert {path for path in files if "/" not in path} == SINGLE_FILES
    assert {path.partition("/")[0] for path in files if "/" in path} == set(SOURCES)
    assert {path for path in files if path.startswith("tests/")} == sources_below("tests")
    assert [path for path in files if any(left in path for left in LEFT_BY_RUNS)] == []


def test_no_file_names_a_place_on_the_machine_that_built_it(built: Built) -> None:
    places = re.compile("|".join(re.escape(f"{place}/") for place in (ROOT, Path.home())).encode())
    with tarfile.open(built.sdist) as archive:
        files = {each.name: archive.extractfile(each) for each in archive.getmembers() if each.isfile()}
        found = [name for name, file in files.items() if file and places.search(file.read())]
    assert len(files) > len(built.wheel_files())
    assert found == []


def test_the_metadata_says_what_the_project_says(built: Built) -> None:
    metadata = built.metadata()
    assert metadata.name == PROJECT["name"]
    assert str(metadata.version) == PROJECT["version"] == smartflows_provider.__version__
    assert str(metadata.requires_python) == PROJECT["requires-python"]
    assert metadata.license_expression == "Apache-2.0"
    assert metadata.license_files == ["LICENSE"]
    assert "Framework :: Apache Airflow :: Provider" in (metadata.classifiers or [])
    assert set(metadata.provides_extra or []) == set(PROJECT["optional-dependencies"])


def test_the_readme_is_the_description(built: Built) -> None:
    metadata = built.metadata()
    assert metadata.description_content_type == "text/markdown"
    assert (metadata.description or "").strip() == (ROOT / "README.md").read_text().strip()


def test_no_extra_is_needed_by_a_plain_install(built: Built) -> None:
    required = built.metadata().requires_dist or []
    plain = {one.name for one in required if one.marker is None or one.marker.evaluate({"extra": ""})}
    assert plain == {Requirement(line).name for line in PROJECT["dependencies"]}


def test_airflow_and_pytest_find_their_entry_points(built: Built) -> None:
    text = built.of_dist_info("entry_points.txt")
    for group, entries in PROJECT["entry-points"].items():
        for name, target in entries.items():
            assert re.search(rf"\[{group}\]\n(?:.+\n)*{name} = {re.escape(target)}", text)
