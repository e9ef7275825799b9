"""What is on offer per H3 cell: counts of stores and offers, rolled up ahead, and how they were at any moment before."""
