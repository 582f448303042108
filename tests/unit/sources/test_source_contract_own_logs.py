"""A user's own logs keep the source contract in every layout, on disk and on S3."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import pytest

from ml.sources.base import LogSource
from ml.sources.contract_logs import ContractLogs
from ml.sources.parquet_logs import ParquetLogs
from tests.contracts.source_contract import SourceContract
from tests.s3 import S3Server
from tests.unit.sources.sources_layouts import FLAT, HIVE, STREAM, Layout, views
from tests.unit.sources.sources_small_logs import DAYS, FIRST, Logs, small_logs, write_logs


class OwnLogs(SourceContract):
    layout: ClassVar[Layout]

    def make(self, root: Path) -> LogSource:
        return self.source_of(root, small_logs())

    def make_changed(self, root: Path) -> LogSource:
        logs = small_logs()
        logs["conversions"][DAYS[1]][0]["value"] = "21"
        return self.source_of(root, logs)

    def source_of(self, root: Path, logs: Logs) -> LogSource:
        contract = write_logs(logs, root.parent / "contract")
        with views(contract) as con:
            self.layout.write(con, root)
        return self.open(root)

    def open(self, root: Path) -> LogSource:
        return ParquetLogs(root, self.layout.mapping(first_day=FIRST, last_day=DAYS[-1]))


class TestFlat(OwnLogs):
    layout = FLAT


class TestHive(OwnLogs):
    layout = HIVE


class TestStream(OwnLogs):
    layout = STREAM


class TestHiveOnS3(OwnLogs):
    layout = HIVE

    @pytest.fixture(autouse=True)
    def _bucket(self, s3: S3Server) -> None:
        self.s3, self.url = s3, s3.bucket()

    def open(self, root: Path) -> LogSource:
        self.s3.put_directory(root, f"{self.url}/logs")
        return ParquetLogs(f"{self.url}/logs", self.layout.mapping(first_day=FIRST, last_day=DAYS[-1]))


class TestFlatOnS3(TestHiveOnS3):
    layout = FLAT


class TestContractLayoutOnS3(TestHiveOnS3):
    """No mapping at all."""

    def source_of(self, root: Path, logs: Logs) -> LogSource:
        self.s3.put_directory(write_logs(logs, root), f"{self.url}/logs")
        return ContractLogs(f"{self.url}/logs", "mine")
