"""Offers that somebody pays to have shown apart, labelled."""
