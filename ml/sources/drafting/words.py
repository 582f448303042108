"""The names people give to the contract's tables and columns; whole words, without plural s, compared in lower case."""

from __future__ import annotations

import re

TABLES = {
    "advertisers": "advertiser brand merchant seller vendor sponsor partner company shop store maker",
    "ads": "ad creative banner campaign product item sku listing offer catalog catalogue article",
    "users": "user customer member profile person people visitor client subscriber account consumer",
    "activity": "activity event pageview visit search session browse browsing hit clickstream tracking web site page "
    "interaction behaviour behavior",
    "impressions": "impression imp exposure served shown delivery auction view display win",
    "clicks": "click tap",
    "conversions": "conversion order purchase transaction sale checkout buy signup lead install action payment",
}
KINDS = {
    "impressions": "impression imp exposure ad_impression shown served ad_view",
    "clicks": "click clk ad_click tap",
    "conversions": "conversion purchase order buy transaction sale checkout signup sign_up lead install subscribe "
    "booking registration trial",
    "activity": "search query visit view pageview page_view pv browse save favorite favourite fav wishlist bookmark "
    "add_to_cart cart",
}
"""Values of a column that tells events of different tables apart."""
ACTIVITY = {
    "search": "search query q find",
    "visit": "visit view pageview page_view pv browse open read detail session",
    "save": "save favorite favourite fav wishlist bookmark like cart add_to_cart basket follow",
}
ATTRIBUTION = {
    "click": "click ctc clickthrough click_through post_click",
    "view": "view vtc viewthrough view_through post_view impression",
    "none": "none organic direct unattributed no",
}
FILLING = frozenset(["pag", "product", "item", "add", "screen", "complet", "event", "on", "to"])
"""Stems of words that do not change what an event is."""
_IDS = "id key uuid guid hash code no number ref"
ID_WORDS = frozenset(_IDS.split())
_TIME = "time timestamp ts date datetime at when occurred logged happened"

COLUMNS: dict[str, dict[str, str]] = {
    "advertisers": {
        "advertiser_id": TABLES["advertisers"] + " adv",
        "name": "name title label brand_name advertiser_name display_name company",
        "vertical": "vertical industry sector line business category segment department",
        "active_from": "active_from since start started created joined onboarded first_seen valid_from from begin",
        "active_to": "active_to until end ended churned valid_to expired to",
    },
    "ads": {
        "ad_id": TABLES["ads"],
        "advertiser_id": TABLES["advertisers"] + " adv",
        "title": "title headline name description text copy label",
        "category": "category cat topic department class segment genre shelf type vertical subcategory",
        "price": "price cost amount list_price msrp",
        "created_at": "created made launched added published start since",
    },
    "users": {
        "user_id": TABLES["users"] + " uid cust device cookie",
        "age_bucket": "age age_bucket age_group age_range agegroup",
        "gender": "gender sex",
        "region": "region country state city geo place location market area",
        "consent": "consent opt_in optin opted opt gdpr marketing permission agreed allowed tcf",
        "updated_at": "updated modified changed last_seen created signup registered joined since updated_at",
    },
    "activity": {
        "event_id": "event hit activity visit row log record",
        "user_id": TABLES["users"] + " uid cust device cookie",
        "event_time": _TIME + " event_time created server",
        "kind": "kind type action event event_type event_name what name",
        "text": "text query search term keyword q words phrase",
        "url": "url page link href location path landing uri",
        "category": "category cat topic department class section genre",
        "advertiser_id": TABLES["advertisers"] + " adv",
    },
    "impressions": {
        "impression_id": "impression imp exposure view event",
        "request_id": "request req auction query pageview session opportunity",
        "user_id": TABLES["users"] + " uid cust device cookie",
        "ad_id": TABLES["ads"],
        "event_time": _TIME + " event_time shown served created",
        "surface": "surface placement slot zone inventory page channel app format unit",
        "position": "position rank pos index place order",
        "bid": "bid offer bid_price cpc max_bid",
        "price_paid": "price_paid paid cost spend clearing win_price charge price micro",
        "propensity": "propensity prob probability p",
    },
    "clicks": {
        "click_id": "click tap event",
        "impression_id": "impression imp exposure view",
        "event_time": _TIME + " event_time clicked created",
        "dwell_seconds": "dwell duration seconds time_on_page time_on_site engagement stay",
    },
    "conversions": {
        "conversion_id": "conversion order transaction purchase sale checkout event lead install payment",
        "user_id": TABLES["users"] + " uid cust device cookie buyer",
        "advertiser_id": TABLES["advertisers"] + " adv",
        "ad_id": TABLES["ads"],
        "event_time": _TIME + " event_time ordered purchased converted created paid",
        "known_at": "known reported received processed ingested attributed loaded booked",
        "kind": "kind type goal action conversion_type event_type event sort",
        "value": "value cent revenue amount total paid price gmv sales basket worth",
        "impression_id": "impression imp exposure view",
        "attribution": "attribution attributed touch attr how credit",
    },
}


def words_of(name: str) -> list[str]:
    """The words of a name: orderIDs -> order, id."""
    spaced = re.sub(r"([a-z0-9])([A-Z])", r"\1 \2", name)
    found = re.findall(r"[a-z]+|\d+", spaced.lower())
    return [word[:-1] if len(word) > 2 and word.endswith("s") and not word.endswith("ss") else word for word in found]


def is_one(value: str, synonyms: str) -> bool:
    """Is a value one of these words, as a whole or but for a word that adds nothing (Page Viewed, Order Completed)?"""
    words = [_stem(word) for word in words_of(value)]
    known = {"_".join(map(_stem, words_of(synonym))) for synonym in synonyms.split()}
    telling = [word for word in words if word not in FILLING]
    return "_".join(words) in known or "_".join(telling) in known


def _stem(word: str) -> str:
    """viewed -> view, purchased -> purchase; of two words that become the same, both do."""
    for ending in ("ing", "ed", "e"):
        if word.endswith(ending) and len(word) > len(ending) + 2:
            return word.removesuffix(ending)
    return word


def table_likeness(pattern: str, table: str) -> float:
    """How much a path sounds like a table: the last word of a name says what it is (ad_clicks are clicks)."""
    known = set(TABLES[table].split())
    best = 0.0
    for part in re.sub(r"\{\w+\}|\.(parquet|csv|tsv|gz)", "", pattern).split("/"):
        words = words_of(part.split("=")[0]) if "=" in part else words_of(part)
        if words and words[-1] in known:
            best = max(best, 1.0 if len(words) == 1 else 0.9)
        elif set(words) & known:
            best = max(best, 0.5)
    return best


def likeness(name: str, synonyms: str) -> float:
    """How much a name is one of these: 1 as a whole, .9 but for an id word, else by the share of its words."""
    words = words_of(name)
    known = {"_".join(words_of(synonym)) for synonym in synonyms.split()}
    whole = "_".join(words)
    if whole in known:
        return 1.0
    bare = [word for word in words if word not in ID_WORDS]
    if bare and "_".join(bare) in known:
        return 0.9
    hits = [word for word in bare if word in known]
    return 0.5 + 0.3 * len(hits) / len(bare) if hits else 0.0
