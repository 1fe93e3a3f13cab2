"""An S3 server of the tests' own, spoken to over HTTP, and an Airflow connection that leads to it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import boto3
import pytest
from airflow.sdk import ObjectStoragePath
from moto.server import ThreadedMotoServer

CONN_ID = "aws_loopback"
CREDENTIALS = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}


@dataclass(frozen=True, kw_only=True)
class Bucket:
    """One bucket, as its owner sees it."""

    name: str
    endpoint: str
    client: Any

    @property
    def path(self) -> ObjectStoragePath:
        """The bucket as a DAG author writes it."""
        return ObjectStoragePath(f"s3://{CONN_ID}@{self.name}")

    def stored(self) -> list[str]:
        """Return all keys, sorted."""
        return [one["Key"] for one in self.client.list_objects_v2(Bucket=self.name).get("Contents", [])]

    def pending(self) -> list[str]:
        """Return the keys of uploads that were neither completed nor aborted."""
        found = self.client.list_multipart_uploads(Bucket=self.name)
        return [one["Key"] for one in found.get("Uploads", [])]

    def read(self, key: str) -> bytes:
        """Return an object's bytes."""
        return self.client.get_object(Bucket=self.name, Key=key)["Body"].read()


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """Return the address of the server."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    os.environ[f"AIRFLOW_CONN_{CONN_ID.upper()}"] = json.dumps(
        {
            "conn_type": "aws",
            "login": CREDENTIALS["aws_access_key_id"],
            "password": CREDENTIALS["aws_secret_access_key"],
            "extra": {"endpoint_url": endpoint, "region_name": "us-east-1"},
        }
    )
    yield endpoint
    server.stop()


@pytest.fixture
def bucket(s3_endpoint: str) -> Bucket:
    """Return a new bucket."""
    client = boto3.client("s3", endpoint_url=s3_endpoint, region_name="us-east-1", **CREDENTIALS)
    name = f"reports-{uuid4().hex}"
    client.create_bucket(Bucket=name)
    return Bucket(name=name, endpoint=s3_endpoint, client=client)
