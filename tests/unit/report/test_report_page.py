"""The page: self-contained, complete, escaped, and readable without its pictures."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from report_example import example

from ml.errors import BadInput
from ml.report.page import outside_resources, render
from ml.report.schema import parse
from ml.report.write import write_report

VOID = {"meta", "br", "link", "img", "input", "hr"}
NUMBER = re.compile(r"[−+]?\d[\d,]*(?:\.\d+)?")


class Page(HTMLParser):
    """Tags with attributes, text of table cells and all other text; fails on tags that do not nest."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.cells: list[str] = []
        self.text: list[str] = []
        self.open: list[str] = []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag in ("td", "th"):
            self.cells.append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "td" in self.open or "th" in self.open:
            self.cells[-1] += data
        elif "style" not in self.open:
            self.text.append(data)


def page_of(results: dict[str, Any]) -> Page:
    return Page(render(parse(results)))


@cache
def unchanged() -> Page:
    return page_of(example())


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], float]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from leaves(inner, (*path, index))
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield path, value


def shown(page: Page) -> list[tuple[float, float]]:
    """(value, half a unit of its last digit) of every number in a table."""
    found = []
    for cell in page.cells:
        for token in NUMBER.findall(cell):
            decimals = len(token.partition(".")[2])
            found.append((float(token.replace("−", "-").replace(",", "")), 0.5 * 10**-decimals * 1.0001))
    return found


def appears(value: float, numbers: list[tuple[float, float]]) -> bool:
    return any(abs(n - value * factor) <= half for n, half in numbers for factor in (1, 100))


def test_every_number_of_the_json_stands_in_a_table(tmp_path: Path) -> None:
    write_report(example(), tmp_path)
    figures = json.loads((tmp_path / "report.json").read_text())
    del figures["report_version"], figures["verdicts"]
    numbers = shown(Page((tmp_path / "report.html").read_text()))
    assert [path for path, value in leaves(figures) if not appears(value, numbers)] == []


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_changing_any_number_changes_a_table(data: st.DataObject) -> None:
    results = example()
    path, value = data.draw(st.sampled_from([leaf for leaf in leaves(results) if "low" not in leaf[0]]))
    holder: Any = results
    for key in path[:-1]:
        holder = holder[key]
    step = 1.7 if path[-1] == "seconds" else 0.07 * abs(value) + 0.0119  # durations are shown by the second
    holder[path[-1]] = new = value + (3 if isinstance(value, int) else step)
    page = page_of(results)
    assert page.cells != unchanged().cells
    assert appears(new, shown(page))


def test_json_holds_what_was_given(tmp_path: Path) -> None:
    write_report(example(), tmp_path)
    written = json.loads((tmp_path / "report.json").read_text())
    for key in ("predictors", "retrieval", "ranker", "machine", "stages", "llm", "counts", "seconds_total"):
        assert written[key] == example()[key]
    assert written["timeline"]["ranker"] == {"first": "2026-04-02", "last": "2026-04-11"}
    assert len(written["verdicts"]) >= 6


def test_page_needs_nothing_from_outside() -> None:
    html = render(parse(example()))
    for tag, attributes in Page(html).tags:
        assert tag not in {"script", "link", "iframe", "object", "embed", "img", "base"}
        for name in ("src", "href", "xlink:href", "srcset", "data", "action"):
            assert (attributes.get(name) or "#").startswith("#")
    assert not re.search(r"https?:|url\(|@import|//[a-z]", html)


def test_links_of_the_page_lead_somewhere() -> None:
    for results in (example(), example() | {"retrieval": {}, "ranker": {}}):
        page = page_of(results)
        ids = [a["id"] for _, a in page.tags if "id" in a]
        assert len(ids) == len(set(ids))
        assert {a["href"] for tag, a in page.tags if tag == "a"} == {f"#{i}" for i in ids}


def test_every_picture_is_described_or_hidden_from_readers() -> None:
    nested = 0
    for tag, attributes in page_of(example()).tags:
        if tag == "svg" and "x" not in attributes and "viewbox" not in attributes:
            nested += 1
            assert attributes.get("aria-hidden") == "true" or len(attributes.get("aria-label") or "") > 10
    assert nested > 30


