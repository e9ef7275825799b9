from __future__ import annotations

import secrets
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from ..caller import Caller
from ..changes.service import note_change
from ..errors import Forbidden, Gone, InvalidInput, NotFound, PreconditionFailed
from ..geo.ids import RANDOM_BITS, shard_of, unlocated_id
from ..stores.categories import tree
from ..stores.models import Store
from ..stores.words import grams
from . import queries
from .lifecycle import step
from .models import Offer

_MOVES_PER_BATCH = 50
_GRAMS_PER_BATCH = 5_000


def new_offer_id(*, now: datetime) -> UUID:
    return unlocated_id(now=now, chance=secrets.randbits(RANDOM_BITS))


def get_offer(session: Session, offer_id: UUID, *, lock: bool = False) -> Offer:
    """An offer that was not removed. Raises NotFound, Gone."""
    offer = queries.find_offer(session, offer_id, lock=lock)
    if offer is None:
        raise NotFound(f"there is no offer {offer_id}")
    if offer.status == "removed":
        raise Gone(f"offer {offer_id} was removed")
    return offer


def get_visible_offer(session: Session, offer_id: UUID, *, caller: Caller) -> Offer:
    """The same, but a draft exists only for those who may change it, and for a store's key only its own offers do."""
    offer = get_offer(session, offer_id)
    if not caller.may_see(offer.merchant_id) or (offer.status == "draft" and not caller.may_change(offer.merchant_id)):
        raise NotFound(f"there is no offer {offer_id}")
    return offer


def add_offer(session: Session, *, caller: Caller, fields: Mapping[str, Any], offer_id: UUID, now: datetime, sample: bool = False) -> Offer:
    """A new offer, placed in its stores.

    fields: as OfferRequest loads them.
    Raises InvalidInput where a store does not exist or the offer ends before it begins, Forbidden where a store is another merchant's.
    """
    stores = _own_stores(session, caller, fields["store_ids"])
    owners = {store.merchant_id for store in stores}
    offer = Offer(
        shard_cell=shard_of(offer_id), id=offer_id, status=fields["status"], kind=fields["kind"], title=fields["title"], titles={},
        merchant_id=caller.merchant_id if caller.role == "store" else owners.pop() if len(owners) == 1 else None,
        valid_from=_minute(now), store_ids=[], sample=sample, version=1, created_at=now, updated_at=now,
    )  # fmt: skip
    _set_fields(offer, fields)
    offer.store_ids = [store.id for store in stores]
    session.add(offer)
    session.flush()
    _place(session, offer, stores)
    return offer


def change_offer(session: Session, *, caller: Caller, offer_id: UUID, version: int, fields: Mapping[str, Any], now: datetime) -> Offer:
    """Changes what the fields name, in the definition and in every store at once.

    Raises what get_offer and add_offer raise; IllegalTransition; PreconditionFailed where the offer is not at that version any more.
    """
    offer = _changeable(session, caller, offer_id, version)
    before = list(offer.store_ids)
    _set_fields(offer, fields)
    if "status" in fields:
        offer.status = step(offer.status, fields["status"])
    if "store_ids" in fields:
        offer.store_ids = [store.id for store in _own_stores(session, caller, fields["store_ids"])]
    offer.version += 1
    offer.updated_at = now
    session.flush()
    _take_out(session, offer, before)
    _place(session, offer, [store for store in queries.live_stores(session, offer.store_ids) if _may_hold(offer, store)])
    return offer


def remove_offer(session: Session, *, caller: Caller, offer_id: UUID, version: int, now: datetime) -> None:
    """Takes an offer back; its id answers Gone from now on."""
    offer = _changeable(session, caller, offer_id, version)
    offer.status = step(offer.status, "removed")
    offer.version += 1
    offer.updated_at = now
    _take_out(session, offer, offer.store_ids)


def follow_moved_stores(session: Session, *, now: datetime) -> int:
    """Places anew the offers of stores that got a new id or another owner, one batch; returns how many stores.

    May be run twice without harm. Moves are followed in their order, so a store that moved twice is followed to where it is.
    """
    moves = queries.moves_to_follow(session, limit=_MOVES_PER_BATCH)
    for move in moves:
        for offer in queries.offers_of_store(session, move.old_id):
            before = list(offer.store_ids)
            offer.store_ids = [move.new_id if store_id == move.old_id else store_id for store_id in before]
            live = queries.live_stores(session, offer.store_ids)
            # A store that got another owner, whether or not its id moved too: an offer of the owner before holds there no longer.
            lost = {store.id for store in live if not _may_hold(offer, store)}
            offer.store_ids = [store_id for store_id in offer.store_ids if store_id not in lost]
            offer.version += 1
            offer.updated_at = now
            session.flush()
            _take_out(session, offer, {*before, *offer.store_ids})
            _place(session, offer, [store for store in live if store.id not in lost])
        session.delete(move)
        session.flush()
    return len(moves)


