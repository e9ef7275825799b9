"""Which cells changed: one number per cell, raised by the very transaction that changes what the cell would show."""
