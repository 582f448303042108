"""Reads names after prompts: each prompt once, then nodes of the trie, all those of a user as tokens of one row.

A node sees its user's prompt and its own ancestors through the attention mask (tree attention: Miao et al. 2024,
SpecInfer), so a prompt's keys and values are neither copied nor reordered, however many hypotheses there are. The head
is the model's own vocabulary matrix in float32: in bfloat16 a log-probability would be rounded to about .06.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ml.errors import BadInput
from ml.llm.batches import padded
from ml.llm.by_name.trie import NameTrie

if TYPE_CHECKING:
    import torch

Reading = Literal["catalogue", "vocabulary"]
ROWS_AT_ONCE = 256
"""Bounds memory, changes no result."""


class NodeReader:
    """Hidden states of trie nodes after some prompts.

    Args:
        model: a transformer without its head; adapters merged or absent.
        trie: the names.
        device: where the model computes.
    """

    def __init__(self, model: Any, trie: NameTrie, device: str) -> None:
        self.model, self.trie, self.device = model, trie, device

    def begin(self, prompts: list[np.ndarray]) -> torch.Tensor:
        """Read the prompts (cue included) of some users; states at their ends, float32, shape (n_users, width)."""
        import torch
        from transformers import DynamicCache

        self.lengths = np.array([len(prompt) for prompt in prompts])
        self.cache = DynamicCache(config=self.model.config)
        self.slots = np.empty((len(prompts), 0), dtype=np.int64)
        ids = torch.from_numpy(padded(prompts)).to(self.device)
        states = self.model(input_ids=ids, past_key_values=self.cache, use_cache=True).last_hidden_state
        found: torch.Tensor = states[torch.arange(len(prompts)), torch.from_numpy(self.lengths - 1)].float()
        return found

    def extend(self, nodes: np.ndarray) -> torch.Tensor:
        """Read more nodes; the parents of each have been read, or stand beside it.

        Args:
            nodes: shape (n_users, n), -1 where a user has fewer.

        Returns:
            float32, shape (n_users, n, width).
        """
        import torch

        self.slots = np.concatenate([self.slots, nodes], axis=1)
        in_prompt = np.arange(self.lengths.max()) < self.lengths[:, None]
        seen = np.concatenate(
            [
                np.broadcast_to(in_prompt[:, None, :], (*nodes.shape, in_prompt.shape[1])),
                self.trie.leads_to(self.slots[:, None, :], nodes[:, :, None]),
            ],
            axis=2,
        )
        position = self.lengths[:, None] + self.trie.depth[nodes] - 1
        token = np.maximum(self.trie.token[nodes], 0)
        states: torch.Tensor = self.model(
            input_ids=torch.from_numpy(token).to(self.device),
            position_ids=torch.from_numpy(position).to(self.device),
            attention_mask=torch.from_numpy(seen[:, None]).to(self.device),
            past_key_values=self.cache,
            use_cache=True,
        ).last_hidden_state
        return states.float()


class NextToken:
    """Log-probabilities of next tokens, in one of two readings.

    `vocabulary`: as the LLM says, among all tokens; a name's sum is P(text | prompt), and over the catalogue
    these sum to less than 1. `catalogue`: among the tokens that go on to a name; a name's product is then a
    distribution over the catalogue, and forced tokens cost nothing.

    Args:
        weight: the vocabulary matrix, shape (vocabulary, width).
        trie: the names.
        reading: see above.
    """

    def __init__(self, weight: torch.Tensor, trie: NameTrie, reading: Reading) -> None:
        import torch

        self.reading, self.column = reading, np.arange(len(weight))
        if reading == "catalogue":
            tokens = np.unique(trie.token[1:])
            self.column[tokens] = np.arange(len(tokens))
            weight = weight[torch.from_numpy(tokens).to(weight.device)]
        self.weight = weight.float()

    def log_probabilities(self, hidden: torch.Tensor, row: np.ndarray, token: np.ndarray) -> np.ndarray:
        """Log-probability of some tokens, float64, shape (n,).

        Args:
            hidden: states, shape (n_states, width).
            row: shape (n,), ascending: the state each token follows.
            token: shape (n,); in the reading `catalogue` all that may follow a state, side by side.
        """
        import torch

        found = np.empty(len(row))
        for start in range(0, len(hidden), ROWS_AT_ONCE):
            a, b = np.searchsorted(row, [start, start + ROWS_AT_ONCE])
            mine, column = torch.from_numpy(row[a:b] - start), torch.from_numpy(self.column[token[a:b]])
            logits = hidden[start : start + ROWS_AT_ONCE] @ self.weight.T
            picked = logits[mine.to(logits.device), column.to(logits.device)].double().cpu().numpy()
            if self.reading == "vocabulary":
                total = torch.logsumexp(logits, dim=1).double().cpu().numpy()[mine]
            else:
                total = _log_sum_by(row[a:b] - start, picked)
            found[a:b] = picked - total
        return found


def vocabulary_matrix(model: Any) -> torch.Tensor:
    """The matrix that turns a hidden state into logits over the vocabulary, shape (vocabulary, width).

    Raises:
        BadInput: it is not the embedding itself; the base is loaded without any other.
    """
    if not model.config.tie_word_embeddings:
        raise BadInput(
            "the base model's vocabulary head is not its embedding",
            where=type(model).__name__,
            remedy="forecast by name with a model of tied embeddings, such as smollm2-135m",
        )
    weight: torch.Tensor = model.get_input_embeddings().weight.detach()
    return weight


def _log_sum_by(group: np.ndarray, values: np.ndarray) -> np.ndarray:
    """log sum exp of the values of each one's own group, shape (n,); groups are ascending numbers."""
    if not len(group):
        return values
    starts = np.flatnonzero(np.diff(group, prepend=-1))
    place = np.cumsum(np.diff(group, prepend=group[0]) > 0)
    most = np.maximum.reduceat(values, starts)
    sums: np.ndarray = np.log(np.add.reduceat(np.exp(values - most[place]), starts)) + most
    return sums[place]