def fill_search_grams(session: Session) -> int:
    """Makes the grams of placements that have none yet, one batch; returns how many. May be run twice without harm."""
    rows = queries.placements_without_grams(session, limit=_GRAMS_PER_BATCH)
    note_change(session, queries.write_grams(session, [(row, grams([row.title, *row.titles.values()])) for row in rows]))
    return len(rows)


def _may_hold(offer: Offer, store: Store) -> bool:
    """Whether an offer may hold in a store: a merchant's only in its own; the operator's own anywhere."""
    return offer.merchant_id is None or offer.merchant_id == store.merchant_id


def _changeable(session: Session, caller: Caller, offer_id: UUID, version: int) -> Offer:
    offer = get_offer(session, offer_id, lock=True)
    if not caller.may_change(offer.merchant_id):
        raise Forbidden("the offer belongs to another merchant")
    if offer.version != version:
        raise PreconditionFailed(f'the offer is at version "v{offer.version}", not "v{version}": read it again')
    return offer


def _own_stores(session: Session, caller: Caller, store_ids: Sequence[UUID]) -> Sequence[Store]:
    wanted = set(store_ids)
    stores = queries.live_stores(session, sorted(wanted))
    missing = wanted - {store.id for store in stores}
    if missing:
        message = f"there is no store {min(missing)}" + (f", nor {len(missing) - 1} others of the list" if len(missing) > 1 else "")
        raise InvalidInput(message, errors={"store_ids": [message]})
    if not all(caller.may_change(store.merchant_id) for store in stores):
        raise Forbidden("a store of the list belongs to another merchant")
    return stores


def _set_fields(offer: Offer, fields: Mapping[str, Any]) -> None:
    for name in ("title", "titles", "description", "kind", "price_minor", "currency", "list_price_minor", "stock"):
        if name in fields:
            setattr(offer, name, fields[name])
    if "valid_from" in fields:
        offer.valid_from = _minute(fields["valid_from"])
    if "valid_until" in fields:
        offer.valid_until = fields["valid_until"] and _minute(fields["valid_until"] + timedelta(minutes=1, microseconds=-1))
    if offer.list_price_minor is not None and (offer.price_minor is None or offer.list_price_minor <= offer.price_minor):
        message = "list_price_minor is the price without the offer, and so above price_minor"
        raise InvalidInput(message, errors={"list_price_minor": [message]})
    if "category" in fields:
        offer.category_id = tree()[fields["category"]].id if fields["category"] else None
    if offer.valid_until is not None and offer.valid_until <= offer.valid_from:
        message = "valid_until must lie after valid_from"
        raise InvalidInput(message, errors={"valid_until": [message]})


def _take_out(session: Session, offer: Offer, store_ids: Collection[UUID]) -> None:
    """Removes an offer's placements from some stores."""
    note_change(session, queries.remove_placements(session, offer.id, store_ids))


def _minute(moment: datetime) -> datetime:
    """Offers begin and end at whole minutes, as opening hours do: so an answer holds for its whole minute."""
    return moment.replace(second=0, microsecond=0)


def _place(session: Session, offer: Offer, stores: Sequence[Store]) -> None:
    """Writes what nearby needs of a live offer beside each of its stores."""
    note_change(session, [store.cell for store in stores])
    if offer.status != "live" or offer.stock == 0:
        return
    names = ("title", "titles", "kind", "price_minor", "currency", "valid_from", "valid_until", "sample", "list_price_minor")
    found_by = grams([offer.title, *offer.titles.values()])
    shared = {**{name: getattr(offer, name) for name in names}, "store_count": len(stores), "search_grams": found_by}
    queries.add_placements(
        session,
        [
            {
                "shard_cell": store.shard_cell, "store_id": store.id, "offer_id": offer.id,
                "category_id": offer.category_id, **shared,
            }
            for store in stores
        ],
    )  # fmt: skip
