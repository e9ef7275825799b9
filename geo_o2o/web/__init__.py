"""Pages for people: served from here alone, and clients of the public API like any other."""
