"""Where a typed place is: streets, parks, waters, buildings and districts by their names."""
