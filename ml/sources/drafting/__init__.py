"""Drafting a mapping from what lies in a directory or S3 prefix: look, guess, write down (see `draft`).

look.py     which files belong together; what their columns hold
words.py    the names people give to tables and columns
guess.py    which group of files is which table, which column is which contract column
text.py     the commented YAML
draft.py    the whole: draft(data) -> text
"""