def test_same_results_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_report(example(), tmp_path / name)
    for file in ("report.html", "report.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == ["report.html", "report.json"]


def test_no_user_id_gets_into_either_file(tmp_path: Path) -> None:
    results = example()
    results["checks"][0]["description"] = "3 rows without a key\nuser_id=u_00042 event e_7\nuser_id=u_00043"
    write_report(results, tmp_path)
    for file in ("report.html", "report.json"):
        text = (tmp_path / file).read_text()
        assert "3 rows without a key" in text
        assert "u_0004" not in text


def test_text_of_the_run_is_escaped() -> None:
    results = example() | {"notes": ["<script>alert(1)</script> & more"]}
    page = page_of(results)
    assert "script" not in {tag for tag, _ in page.tags}
    assert "<script>alert(1)</script> & more" in "".join(page.text)


def test_what_means_nothing_reads_na() -> None:
    results = example()
    for arm in results["ranker"].values():
        arm["ece"] = None
    results["ranker_differences"].append(
        {"metric": "ece", "arm": "llm", "against": "placebo"}
        | dict.fromkeys(("value", "low", "high", "minimum_effect", "p_holm"))
    )
    for arm in results["retrieval"].values():
        arm["ad_recall"] = dict.fromkeys(("value", "low", "high"))
    results["predictors"]["llm"]["new_recall@1"] = None
    results["llm"]["validation"]["recall@10"] = None
    before, after = page_of(example()).cells, page_of(results).cells
    assert sum("n/a" in cell for cell in after) - sum("n/a" in cell for cell in before) >= 3 + 4 + 4 + 1 + 1
    assert not any("None" in cell or "nan" in cell for cell in after)


def test_a_run_with_little_in_it_still_has_a_page() -> None:
    results = example() | {"retrieval": {}, "ranker": {}, "stages": {}, "checks": [], "notes": [], "concentration": {}}
    for key in ("predictor_differences", "retrieval_differences", "ranker_differences"):
        results[key] = []
    results |= {"ranker_reliability": {}, "ranker_importance": {}, "ranker_importance_groups": {}}
    results["llm"]["loss_curve"] = []
    assert page_of(results).cells


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"profile": "tiny"}, "say nothing about quality"),
        ({"counts": example()["counts"] | {"test_users": 41}}, "Only 41 test users"),
        ({"machine": example()["machine"] | {"bf16_matrix_units": False}}, "no bf16 matrix units and no GPU"),
    ],
)
def test_the_page_warns_at_its_top(change: dict[str, Any], said: str) -> None:
    assert said in " ".join(page_of(example() | change).text)
    assert said not in " ".join(page_of(example()).text)


def test_bad_results_leave_no_file(tmp_path: Path) -> None:
    results = example()
    del results["seed"]
    with pytest.raises(BadInput, match="seed"):
        write_report(results, tmp_path / "report")
    assert not (tmp_path / "report").exists()


def test_resources_from_elsewhere_are_found():
    assert outside_resources('<a href="#top">x</a><svg><path d="M0 0"/></svg>') == []
    html = '<img src="https://a.example/x"><link href=/b.css><style>@import c.css; b{background:url(d.png)}</style>'
    assert outside_resources(html) == ["https://a.example/x", "/b.css", "c.css;", "d.png"]


def test_the_quota_curve_is_drawn_and_says_how_the_quota_was_chosen():
    results = example()
    page, text = page_of(results), " ".join(page_of(results).text)
    assert "The quota, 30 %" in text.replace("\u202f", " ").replace("\xa0", " ") and "812 validation users" in text
    marks = [attrs for tag, attrs in page.tags if tag == "g" and attrs.get("data-arm") in ("validation", "test")]
    assert len(marks) == 10
    choice = results["retrieval_quota_choice"]
    fixed = {**results, "retrieval_quota_choice": {**choice, "fixed": True, "chosen": 0.1}}
    assert "The settings fix the quota" in " ".join(page_of(fixed).text)
    nobody = {**choice, "chosen": None, "users": 0, "curve": [], "quota": 0.0}
    assert "Nobody could be judged" in " ".join(page_of({**results, "retrieval_quota_choice": nobody}).text)
    results["retrieval_quota_choice"] = None
    assert "How many slots" not in " ".join(page_of(results).text)
