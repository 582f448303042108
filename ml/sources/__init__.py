"""Readers of raw logs. Every source delivers the tables of `contract.py`; `ingest.py` makes them safe."""
