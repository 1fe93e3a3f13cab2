"""The fixtures of the tests of the pages."""

from __future__ import annotations

from docs_surroundings import reports_bucket, surroundings
from support.object_store import s3_endpoint
from support.service import server

__all__ = ["reports_bucket", "s3_endpoint", "server", "surroundings"]
