"""Offers of stores: what, for how much, until when, and in which stores they hold."""
