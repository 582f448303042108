"""User contexts: what is known of each user at the end of a day, as typed fields and as a prompt."""
