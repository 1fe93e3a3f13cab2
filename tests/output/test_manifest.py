from __future__ import annotations

import hashlib
import json

import pytest

from smartflows_provider.output.documents import LandedDocument
from smartflows_provider.output.errors import ManifestTooLarge
from smartflows_provider.output.extractor import DocumentRef, Output
from smartflows_provider.output.manifest import build_manifest, fit, landed, referenced, size_of

REPORT = DocumentRef(id="d1", name="Report", path="result")
FILE = LandedDocument(uri="file:///out/e1/Report.pdf", size=3, sha256="ab")
OUTPUT = Output(
    values={"total": 12, "Größe": "ü"},
    documents=(REPORT,),
    warnings=("slow",),
    stages=1,
    finished_at="2024-05-01T08:00:08.000Z",
)


def manifest(output=OUTPUT, **overrides):
    fields = {
        "execution_id": "e1",
        "flow_id": "f1",
        "flow_name": "Monthly report",
        "status": "Success",
        "created_at": "2024-05-01T08:00:00.000Z",
        "url": "https://flows.example/client",
    }
    return build_manifest(output, **{**fields, **overrides})


def test_the_manifest_has_the_published_shape_and_order():
    built = manifest(documents=[landed(REPORT, FILE, name="Report of May", content_type="application/pdf")])
    assert json.dumps(built) == json.dumps(
        {
            "schema_version": 1,
            "execution_id": "e1",
            "flow": {"id": "f1", "name": "Monthly report"},
            "status": "Success",
            "created_at": "2024-05-01T08:00:00.000Z",
            "finished_at": "2024-05-01T08:00:08.000Z",
            "values": {"total": 12, "Größe": "ü"},
            "documents": [
                {
                    "id": "d1",
                    "name": "Report of May",
                    "content_type": "application/pdf",
                    "size": 3,
                    "sha256": "ab",
                    "uri": "file:///out/e1/Report.pdf",
                }
            ],
            "warnings": ["slow"],
            "stages": 1,
            "url": "https://flows.example/client",
        }
    )


def test_documents_that_were_not_landed_are_listed_without_an_address():
    unknown = {"content_type": None, "size": None, "sha256": None, "uri": None}
    assert manifest()["documents"] == [referenced(REPORT)] == [{"id": "d1", "name": "Report", **unknown}]
    assert manifest(documents=[])["documents"] == []


def test_without_metadata_a_landed_document_keeps_the_name_of_its_reference():
    entry = landed(REPORT, FILE)
    assert (entry["name"], entry["content_type"]) == ("Report", None)


def test_selected_values_stand_in_for_all_and_unknown_times_are_null():
    built = manifest(Output(values={"a": 1}), values={"b": 2}, created_at="", url="")
    assert (built["values"], built["created_at"], built["finished_at"], built["url"]) == (
        {"b": 2},
        None,
        None,
        None,
    )


def test_a_manifest_within_the_limit_stays_as_it_is_and_nothing_is_written(tmp_path):
    built = manifest()
    assert fit(built, max_bytes=size_of(built), spill_to=tmp_path) is built
    assert list(tmp_path.iterdir()) == []


def test_over_the_limit_the_values_move_to_a_file_that_the_manifest_names(tmp_path):
    values = {"Größe": "x" * 5000}
    built = manifest(Output(values=values))
    fitting = fit(built, max_bytes=2000, spill_to=tmp_path / "e1")
    content = (tmp_path / "e1" / "values.json").read_bytes()
    assert json.loads(content) == values
    assert fitting == {
        **built,
        "values": None,
        "values_file": {
            "uri": f"file://{tmp_path}/e1/values.json",
            "sha256": hashlib.sha256(content).hexdigest(),
            "size": len(content),
        },
    }
    assert built["values"] == values


def test_over_the_limit_without_a_path_the_error_says_what_to_set():
    built = manifest(Output(values={"a": "x" * 5000}))
    with pytest.raises(ManifestTooLarge) as caught:
        fit(built, max_bytes=2000, spill_to=None)
    assert str(caught.value) == (
        f"the manifest of execution e1 has {size_of(built):,} bytes, over max_xcom_bytes=2,000. Set "
        "documents_path, so that the values or the list of documents go to a file there, keep fewer values "
        "with outputs, or raise max_xcom_bytes."
    )


MANY = [landed(REPORT, FILE)] * 50


def test_a_long_list_of_documents_moves_to_a_file_and_small_values_stay(tmp_path):
    built = manifest(documents=MANY)
    fitting = fit(built, max_bytes=2000, spill_to=tmp_path)
    content = (tmp_path / "documents.json").read_bytes()
    assert json.loads(content) == MANY
    assert fitting == {
        **built,
        "documents": None,
        "documents_file": {
            "uri": f"file://{tmp_path}/documents.json",
            "sha256": hashlib.sha256(content).hexdigest(),
            "size": len(content),
        },
    }
    assert [path.name for path in tmp_path.iterdir()] == ["documents.json"]


def test_large_values_and_a_long_list_of_documents_both_move_where_neither_is_enough(tmp_path):
    values = {"a": "x" * 5000}
    fitting = fit(manifest(values=values, documents=MANY), max_bytes=2000, spill_to=tmp_path)
    assert (fitting["values"], fitting["documents"]) == (None, None)
    assert json.loads((tmp_path / "values.json").read_bytes()) == values
    assert json.loads((tmp_path / "documents.json").read_bytes()) == MANY
    assert size_of(fitting) <= 2000


@pytest.mark.parametrize("values", [{}, {"a": "x" * 5000}])
def test_a_manifest_that_is_too_large_without_values_and_documents_names_the_limit_it_needs(tmp_path, values):
    built = manifest(Output(values=values, warnings=("slow",) * 500))
    with pytest.raises(ManifestTooLarge) as caught:
        fit(built, max_bytes=2000, spill_to=tmp_path)
    assert str(caught.value).startswith(
        f"the manifest of execution e1 has {size_of(built):,} bytes, over max_xcom_bytes=2,000, and without "
        "its values and documents it still has "
    )
    assert "warnings: 500. Raise max_xcom_bytes to at least " in str(caught.value)
    assert list(tmp_path.iterdir()) == []
    needed = int(str(caught.value).rpartition("at least ")[2].rstrip(".").replace(",", ""))
    assert size_of(fit(built, max_bytes=needed, spill_to=tmp_path)) == needed
