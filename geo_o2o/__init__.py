"""geo_o2o: offers worth walking to, visits that can be proved, districts that can be read."""
