"""The production topology on this machine, its small night, and what is done to them."""
