"""Evaluation: every number with a paired interval over users."""
