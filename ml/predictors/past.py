"""Predictions at past snapshots: what a model would have said then, as priors of the ranker's training rows.

A user's stream at an earlier snapshot is nearly always a prefix of the stream at the last one, so one pass over
the latter serves all snapshots; where a profile or a name has changed since, the earlier context is read
by itself, so that no prior knows anything of a later day.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd

from ml.contexts.build import build_contexts
from ml.contexts.render import event_lines, profile_lines
from ml.contexts.settings import ContextSettings
from ml.contexts.stream import UserContexts
from ml.lake import Lake
from ml.llm.interests import write_interests
from ml.llm.predictor import LLMPredictor
from ml.predictors.catalogue import build_catalogue
from ml.predictors.placebo import placebo
from ml.predictors.predictions import write_predictions
from ml.predictors.prior_shift import UNCHANGED, PriorShift, fit_prior_shift, log_shifts
from ml.progress import Progress, silent


def predict_past(
    predictor: LLMPredictor,
    lake: Lake,
    snapshots: list[date],
    users: np.ndarray,
    settings: ContextSettings,
    *,
    min_users: int,
    k: int,
    labels: pd.DataFrame,
    min_labels: int,
    rng: np.random.Generator,
    work: Path,
    progress: Progress = silent,
) -> tuple[pd.DataFrame, PriorShift]:
    """Predictions of the LLM, and of its placebo, for some users at each snapshot, corrected for prior shift.

    Args:
        predictor: loaded; its labels were all known by the first snapshot.
        lake: validated logs.
        snapshots: ascending.
        users: ids; those without a context on a snapshot get no prediction there.
        settings: of the contexts.
        min_users: of the catalogue, see `build_catalogue`.
        k: advertisers a user.
        labels: user_id, advertiser_id: of the label window of the first snapshot; the correction is fitted on them.
        min_labels: below which there is no correction: chance would choose it.
        rng: draws the placebo's shuffles.
        work: where the table is written.
        progress: told the tokens done.

    Returns:
        A table of `ml.predictors.predictions` with sources "llm" and "placebo" (the LLM's interests lie beside it); and
        the correction.
    """
    everyone = [build_contexts(lake, day, settings) for day in snapshots]
    contexts = [_of_users(snapshot, users) for snapshot in everyone]
    hidden = _hidden_states(predictor, contexts, progress)
    tables, interests, correction = [], [], UNCHANGED
    for place, (all_of_day, snapshot, states) in enumerate(zip(everyone, contexts, hidden, strict=True)):
        with lake.connect(as_of=snapshot.as_of) as con:
            catalogue = build_catalogue(con, snapshot.as_of, min_users=min_users)
        speaking = predictor.with_catalogue(catalogue)
        if place == 0:
            correction = _correction(speaking, states, snapshot, all_of_day, labels, min_labels)
        table = speaking.with_prior_shift(correction, all_of_day).table(states, snapshot, k)
        tables += [table, placebo(table, snapshot, rng)]
        interests.append(predictor.interests(states, snapshot))
    predictions = pd.concat(tables, ignore_index=True)
    write_predictions(predictions, work)
    write_interests(pd.concat(interests, ignore_index=True), work)
    return predictions, correction


def _correction(
    predictor: LLMPredictor,
    states: np.ndarray,
    contexts: UserContexts,
    everyone: UserContexts,
    labels: pd.DataFrame,
    min_labels: int,
) -> PriorShift:
    """Fitted on the labels of the users at hand."""
    row = pd.Index(contexts.user_ids).get_indexer(pd.Index(labels["user_id"]))
    known = labels["advertiser_id"].to_numpy()[row >= 0]
    if len(known) < min_labels:
        return UNCHANGED
    column = pd.Index(predictor.advertiser_ids).get_indexer(pd.Index(known))
    shifts = log_shifts(everyone, predictor.advertiser_ids)
    return fit_prior_shift(predictor.distribution(states[row[row >= 0]]), column, shifts)


def _of_users(contexts: UserContexts, users: np.ndarray) -> UserContexts:
    return contexts.take(np.flatnonzero(np.isin(contexts.user_ids, users)))


def _hidden_states(predictor: LLMPredictor, contexts: list[UserContexts], progress: Progress) -> list[np.ndarray]:
    """Hidden states at the end of each snapshot's streams, in one pass over the last where prefixes allow."""
    last = contexts[-1]
    asked, alone = [], []
    for snapshot in contexts:
        row, shared = _prefix_of(snapshot, last)
        position = np.diff(snapshot.offsets)
        asked.append((row[shared], position[shared]))
        alone.append(np.flatnonzero(~shared))
    user, position = (np.concatenate(parts) for parts in zip(*asked, strict=True))
    together = np.split(
        predictor.hidden_states_at(last, user, position, progress), np.cumsum([len(rows) for rows, _ in asked])[:-1]
    )
    states = []
    for snapshot, found, rows in zip(contexts, together, alone, strict=True):
        mine = np.empty((len(snapshot), found.shape[1]), dtype=np.float32)
        shared = np.ones(len(snapshot), dtype=bool)
        shared[rows] = False
        mine[shared] = found
        if len(rows):
            mine[rows] = predictor.hidden_states(snapshot.take(rows))
        states.append(mine)
    return states


def _prefix_of(earlier: UserContexts, later: UserContexts) -> tuple[np.ndarray, np.ndarray]:
    """Row in `later` of each user of `earlier`, and whether his rendered lines begin the later ones."""
    row = pd.Index(later.user_ids).get_indexer(pd.Index(earlier.user_ids))
    first, second = (profile_lines(earlier), event_lines(earlier)), (profile_lines(later), event_lines(later))
    shared = np.zeros(len(earlier), dtype=bool)
    for i, j in enumerate(row):
        if j >= 0 and first[0][i] == second[0][j]:
            mine = first[1][earlier.offsets[i] : earlier.offsets[i + 1]]
            start = later.offsets[j]
            shared[i] = mine == second[1][start : min(start + len(mine), later.offsets[j + 1])]
    return row, shared
