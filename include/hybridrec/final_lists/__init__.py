"""From ranked rows to the lists that are published: rules, the fallback ladder, a reason for every place."""
