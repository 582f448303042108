"""The ranker: labelled rows, point-in-time features, priors as features, XGBoost, calibration."""
