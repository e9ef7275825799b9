"""Ratings and offers for the demonstration: OpenStreetMap has none. Made from a seed, the same every time, and marked as samples.

Pure: every choice follows from a hash of the seed and the store's id in its source.
"""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass
from datetime import datetime, timedelta

CURRENCY = "EUR"


@dataclass(frozen=True)
class SampleRating:
    """rating_sum: stars, 1 to 5 each."""

    rating_sum: int
    rating_count: int


@dataclass(frozen=True)
class SampleOffer:
    """price_minor: cents. valid_until None: standing."""

    title: str
    titles: dict[str, str]
    kind: str
    price_minor: int
    valid_from: datetime
    valid_until: datetime | None


# Title in English, Finnish, simplified and traditional Chinese; price in cents from, to. By category, the nearest one above counts.
_MENU: dict[str, list[tuple[str, str, str, str, int, int]]] = {
    "food": [
        ("Lunch of the day", "Päivän lounas", "今日午餐", "今日午餐", 990, 1590),
        ("Coffee and a bun", "Kahvi ja pulla", "咖啡加面包", "咖啡加麵包", 450, 890),
        ("Two for one in the evening", "Illalla kaksi yhden hinnalla", "晚间买一送一", "晚間買一送一", 1200, 2900),
    ],
    "food.cafe": [
        ("Coffee and a cinnamon bun", "Kahvi ja korvapuusti", "咖啡配肉桂卷", "咖啡配肉桂捲", 490, 850),
        ("Afternoon cake", "Iltapäivän kakkupala", "下午茶蛋糕", "下午茶蛋糕", 550, 890),
    ],
    "food.bar": [("Happy hour", "Happy hour", "欢乐时光", "歡樂時光", 600, 900)],
    "food.pub": [("Pint of local beer", "Tuoppi paikallista olutta", "本地啤酒一品脱", "本地啤酒一品脫", 650, 950)],
    "shop": [
        ("Gift card", "Lahjakortti", "礼品卡", "禮品卡", 1000, 5000),
        ("Bargain of the week", "Viikon tarjous", "本周特价", "本週特價", 500, 4500),
    ],
    "shop.books": [("Paperback of the month", "Kuukauden pokkari", "本月平装书", "本月平裝書", 890, 1490)],
    "shop.clothes": [("Outlet rail", "Poistorekki", "清仓服装", "出清服裝", 1500, 6900)],
    "service": [("First visit", "Ensikäynti", "首次体验", "首次體驗", 2500, 6900)],
    "service.hairdresser": [("Cut and wash", "Leikkaus ja pesu", "洗剪", "洗剪", 2900, 5900)],
    "health": [("Check-up", "Tarkastus", "检查", "檢查", 3900, 8900)],
    "leisure": [("Weekday ticket", "Arkilippu", "平日门票", "平日門票", 800, 1800)],
    "lodging": [("Late check-out", "Myöhäinen uloskirjautuminen", "延迟退房", "延遲退房", 1500, 3500)],
}


def rating_of(seed: int, source_id: str) -> SampleRating:
    """Most places have a few dozen ratings around 3.9 stars; a few have hundreds."""
    chance = _chance(seed, "rating", source_id)
    count = max(1, round(chance.lognormvariate(3.3, 1.1)))
    mean = min(max(chance.gauss(3.9, 0.45), 1.5), 5.0)
    total = min(max(round(mean * count), count), 5 * count)
    return SampleRating(rating_sum=total, rating_count=count)


def share_of(seed: int, source_id: str) -> float:
    """A number in 0..1 that orders stores by chance, the same every time."""
    return _chance(seed, "share", source_id).random()


def offer_of(seed: int, source_id: str, *, category: str, now: datetime) -> SampleOffer | None:
    """An offer that such a store could make, None for a category without any. Temporary ones run for some weeks around now."""
    code = category
    while code and code not in _MENU:
        code = code.rpartition(".")[0]
    if not code:
        return None
    chance = _chance(seed, "offer", source_id)
    english, finnish, simplified, traditional, cheapest, dearest = chance.choice(_MENU[code])
    price = round(chance.uniform(cheapest, dearest) / 50) * 50 - chance.choice((0, 5, 10))
    start = now.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=chance.randint(1, 20))
    temporary = chance.random() < 0.5
    return SampleOffer(
        title=english,
        titles={"en": english, "fi": finnish, "zh-Hans": simplified, "zh-Hant": traditional},
        kind="temporary" if temporary else "standing",
        price_minor=max(price, 100),
        valid_from=start,
        valid_until=start + timedelta(days=chance.randint(30, 90)) if temporary else None,
    )


def _chance(seed: int, what: str, source_id: str) -> random.Random:
    digest = hashlib.sha256(f"{seed} {what} {source_id}".encode()).digest()
    return random.Random(int.from_bytes(digest[:8], "big"))
