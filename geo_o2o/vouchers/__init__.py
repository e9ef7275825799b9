"""Vouchers of a campaign with a budget, and their redemption: each once, and never more than the budget."""
