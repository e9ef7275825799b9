"""A witness of other people's logs: a small service of its own, for whoever does not want to take an operator's word."""
