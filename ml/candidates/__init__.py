"""Candidate sets: conventional ad retrieval and advertiser-targeted ads, blended under a quota."""
