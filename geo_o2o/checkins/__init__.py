"""Presence at a store: what a phone reports, how likely it was inside, and what that proves."""
