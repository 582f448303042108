"""Token ids by the line: a prompt's ids are its lines' ids joined, so each distinct line is tokenized once.

That holds because a newline ends every line and no line begins or ends in other white space; it is
checked for the tokenizer at hand when it is opened. Needs `tokenizers` only, so counting is light.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ml.errors import BadInput

_SAMPLE = ["user: 25-34, female, CA\n", "search: trail shoes, 42\n", "visit: Nike\n", "bought: O'Neill & Co.\n"]


class LineTokenizer:
    """Caches the ids of every distinct line it has seen.

    Args:
        directory: a base model's directory.

    Raises:
        BadInput: no `tokenizer.json` there, or its ids cannot be joined line by line.
    """

    def __init__(self, directory: Path) -> None:
        from tokenizers import Tokenizer

        path = directory / "tokenizer.json"
        if not path.exists():
            raise BadInput("no tokenizer.json", where=str(directory), remedy="save the model's fast tokenizer there")
        self._tokenizer = Tokenizer.from_file(str(path))
        # A user who searches for "<|im_start|>" has typed ten characters, not a control token.
        self._tokenizer.encode_special_tokens = True
        self._ids: dict[str, np.ndarray] = {}
        if not np.array_equal(np.concatenate(self.encode_lines(_SAMPLE)), self.encode_text("".join(_SAMPLE))):
            raise BadInput(
                "ids of lines do not join to the ids of the text",
                where=str(path),
                remedy="use a byte-level BPE tokenizer (SmolLM2, Llama 3, Qwen and the like)",
            )

    def encode_text(self, text: str) -> np.ndarray:
        """Ids of a whole text, int32, not cached: what joined lines must equal."""
        return np.array(self._tokenizer.encode(text, add_special_tokens=False).ids, dtype=np.int32)

    def encode_lines(self, lines: Sequence[str]) -> list[np.ndarray]:
        """Ids of each line, int32.

        Raises:
            ValueError: a line that does not end in its only newline, or has white space around it.
        """
        fresh = [line for line in dict.fromkeys(lines) if line not in self._ids]
        for line in fresh:
            if line != line.strip() + "\n" or line == "\n":
                raise ValueError(f"not a prompt line: {line!r}")
        for line, found in zip(fresh, self._tokenizer.encode_batch_fast(fresh, add_special_tokens=False), strict=True):
            self._ids[line] = np.array(found.ids, dtype=np.int32)
        return [self._ids[line] for line in lines]

    def count(self, lines: Sequence[str]) -> np.ndarray:
        """Tokens of each line, shape (n_lines,)."""
        return np.array([len(ids) for ids in self.encode_lines(lines)], dtype=np.int64)
