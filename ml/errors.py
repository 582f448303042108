"""Errors a user can act on: each says what is wrong, where, and how to mend it."""


class AdpriorError(Exception):
    """Base of every error that is the input's fault, not the program's."""


class BadInput(AdpriorError):
    """A file, table, column or setting that cannot be used.

    Args:
        what: what is wrong, in one clause.
        where: the file, table, column or setting at fault.
        remedy: what the reader should do about it.
    """

    def __init__(self, what: str, *, where: str, remedy: str) -> None:
        super().__init__(f"{what}\n  where:  {where}\n  remedy: {remedy}")
        self.what, self.where, self.remedy = what, where, remedy


class TimelineViolation(AdpriorError):
    """A row saw, or was about to see, something from after its cutoff."""
