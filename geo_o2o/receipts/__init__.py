"""Receipts of visits: issued in every audience's own form, logged, replaced, taken back, and proven."""
