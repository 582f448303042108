"""The advertiser LLM: base model, tokens, batches, LoRA training and the one-pass advertiser head."""
