"""Pure geography: points, boxes, shapes, distances, cells, coordinate systems and the ids that carry a cell."""
