"""Data checks with Great Expectations: suites made from the contract, outcomes in words."""
