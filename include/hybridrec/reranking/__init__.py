"""Turn ranked rows into published lists: rules, cut to k, fallback, a sentence for each entry; also make similar and popular items."""
