"""Scrubbing: what a person typed, made safe to keep in a prompt.

Removes what looks like a URL, an e-mail address or handle, or a long number (phone, card, account),
then lower-cases, trims and caps the rest. It errs on the side of removing ("dr.martens" looks like a
host and goes), and it knows nothing of names or of how rare a text is.
"""

from __future__ import annotations

import re
import unicodedata

MAX_WORD = 40
"""Characters of one word that are kept; longer ones are codes, not language."""

LONG_NUMBER = re.compile(r"\d(?:[\s().,:/+_\-]*\d){6,}")
"""Seven digits or more, however they are grouped."""
PRIVATE_WORD = re.compile(
    r"""  @                                       # e-mail address or handle
        | ://                                     # any scheme
        | ^\W*www\.
        | \w\.[^\W\d_]{2,}                        # host.tld, with or without a path
        | \d+\.\d+\.\d+\.\d+                      # IPv4 address
        | %[0-9a-f]{2}                            # percent-encoding
    """,
    re.VERBOSE,
)


def scrub(text: str, max_words: int) -> str | None:
    """Free text without URL-like and e-mail-like words and long numbers, lower-cased, in one line.

    Args:
        text: as typed.
        max_words: words kept, counted after scrubbing.

    Returns:
        The text, words parted by single blanks; None if nothing is left. Scrubbing it again changes nothing.
    """
    before = None
    while text != before:  # a removal may bring digits together that stood apart, so until nothing changes
        before = text
        words = LONG_NUMBER.sub(" ", _plain(text)).split()
        text = " ".join(word[:MAX_WORD] for word in words if _is_language(word))
    return " ".join(text.split()[:max_words]) or None


def looks_private(text: str) -> bool:
    """Whether a text holds anything that `scrub` would remove (for checks of what was written)."""
    plain = _plain(text)
    return bool(LONG_NUMBER.search(plain)) or any(PRIVATE_WORD.search(word) for word in plain.split())


def _is_language(word: str) -> bool:
    return any(c.isalnum() for c in word) and not PRIVATE_WORD.search(word)


def _plain(text: str) -> str:
    """Lower case, compatibility forms folded (full-width digits and dots), no invisible characters."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).lower())
    visible = (" " if c.isspace() or unicodedata.category(c) == "Cc" else c for c in folded)
    return "".join(c for c in visible if unicodedata.category(c) not in ("Cf", "Cs", "Co", "Cn"))
