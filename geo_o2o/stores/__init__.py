"""The catalogue of stores: where they are, what they are, when they are open."""
