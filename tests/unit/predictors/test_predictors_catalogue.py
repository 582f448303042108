"""The catalogue holds the advertisers eligible on the day, counted over what was known."""

from datetime import date

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.predictors.catalogue import build_catalogue
from tests.lakes import GENERATE_ONLY, known_by, random_frames, temporary_lake


@given(st.integers(0, 2**32), st.dates(date(2024, 1, 2), date(2024, 1, 20)), st.integers(0, 3))
@settings(max_examples=8, deadline=None, phases=GENERATE_ONLY)
def test_the_catalogue_is_what_a_plain_count_says(seed, day, min_users):
    frames = random_frames(np.random.default_rng(seed))
    with temporary_lake(frames) as lake, lake.connect(as_of=day) as con:
        catalogue = build_catalogue(con, day, min_users=min_users)

    known = {name: known_by(name, frame, day) for name, frame in frames.items()}
    newest = known["users"].sort_values("updated_at").groupby("user_id").tail(1)
    consenting = set(newest.loc[newest["consent"], "user_id"])
    conversions = known["conversions"]
    conversions = conversions[conversions["user_id"].isin(consenting)]
    expected = []
    for advertiser in known["advertisers"].sort_values("_day").groupby("advertiser_id").tail(1).itertuples():
        theirs = conversions[conversions["advertiser_id"] == advertiser.advertiser_id]
        active = advertiser.active_from <= day and (pd.isna(advertiser.active_to) or advertiser.active_to >= day)
        if active and theirs["user_id"].nunique() >= min_users:
            row = (advertiser.advertiser_id, advertiser.name, advertiser.vertical)
            expected.append((*row, len(theirs), theirs["user_id"].nunique()))
    assert list(catalogue.itertuples(index=False, name=None)) == sorted(expected)


@pytest.mark.parametrize(("day", "eligible"), [(4, False), (5, True), (7, True), (8, False)])
def test_the_first_and_the_last_day_belong_to_it(day, eligible):
    row = {"advertiser_id": "a", "name": "A", "vertical": "v", "_day": date(2024, 1, 1)}
    row |= {"active_from": date(2024, 1, 5), "active_to": date(2024, 1, 7)}
    with temporary_lake({"advertisers": pd.DataFrame([row])}) as lake, lake.connect(as_of=date(2024, 1, day)) as con:
        catalogue = build_catalogue(con, date(2024, 1, day))
    assert catalogue["advertiser_id"].tolist() == (["a"] if eligible else [])
