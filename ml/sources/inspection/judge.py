"""Findings: which facts about rows, users and splits would stop a run, which are only worth knowing."""

from __future__ import annotations

from ml.sources.ingest import IngestReport
from ml.sources.inspection.rows import RowFault
from ml.sources.inspection.splits import Splits
from ml.sources.inspection.users import UserFacts
from ml.sources.problem import Problem

WORTH_SEEING = 0.05
"""Difference of recall@10 (5 points) that a test should be able to show; fewer users are worth a warning."""

Findings = tuple[list[Problem], list[Problem]]
"""Problems and warnings."""


def row_findings(faults: list[RowFault], max_share: float) -> Findings:
    """Bad rows: a problem where a day has more of them than the blocking check lets pass."""
    problems: list[Problem] = []
    warnings: list[Problem] = []
    for fault in faults:
        if fault.of_unread == fault.rows:
            continue  # the file that could not be read is the problem
        stops = fault.worst_share > max_share
        what = f"{fault.reason} in {_counted(fault.rows, 'row')} of {fault.table} ({_percent(fault.share)})"
        more = f" and {_counted(fault.days - 1, 'more day')}" if fault.days > 1 else ""
        where = f"{fault.table}, date={fault.first_day}{more}"
        if stops:
            what += (
                f"; on {fault.worst_day} {_percent(fault.worst_share)} of its rows are set aside, "
                f"more than the {_percent(max_share)} allowed"
            )
        (problems if stops else warnings).append(
            Problem(what, where, fault.remedy, column=fault.column, example=fault.example)
        )
    return problems, warnings


def _counted(n: int, thing: str) -> str:
    return f"{n:,} {thing}" + ("s" if n != 1 else "")


def _percent(share: float) -> str:
    if 0 < share < 0.001:
        return "under 0.1 %"
    return f"{100 * share:.1f} %" if share < 0.995 else "100 %"


def user_findings(users: UserFacts, report: IngestReport) -> list[Problem]:
    """Nobody there, or nobody who consents: nothing may be read then."""
    if users.consenting or not report.tables["users"].rows_in:
        if users.consenting:
            return []
        return [
            Problem(
                "no user at all",
                where="users",
                remedy="deliver the users, with their consent, no later than their first event",
                column="consent",
                example="0 rows",
            )
        ]
    if not users.users:
        return []  # every row of users is set aside, and said so
    return [
        Problem(
            f"none of {users.users:,} users consents: nobody may be read",
            where="users",
            remedy="deliver consent as true for those who have given it; nobody else is learned from",
            column="consent",
            example="consent = false",
        )
    ]


def split_findings(splits: Splits, top_k: int, min_advertisers: int) -> Findings:
    """Splits that a run would stop at for want of rows, and those too small to show anything."""
    problems = [*_training_problems(splits, min_advertisers), *_window_problems(splits)]
    return problems, _small(splits, top_k)


def _training_problems(splits: Splits, min_advertisers: int) -> list[Problem]:
    training, until = splits.training, f"predictor training, labels known by {splits.training.cutoff}"
    if training.users_with_target < 2:
        return [
            Problem(
                f"{training.users_with_target} users have a conversion to learn from; two are needed",
                where=until,
                remedy="deliver more history, choose a later AS_OF, or lower catalogue.min_users",
                column="advertiser_id",
                example=f"{training.targets:,} conversions with {training.catalogue:,} advertisers of the catalogue",
            )
        ]
    if training.advertisers_with_target < min_advertisers:
        return [
            Problem(
                f"{training.advertisers_with_target} advertisers have a conversion to learn from; "
                f"{min_advertisers} are needed",
                where=until,
                remedy="deliver more history, or lower checks.min_advertisers_with_targets or catalogue.min_users",
                column="advertiser_id",
                example=f"{training.targets:,} conversions",
            )
        ]
    return []


def _window_problems(splits: Splits) -> list[Problem]:
    found, wanted = [], "impressions" if splits.has_impressions else "conversions with an ad"
    for split in splits.ranker:
        if not split.rows:
            found.append(
                Problem(
                    f"no {wanted} of a consenting user for {split.name}",
                    where=f"days {split.window}",
                    remedy="choose an AS_OF with more history before it, or a longer timeline.ranker_days / "
                    "calibration_days",
                    column="ad_id",
                    example=f"0 rows in {split.window}",
                )
            )
    test = splits.test
    if test.expected == 0:
        found.append(
            Problem(
                "no user to test on: nobody with enough history converts in the label window",
                where=f"days {test.window}",
                remedy="choose an earlier AS_OF, a longer timeline.label_window_days, or lower "
                "predictions.min_conversions",
                column="user_id",
                example=f"{test.labelled_users or 0:,} users convert, {test.eligible_users:,} users can be scored",
            )
        )
    return found


def _small(splits: Splits, top_k: int) -> list[Problem]:
    found, test = [], splits.test
    effect = test.minimum_effect
    if effect and effect > WORTH_SEEING:
        found.append(
            Problem(
                f"{test.expected:,} test users are few: only a difference of {100 * effect:.0f} points of recall@10 "
                "or more would show",
                where=f"days {test.window}",
                remedy="read the figures with their intervals; more users, more days or a longer "
                "timeline.label_window_days narrow them",
                column="user_id",
                example=f"{test.expected:,} users",
            )
        )
    if test.catalogue < top_k:
        found.append(
            Problem(
                f"the catalogue has {test.catalogue} advertisers, fewer than the {top_k} predicted for each user",
                where=f"catalogue of {splits.timeline.as_of}",
                remedy="lower predictions.top_k or catalogue.min_users; recall at or beyond the catalogue's size is 1",
                column="advertiser_id",
                example=f"{test.catalogue} advertisers",
            )
        )
    for split in splits.ranker:
        if split.rows and not split.positives:
            found.append(
                Problem(
                    f"no conversion among the {split.rows:,} rows for {split.name}",
                    where=f"days {split.window}",
                    remedy="deliver conversions with their impression_id, or lengthen the window",
                    column="impression_id",
                    example="0 positives",
                )
            )
    return found
