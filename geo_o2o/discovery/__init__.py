"""What is near and good: offers and stores ranked by distance and rating, each with its reasons."""
