"""From hidden states to probabilities over the catalogue: one matrix product, in blocks of users.

The advertisers' side of the product is computed once a catalogue. Float32 until the last step; it does not know
prompts or models. How to try it: `CatalogueScores(head, temperature=1.0).likeliest(hidden, 10)`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ml.llm.head import AdvertiserHead

if TYPE_CHECKING:
    import torch

USERS_AT_ONCE = 4096
"""Bounds memory, changes no result."""


class CatalogueScores:
    """A head over its catalogue, for many users.

    Args:
        head: trained.
        temperature: what logits are divided by.
        added: to every user's logits after that, shape (n_advertisers,); None: nothing.
    """

    def __init__(self, head: AdvertiserHead, temperature: float, added: np.ndarray | None = None) -> None:
        import torch

        self.head, self.temperature = head, temperature
        self.added = None if added is None else torch.from_numpy(added.astype(np.float32))
        with torch.inference_mode():
            self.advertisers = head.advertisers()

    def __len__(self) -> int:
        return len(self.advertisers[0])

    def distribution(self, hidden: np.ndarray) -> np.ndarray:
        """P(advertiser | converts), float64, shape (n, n_advertisers); rows sum to 1.

        Args:
            hidden: shape (n, hidden).
        """
        import torch

        with torch.inference_mode():
            found: np.ndarray = torch.softmax(self._logits(hidden).double(), dim=1).numpy()
        return found

    def likeliest(self, hidden: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """The k likeliest advertisers of each user, without the others' probabilities.

        Args:
            hidden: shape (n, hidden).
            k: at most the catalogue's size.

        Returns:
            Columns, int64, and their probabilities, float64, both (n, k), likeliest first; of equal ones the lower
            column first.
        """
        import torch

        columns = np.empty((len(hidden), k), dtype=np.int64)
        probability = np.empty((len(hidden), k))
        with torch.inference_mode():
            for start in range(0, len(hidden), USERS_AT_ONCE):
                block = slice(start, start + USERS_AT_ONCE)
                logits = self._logits(hidden[block])
                values, found = _top(logits, k)
                total = torch.logsumexp(logits, dim=1, keepdim=True)
                columns[block], probability[block] = found.numpy(), (values.double() - total.double()).exp().numpy()
        return columns, probability

    def _logits(self, hidden: np.ndarray) -> torch.Tensor:
        import torch

        logits = self.head.scores(torch.from_numpy(hidden), *self.advertisers) / self.temperature
        return logits if self.added is None else logits + self.added


def _top(logits: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The k greatest values of each row and their columns; torch's own `topk` leaves the order of ties open."""
    import torch

    values, columns = torch.topk(logits, min(k + 1, logits.shape[1]), dim=1)
    if values.shape[1] > k:
        tied = torch.nonzero(values[:, k - 1] == values[:, k])[:, 0]  # others than these might have been taken
        values, columns = values[:, :k], columns[:, :k]
        if len(tied):
            ordered, order = torch.sort(logits[tied], dim=1, descending=True, stable=True)
            values[tied], columns[tied] = ordered[:, :k], order[:, :k]
    columns, order = torch.sort(columns, dim=1)
    values, order = torch.sort(values.gather(1, order), dim=1, descending=True, stable=True)
    return values, columns.gather(1, order)
