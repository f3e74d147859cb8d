"""Writers that fail at a chosen point, and what makes them fail."""
