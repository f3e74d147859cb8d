"""Turn ranked rows into the lists that are published: rules, fallback, a reason for each entry."""
