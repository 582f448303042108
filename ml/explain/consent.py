"""May this user be shown? Only with consent: by the newest row as of the day, and by the newest row there is."""

from __future__ import annotations

from datetime import date

from ml.errors import BadInput
from ml.lake import Lake

HOW_TO_FIND = "user ids stand in the users table of the logs; `adprior explain --sample` lists a few that have it all"
_CONSENT = "SELECT consent FROM users WHERE user_id = $user"


def must_consent(lake: Lake, user_id: str, day: date) -> None:
    """Pass, or say why nothing is shown. A withdrawal after the day counts too.

    Raises:
        BadInput: no such user, or no consent.
    """
    then, now = _consent(lake, user_id, day), _consent(lake, user_id, None)
    if then is None:
        later = f" (first known after {day})" if now is not None else ""
        raise BadInput(f"no user {user_id!r} in the logs{later}", where="adprior explain USER_ID", remedy=HOW_TO_FIND)
    if not (then and now):
        when = f"by {day}" if not then else f"since {day}: consent was withdrawn"
        raise BadInput(
            f"user {user_id!r} has not consented {when}; nothing is shown",
            where="column consent of the users table",
            remedy="none: only consenting users are explained; `adprior explain --sample` lists some",
        )


def _consent(lake: Lake, user_id: str, as_of: date | None) -> bool | None:
    with lake.connect(as_of=as_of) as con:
        found = con.execute(_CONSENT, {"user": user_id}).fetchall()
    return bool(found[0][0]) if found else None
