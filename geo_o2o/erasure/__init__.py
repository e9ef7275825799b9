"""Erasing a person: what every room knows of an account goes in one transaction, and again after any restored backup."""
