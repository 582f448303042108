"""One file a stage, thin: inputs, one call into ml/, table or model with metadata; its checks stand beside it."""
