"""Rank profiles for the operator: listed, added, and tried on a sample of places before anybody is answered by them."""
