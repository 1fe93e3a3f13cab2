"""Where the demo finds the example DAGs, from a checkout and from an installed package."""

from __future__ import annotations

import pytest
from airflow.sdk import ObjectStoragePath

from smartflows_provider.demo import places


@pytest.mark.parametrize("holder", ["package", "package/.."])
def test_the_examples_are_found_in_the_package_or_beside_it(holder, tmp_path, monkeypatch):
    examples = tmp_path / holder / "example_dags"
    (tmp_path / "package").mkdir()
    examples.mkdir()
    monkeypatch.setattr(places, "PACKAGE", tmp_path / "package")

    assert places.example_dags() == examples.resolve()


def test_the_examples_of_this_tree_have_the_dag_that_is_shown():
    assert (places.example_dags() / "scheduled_report.py").exists()
    assert (places.example_dags() / "flows" / "flight_report" / "flow.yaml").exists()


def test_two_runs_have_folders_of_their_own_below_the_current_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    folders = {*places.new_folders(), *places.new_folders()}

    assert len(folders) == 4
    assert {folder.parent for folder in folders} == {
        tmp_path / ".demo" / "runs",
        tmp_path / ".demo" / "reports",
    }


def test_what_is_stored_at_a_folders_address_is_in_that_folder(tmp_path):
    folder = tmp_path / "somebody's Ordner, 100%25"
    folder.mkdir()

    stored = ObjectStoragePath(places.storage_address(folder)) / "Flight report.pdf"
    stored.write_bytes(b"pdf")

    assert [path.name for path in folder.iterdir()] == ["Flight report.pdf"]
    assert places.stored_at(str(stored)) == folder / "Flight report.pdf"
