"""Who signs: the devices of visitors and the tills of stores, with their keys and until when these were good."""
