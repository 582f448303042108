"""The paper's own form of the forecast: the LLM writes the advertiser's name. Kept as a control beside the one pass."""
