"""The truth that the search is held against: every name scored by teacher forcing, a few at a time.

It shares nothing with the search but the model: no trie arrays, no tree attention, the prompt's keys and values copied
for each name, what may follow a prefix looked up in a dictionary.
"""

from __future__ import annotations

import copy
from collections import defaultdict
from typing import Any

import numpy as np

from ml.llm.batches import padded
from ml.llm.by_name.reader import Reading, vocabulary_matrix

NAMES_AT_ONCE = 64
"""Bounds memory, changes no result beyond rounding."""


class Oracle:
    """Scores all names after a prompt.

    Args:
        model: a transformer without its head, on the CPU.
        ids: of each name, terminator included.
    """

    def __init__(self, model: Any, ids: list[np.ndarray]) -> None:
        self.model, self.ids, self.weight = model, ids, vocabulary_matrix(model).float()
        following: dict[bytes, set[int]] = defaultdict(set)
        for name in ids:
            for step, token in enumerate(name.tolist()):
                following[name[:step].tobytes()].add(token)
        widest = max(len(tokens) for tokens in following.values())
        self.may_follow = np.full((len(ids), max(map(len, ids)), widest), -1)
        """Tokens that may stand where each token of each name stands, -1 where there are fewer."""
        for row, name in enumerate(ids):
            for step in range(len(name)):
                tokens = sorted(following[name[:step].tobytes()])
                self.may_follow[row, step, : len(tokens)] = tokens

    def scores(self, prompt: np.ndarray) -> dict[Reading, np.ndarray]:
        """Log-probability of each name in either reading (see `ml.llm.by_name.reader`), float64, shape (n_names,).

        Args:
            prompt: token ids, cue included.
        """
        import torch
        from transformers import DynamicCache

        found: dict[Reading, np.ndarray] = {"catalogue": np.empty(len(self.ids)), "vocabulary": np.empty(len(self.ids))}
        with torch.inference_mode():
            cache = DynamicCache(config=self.model.config)
            ids = torch.from_numpy(padded([prompt]))
            read = self.model(input_ids=ids, past_key_values=cache, use_cache=True).last_hidden_state[:, -1:]
            for start in range(0, len(self.ids), NAMES_AT_ONCE):
                rows = range(start, min(start + NAMES_AT_ONCE, len(self.ids)))
                mine = copy.deepcopy(cache)
                mine.batch_repeat_interleave(len(rows))
                ids = torch.from_numpy(padded([self.ids[row] for row in rows]))
                states = self.model(input_ids=ids, past_key_values=mine, use_cache=True).last_hidden_state
                before = torch.cat([read.expand(len(rows), -1, -1), states], dim=1).float()
                says = torch.log_softmax(before @ self.weight.T, dim=2).double().numpy()
                for row, at in zip(rows, says, strict=True):
                    name, may = self.ids[row], self.may_follow[row, : len(self.ids[row])]
                    steps = np.arange(len(name))
                    share = np.where(may >= 0, np.exp(at[steps[:, None], may]), 0).sum(axis=1)
                    found["vocabulary"][row] = at[steps, name].sum()
                    found["catalogue"][row] = (at[steps, name] - np.log(share)).sum()
        return found
