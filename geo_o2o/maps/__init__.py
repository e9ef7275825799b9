"""Maps: supply per cell and vector tiles."""
