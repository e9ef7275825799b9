"""What a planner asks of districts: where they are, how they live, how they compare, where a store is missing."""
