"""What nearby reads: for each cell an immutable snapshot of its stores and offers, in columns, shared by the processes of a host."""
