"""Own logs on S3 when S3 is in a bad mood: one clear error each, and no byte read that need not be."""

from __future__ import annotations

from pathlib import Path

import pytest

from ml.errors import BadInput
from ml.sources.base import LogSource
from ml.sources.contract_logs import ContractLogs
from ml.sources.parquet_logs import ParquetLogs
from ml.timeline import Window
from tests.s3 import Proxy, S3Server, before, forget_connections, hang_up, silence, status
from tests.unit.sources.sources_layouts import HIVE, STREAM, views
from tests.unit.sources.sources_small_logs import DAYS, FIRST, small_logs, write_logs

DAY = Window(DAYS[1], DAYS[1])


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """<root>/contract, hive and stream: the same logs in three layouts."""
    root = tmp_path_factory.mktemp("logs")
    write_logs(small_logs(), root / "contract")
    with views(root / "contract") as con:
        HIVE.write(con, root / "hive")
        STREAM.write(con, root / "stream")
    return root


@pytest.fixture
def url(s3: S3Server, logs: Path) -> str:
    url = s3.bucket()
    s3.put_directory(logs, url)
    return url


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    fast = {"connect_timeout": 0.5, "read_timeout": 0.5, "retries": {"total_max_attempts": 2, "mode": "standard"}}
    monkeypatch.setattr("ml.places.S3_CONFIG", fast)


def source_of(url: str, layout: str) -> LogSource:
    if layout == "contract":
        return ContractLogs(f"{url}/contract", "mine")
    mapping = {"hive": HIVE, "stream": STREAM}[layout].mapping(first_day=FIRST, last_day=DAYS[-1])
    return ParquetLogs(f"{url}/{layout}", mapping)


LAYOUTS = ("contract", "hive", "stream")
FILES = {"contract": "contract/conversions", "hive": "raw/conversions", "stream": "events.csv"}
FAULTS = {"503": status(503), "silence": silence, "hang-up": hang_up, "403": status(403)}
SAID = {"503": "failed", "silence": "in time", "hang-up": "no connection", "403": "refused"}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_while_reading_is_one_clear_error(
    url: str, s3_proxy: Proxy, impatient: None, fault: str, layout: str
) -> None:
    s3_proxy.on("GET", FILES[layout], FAULTS[fault])
    with pytest.raises(BadInput, match=SAID[fault]) as raised:
        source_of(url, layout).read("conversions", DAY)
    assert raised.value.where.startswith(url)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_object_that_vanishes_after_the_listing(url: str, s3: S3Server, layout: str) -> None:
    source = source_of(url, layout)
    source.fingerprint()  # lists
    gone = [key for key in s3.keys(url) if FILES[layout] in key]
    for key in gone:
        s3.delete(f"{url}/{key}")
    with pytest.raises(BadInput, match="is gone now") as raised:
        source.read("conversions", DAY)
    assert raised.value.where in {f"{url}/{key}" for key in gone}


def test_an_object_that_vanishes_between_its_footer_and_its_rows(url: str, s3: S3Server, s3_proxy: Proxy) -> None:
    source = source_of(url, "hive")
    source.read("conversions", DAY)  # footers are known now
    keys = [key for key in s3.keys(url) if "raw/conversions" in key]
    s3_proxy.on("GET", "raw/conversions", before(lambda: [s3.delete(f"{url}/{key}") for key in keys]))
    with pytest.raises(BadInput, match="is gone now"):
        source.read("conversions", DAY)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_wrong_key_or_bucket_is_said_before_anything_is_read(s3: S3Server, url: str, layout: str) -> None:
    with pytest.raises(BadInput, match="no such bucket"):
        source_of("s3://adprior-there-is-none", layout).fingerprint()
    with s3.keys_required():  # this process has none of those
        forget_connections()
        with pytest.raises(BadInput, match="refused"):
            source_of(url, layout).fingerprint()
        problems = source_of(url, layout).problems() if layout != "contract" else []
        assert [problem.what for problem in problems[:1]] in (
            [],
            ["S3 refused access: the key is wrong, or may not do this"],
        )


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_fingerprint_downloads_nothing(url: str, s3: S3Server, s3_proxy: Proxy, layout: str) -> None:
    before_it = source_of(url, layout).fingerprint()
    assert not [path for method, path in s3_proxy.requests if method == "GET" and "list-type" not in path]
    name = next(key for key in s3.keys(url) if FILES[layout] in key)
    s3.put(f"{url}/{name}", s3.get(f"{url}/{name}") + b" ")
    assert source_of(url, layout).fingerprint() != before_it


@pytest.mark.parametrize("layout", ["contract", "hive"])
def test_a_changed_day_changes_its_own_fingerprint_only(url: str, s3: S3Server, layout: str) -> None:
    days = [DAYS[0], DAYS[2]]
    first = [source_of(url, layout).fingerprint(day) for day in days]
    name = next(key for key in s3.keys(url) if FILES[layout] in key and str(DAYS[2]) in key)
    s3.put(f"{url}/{name}", s3.get(f"{url}/{name}") + b" ")
    then = [source_of(url, layout).fingerprint(day) for day in days]
    assert then[0] == first[0] and then[1] != first[1]
