"""Named areas in layers, such as business districts, and the one of each layer that a point lies in."""
