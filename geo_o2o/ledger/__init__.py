"""The transparency log: what was promised can be neither altered nor removed, and anybody can see that."""
