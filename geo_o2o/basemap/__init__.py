"""What a map shows under everything else: streets, buildings, water and land use."""
