"""Files in, stores, districts and basemap out: OpenStreetMap, CSV, GeoJSON, hygiene ratings; and the sample data."""
