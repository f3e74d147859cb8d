"""What the report says of things that a night tries on some users."""
