"""Sources of advertiser predictions: one protocol, one file each, one contract suite for all."""
