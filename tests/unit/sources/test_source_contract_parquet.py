"""ContractLogs keeps the source contract on a hand-written directory, as good as it gets and as bad."""

from __future__ import annotations

from pathlib import Path

from ml.sources.base import LogSource
from ml.sources.contract_logs import ContractLogs
from tests.contracts.source_contract import SourceContract
from tests.unit.sources.sources_small_logs import DAYS, small_logs, write_logs


class TestContractLogs(SourceContract):
    def make(self, root: Path) -> LogSource:
        return ContractLogs(write_logs(small_logs(), root), "small")

    def make_changed(self, root: Path) -> LogSource:
        logs = small_logs()
        logs["conversions"][DAYS[1]][0]["value"] = "21"
        return ContractLogs(write_logs(logs, root), "small")


class TestContractLogsWithBadRows(TestContractLogs):
    def make(self, root: Path) -> LogSource:
        logs = small_logs()
        for by_day in logs.values():
            for rows in by_day.values():
                rows.extend([dict(row) for row in rows])
        logs["users"][DAYS[0]][1]["consent"] = "perhaps"
        return ContractLogs(write_logs(logs, root), "small")
