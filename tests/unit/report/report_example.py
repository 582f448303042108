"""Synthetic results in the shape of one small run: random figures from a seed, no two of them alike."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import numpy as np

KS = (1, 5, 10, 20, 50)
AS_OF = date(2026, 4, 22)
STAGES = [
    "raw_advertisers",
    "raw_ads",
    "raw_users",
    "raw_activity",
    "raw_impressions",
    "raw_clicks",
    "raw_conversions",
    "user_contexts",
    "training_examples",
    "advertiser_llm",
    "advertiser_predictions",
    "retrieval_model",
    "candidate_sets",
    "ranker",
    "evaluation",
]
STRENGTH = {
    **{"popularity": 0.45, "repeat_last": 0.7, "cooccurrence": 0.83, "ials": 0.72, "itemknn": 0.69},
    **{"text_linear": 0.77, "sequence": 0.8, "placebo": 0.42, "llm": 0.95},
    **{"llm+ials": 0.99, "cooccurrence+sequence": 0.87},
}


def interval(value: float, half: float) -> dict[str, float]:
    return {"value": value, "low": value - half * 0.97, "high": value + half * 1.03}


def difference(metric: str, arm: str, against: str, value: float, half: float) -> dict[str, Any]:
    figures = interval(value, half)
    return {
        "metric": metric,
        "arm": arm,
        "against": against,
        **figures,
        "minimum_effect": half * 1.43,
        "p_holm": 0.2 * half,
    }


def day(offset: int) -> str:
    return str(AS_OF + timedelta(days=offset))


def example(seed: int = 7) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    predictors = _predictors(rng)
    return {
        "profile": "small",
        "source": "world",
        "as_of": str(AS_OF),
        "seed": 7,
        "git_commit": "abc1234",
        "created": "2026-11-21T22:15:03+00:00",
        "machine": {
            "cpu": "Intel Xeon (Sapphire Rapids)",
            "cores": 2,
            "memory_gb": 23.5,
            "bf16_matrix_units": True,
            "gpu": None,
        },
        "timeline": {
            "predictor_cutoff": day(-21),
            "ranker": f"{day(-20)}..{day(-11)}",
            "calibration": f"{day(-10)}..{day(-7)}",
            "test": f"{day(1)}..{day(7)}",
            "test_closes": day(14),
            "label_window_days": 7,
        },
        "stages": {
            name: {"rows": int(rng.integers(150, 400_000)), "seconds": float(rng.gamma(1.2, 5))} for name in STAGES
        }
        | {
            "advertiser_llm": {"rows": 1_830, "seconds": 231.4},
            "advertiser_predictions": {"rows": 63_420, "seconds": 198.7},
        },
        "counts": {
            "test_users": 1_260,
            "new_share": 0.553,
            "catalogue": 150,
            "labels_outside_catalogue": 0.021,
            "train_users": 2_713,
            "active_users": 3_171,
        },
        "llm": _llm(rng),
        "predictors": predictors,
        "predictor_differences": _predictor_differences(rng, predictors),
        **_honesty(rng, predictors),
        "predictor_groups": {"all": 1_260, "new": 697, "short": 412, "rare": 238, "catalogue": 1_234},
        "predictor_exclusive": {
            name: {"exclusive_hits@20": interval(float(rng.uniform(0.02, 0.16)), 0.0131)}
            for name in predictors
            if "+" not in name
        },
        "predictor_costs": {
            name: {
                "train_users": 2_713,
                "fit_cpu_seconds": float(rng.uniform(0.5, 60)),
                "cpu_seconds_per_1000_users": float(rng.uniform(0.01, 2)),
            }
            for name in predictors
            if name != "placebo" and "+" not in name
        },
        "retrieval": {
            arm: {
                "ad_recall": interval(base * 0.43, 0.021),
                "advertiser_recall": interval(base, 0.027),
                "new_advertiser_recall": interval(base * 0.71, 0.033),
            }
            for arm, base in (("conventional", 0.612), ("llm", 0.694), ("cooccurrence", 0.683), ("placebo", 0.601))
        },
        "retrieval_budget": 100,
        "retrieval_quota": 0.3,
        "retrieval_quota_choice": _quota_choice(),
        "retrieval_differences": [
            difference(metric, "llm", against, float(value), 0.0171)
            for metric, shrink in (("ad_recall", 0.5), ("advertiser_recall", 1.0), ("new_advertiser_recall", 0.9))
            for against, value in (("conventional", 0.0823 * shrink), ("cooccurrence", 0.0114 * shrink))
        ],
        "concentration": {
            arm: {"top10_share": float(rng.uniform(0.2, 0.4)), "gini": float(rng.uniform(0.4, 0.6))}
            for arm in ("conventional", "llm", "cooccurrence", "placebo")
        },
        **_ranker(rng),
        "notes": [
            "The world is simulated: its users and advertisers do not exist.",
            "Sources that train in seconds use all training users; the LLM a seeded sample.",
        ],
        "checks": [
            {
                "asset": asset,
                "check": check,
                "passed": not (asset == "ranker" and check == "beats_champion"),
                "severity": "WARN" if check == "beats_champion" else "ERROR",
                "description": f"{check}: observed {rng.uniform(0, 1):.4f}, threshold 0.01",
            }
            for asset, check in [(s, c) for s in STAGES[:8] for c in ("schema", "keys", "volume")]
            + [("advertiser_llm", "loss_fell"), ("advertiser_llm", "reload_equal"), ("ranker", "beats_champion")]
        ],
        "seconds_total": 612.3,
        "peak_rss_mb": 3120.0,
    }


def _predictors(rng: np.random.Generator) -> dict[str, Any]:
    table: dict[str, Any] = {}
    for name in STRENGTH:
        table[name] = {}
        for k in KS:
            base = STRENGTH[name] * (0.11 + 0.13 * np.log2(k + 0.4)) + rng.normal(0, 0.004)
            new = base * (0.08 if name == "repeat_last" else 0.74)
            for group, level in (("", base), ("new_", new), ("short_", 0.81 * base), ("rare_", 0.42 * base)):
                table[name][f"{group}recall@{k}"] = interval(float(level), 0.0241)
                table[name][f"{group}ndcg@{k}"] = interval(float(level) * 0.61, 0.0213)
                table[name][f"{group}mrr@{k}"] = interval(float(level) * 0.53, 0.0202)
            table[name][f"catalogue_recall@{k}"] = interval(float(base) * 1.021, 0.0245)
    return table


def _quota_choice() -> dict[str, Any]:
    """Recall rises with the quota and falls again; the curve of the test users lies a little lower."""

    def point(quota: float, lower: float) -> dict[str, Any]:
        value = 0.612 + 0.5 * quota - 0.6 * quota**2 - lower
        recalls = {"ad_recall": value * 0.4, "advertiser_recall": value, "new_advertiser_recall": value * 0.7}
        rise = {**interval(value - 0.612 + lower, 0.02), "minimum_effect": 0.03 + quota / 100 + lower}
        return {
            "quota": quota,
            **{name: interval(share, 0.025) for name, share in recalls.items()},
            "gain": dict.fromkeys(recalls, rise) if quota else {},
            "top10_share": 0.25 + quota / 4,
            "gini": 0.5 + quota / 10 + lower,
        }

    curves = {
        name: [point(q, low) for q in (0.0, 0.1, 0.3, 0.6, 0.9)] for name, low in (("curve", 0), ("test_curve", 0.02))
    }
    interest = {"interest_quota": 0.1, "interest_fixed": False, "interest_chosen": 0.1, "interest_curve": []}
    return {
        "quota": 0.3,
        "fixed": False,
        "chosen": 0.3,
        "metric": "advertiser_recall",
        "users": 812,
        **curves,
        **interest,
    }


def _honesty(rng: np.random.Generator, predictors: dict[str, Any]) -> dict[str, Any]:
    def bins() -> list[dict[str, Any]]:
        claimed = np.sort(rng.uniform(0.02, 0.4, 10))
        return [
            {"predicted": float(p), "observed": float(p * rng.normal(1, 0.1)), "rows": int(rng.integers(110, 140))}
            for p in claimed
        ]

    return {
        "predictor_calibration": {
            name: {
                "top1_ece": interval(float(rng.uniform(0.01, 0.06)), 0.0082),
                "top10_ece": interval(float(rng.uniform(0.01, 0.06)), 0.0093),
                "top1_slope": interval(float(rng.uniform(0.7, 1.2)), 0.112),
                "top1_intercept": interval(float(rng.uniform(-0.3, 0.3)), 0.0912),
                "target_log_loss": interval(float(rng.uniform(3, 4)), 0.0931),
            }
            for name in predictors
        },
        "predictor_reliability": {name: bins() for name in predictors},
    }


def _predictor_differences(rng: np.random.Generator, predictors: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        difference(
            metric,
            "llm",
            against,
            predictors["llm"][metric]["value"] - predictors[against][metric]["value"],
            float(rng.uniform(0.014, 0.022)),
        )
        for metric in ("recall@1", "recall@10", "new_recall@10", "ndcg@10")
        for against in predictors
        if against != "llm" and "+" not in against
    ] + [
        difference(metric, "llm+ials", "cooccurrence+sequence", float(rng.uniform(0.01, 0.05)), 0.0132)
        for metric in ("recall@10", "recall@20", "new_recall@10")
    ]


def _llm(rng: np.random.Generator) -> dict[str, Any]:
    steps = 40
    curve = [
        {
            "tokens": 5_003 * (i + 1),
            "loss": float(3.1 + 1.9 * np.exp(-i / 9) + rng.normal(0, 0.05)),
            "validation_loss": float(3.2 + 1.8 * np.exp(-i / 9)) if i % 8 == 7 else None,
        }
        for i in range(steps)
    ]
    return {
        "base_model": "SmolLM2-135M-Instruct",
        "train_users": 1_830,
        "train_tokens": 200_120,
        "token_budget": 200_000,
        "train_targets": 6_421,
        "scored_users": 3_171,
        "scored_tokens": 358_204,
        "dtype": "bfloat16",
        "threads": 2,
        "cpu_seconds": 402.5,
        "temperature": 1.183,
        "loss_curve": curve,
        "validation": {"loss_start": 5.012, "loss_end": 3.241, "recall@10": 0.4312, "popularity_recall@10": 0.2987},
    }


def _ranker(rng: np.random.Generator) -> dict[str, Any]:
    gain = {"none": 0.0, "llm": 0.0061, "placebo": -0.0004}
    return {
        "ranker": {
            arm: {
                "auc": interval(0.7213 + g, 0.0121),
                "pr_auc": interval(0.0834 + g, 0.0092),
                "log_loss": interval(0.1034 - g / 9, 0.0051),
                "normalized_entropy": interval(0.9312 - g, 0.0091),
                "ece": interval(0.0021 + abs(g) / 50, 0.0009),
            }
            for arm, g in gain.items()
        },
        "ranker_differences": [
            difference(metric, arm, "none", sign * gain[arm] + float(rng.normal(0, 1e-4)), half)
            for metric, sign, half in (
                ("auc", 1, 0.0038),
                ("pr_auc", 1, 0.0051),
                ("log_loss", -1 / 9, 0.0004),
                ("normalized_entropy", -1, 0.0042),
                ("ece", 0.02, 0.0006),
            )
            for arm in ("llm", "placebo")
        ],
        "ranker_reliability": {
            arm: [
                {
                    "predicted": float(p),
                    "observed": float(max(0, p * rng.normal(1, 0.12))),
                    "rows": int(rng.integers(700, 900)),
                }
                for p in np.geomspace(0.002, 0.14, 10)
            ]
            for arm in gain
        },
        **_pctr(gain),
        "ranker_rows": {"train": 41_204, "calibration": 15_903, "test": 27_411, "positives_test": 713},
        **_importance(rng, gain),
    }


def _pctr(arms: dict[str, float]) -> dict[str, Any]:
    values = {
        "auc": interval(0.6612, 0.0101),
        "pr_auc": interval(0.0412, 0.0052),
        "log_loss": interval(0.1214, 0.0031),
        "normalized_entropy": interval(0.9711, 0.0071),
        "ece": interval(0.0017, 0.0006),
    }
    return {
        "ranker_click": {arm: dict(values) for arm in arms},
        "ranker_click_differences": [difference("auc", arm, "none", 0.0012, 0.0031) for arm in ("llm", "placebo")],
        "ranker_click_reliability": {"llm": [{"predicted": 0.02, "observed": 0.019, "rows": 812}]},
    }


FEATURES = {
    "prior_probability": "priors",
    "prior_rank": "priors",
    "user_advertiser_visits_30d": "history",
    "advertiser_popularity": "popularity",
    "surface": "ad",
    "ad_age_days": "ad",
    "age_bucket": "profile",
    "region": "profile",
}


def _importance(rng: np.random.Generator, arms: dict[str, float]) -> dict[str, Any]:
    def costs() -> dict[str, Any]:
        return {"auc_drop": interval(rng.gamma(1, 0.02), 0.0031), "log_loss_rise": interval(rng.gamma(1, 0.002), 4e-4)}

    of = {arm: [f for f, group in FEATURES.items() if arm != "none" or group != "priors"] for arm in arms}
    gains = {arm: np.sort(rng.gamma(1.5, 14, len(mine)))[::-1] for arm, mine in of.items()}
    features = {
        arm: [
            {"feature": f, "group": FEATURES[f], "gain": float(g), "gain_share": float(g / gains[arm].sum()), **costs()}
            for f, g in zip(mine, gains[arm], strict=True)
        ]
        for arm, mine in of.items()
    }
    groups = {
        arm: [
            {
                "group": group,
                "features": len(own),
                "gain_share": sum(f["gain_share"] for f in own),
                **costs(),
            }
            for group in dict.fromkeys(FEATURES.values())
            if (own := [f for f in mine if f["group"] == group])
        ]
        for arm, mine in features.items()
    }
    return {
        "ranker_importance": features,
        "ranker_importance_groups": groups,
        "ranker_importance_sample": {"rows": 26_113, "users": 1_004, "repeats": 3},
    }
