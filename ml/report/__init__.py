"""The report of one run: one HTML page a person wants to read, and the same numbers as JSON."""
