"""Addresses that everybody shares, and what is told of landed documents."""

from __future__ import annotations

import json

import pytest
from airflow.providers.common.compat.openlineage.utils.utils import translate_airflow_asset
from airflow.sdk import Asset

from smartflows_provider.output.lineage import (
    MAX_LISTED_BYTES,
    Landing,
    asset_uri,
    dataset_address,
    public_address,
)
from smartflows_provider.output.manifest import DocumentEntry

FLOW = {"id": "f1", "name": "Letters"}


def entry(number=1, *, uri="s3://aws_default@reports/e1/letter 1.pdf"):
    return DocumentEntry(
        id=f"d{number}",
        name=f"Letter {number}",
        content_type="application/pdf",
        size=10 * number,
        sha256=f"{number:064x}",
        uri=uri,
    )


def landing(*documents):
    return Landing(documents=documents, execution_id="e1", flow=FLOW, status="Success")


@pytest.mark.parametrize(
    ("uri", "public"),
    [
        ("s3://aws_default@reports/2013/a.pdf", "s3://reports/2013/a.pdf"),
        ("s3://reports/a@b.pdf", "s3://reports/a@b.pdf"),
        ("file:///var/a@b/c.pdf", "file:///var/a@b/c.pdf"),
        ("gs://g@h@bucket", "gs://bucket"),
        ("a logical name", "a logical name"),
    ],
)
def test_a_connection_is_no_part_of_a_public_address(uri, public):
    assert public_address(uri) == public


@pytest.mark.parametrize(
    "uri",
    ["s3://aws_default@reports/2013/a.pdf", "file:///tmp/reports/Größe (1).pdf", "s3://reports/50%/a+b.pdf"],
)
def test_the_uri_of_a_files_asset_is_what_an_author_writes_and_airflow_leaves_it_as_it_is(uri):
    assert Asset(uri=asset_uri(uri)).uri == public_address(uri) == Asset(uri=asset_uri(uri)).name


def test_files_that_airflow_would_take_for_the_same_asset_stay_apart():
    uris = ["s3://b/report #1.pdf", "s3://b/report #2.pdf", "s3://b/a?z=1&b=2", "s3://b/a?b=2&z=1"]
    assets = [Asset(uri=asset_uri(uri)) for uri in uris]
    assert len({asset.uri for asset in assets}) == len(uris)
    assert assets[0].uri == assets[0].name == "s3://b/report %231.pdf"


@pytest.mark.parametrize(
    ("uri", "namespace", "name"),
    [
        ("s3://aws_default@reports/2013/a #1.pdf", "s3://reports", "2013/a #1.pdf"),
        ("s3a://reports/a.pdf", "s3://reports", "a.pdf"),
        ("gcs://reports/a.pdf", "gs://reports", "a.pdf"),
        ("s3://reports", "s3://reports", "/"),
        ("file:///tmp/a.pdf", "file", "/tmp/a.pdf"),
        ("hdfs://namenode:8020/a/b.csv", "hdfs://namenode:8020", "/a/b.csv"),
    ],
)
def test_datasets_are_named_by_the_conventions_of_openlineage(uri, namespace, name):
    assert dataset_address(uri) == (namespace, name)


@pytest.mark.parametrize("uri", ["s3://reports/2013/a.pdf", "file:///tmp/a b.pdf"])
def test_datasets_have_the_names_that_airflow_gives_to_assets_of_the_same_files(uri):
    translated = translate_airflow_asset(Asset(uri=uri), None)
    assert (translated.namespace, translated.name) == dataset_address(uri)


def test_the_extra_of_a_document_says_what_it_is_and_which_run_made_it():
    assert landing(entry()).document_extra(entry()) == {
        "execution_id": "e1",
        "flow": FLOW,
        "document_id": "d1",
        "name": "Letter 1",
        "uri": "s3://aws_default@reports/e1/letter 1.pdf",
        "sha256": f"{1:064x}",
        "size": 10,
        "content_type": "application/pdf",
    }


def test_the_extra_of_a_run_has_the_hash_where_there_is_one_document():
    assert landing(entry()).run_extra() == {
        "execution_id": "e1",
        "flow": FLOW,
        "status": "Success",
        "document_count": 1,
        "documents": [{"name": "Letter 1", "uri": entry()["uri"], "sha256": f"{1:064x}"}],
        "sha256": f"{1:064x}",
    }


@pytest.mark.parametrize("count", [0, 2])
def test_the_extra_of_a_run_has_no_hash_of_its_own_for_none_or_several_documents(count):
    extra = landing(*map(entry, range(count))).run_extra()
    assert "sha256" not in extra
    assert len(extra["documents"]) == extra["document_count"] == count


def test_the_extra_of_a_run_with_very_many_documents_lists_the_first_and_counts_all():
    extra = landing(*map(entry, range(5_000))).run_extra()
    assert extra["document_count"] == 5_000
    assert [one["name"] for one in extra["documents"]] == [
        f"Letter {number}" for number in range(len(extra["documents"]))
    ]
    assert 50 < len(extra["documents"]) < 200
    assert len(json.dumps(extra)) < MAX_LISTED_BYTES + 1_000


def test_a_manifest_tells_of_the_documents_that_were_landed():
    listed = entry(2, uri=None)
    values_file = {"uri": "file:///v.json", "sha256": "0", "size": 1}
    documents_file = {"uri": "file:///d.json", "sha256": "0", "size": 1}
    manifest = {
        "execution_id": "e1",
        "flow": FLOW,
        "status": "Warning",
        "url": "https://flows/e1",
        "documents": None,
        "values_file": values_file,
        "documents_file": documents_file,
    }
    assert Landing.of(manifest, [entry(), listed]) == Landing(
        documents=(entry(),),
        execution_id="e1",
        flow=FLOW,
        status="Warning",
        url="https://flows/e1",
        spilled=(values_file, documents_file),
    )
