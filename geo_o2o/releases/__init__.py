"""Counts of visits that planners may see: released week by week and month by month, with noise, and never again."""
