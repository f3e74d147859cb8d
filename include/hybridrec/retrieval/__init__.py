"""Retrieve the top k: exactly, and approximately where a sample allows it; a bounded block of users at a time.

dot: scores that are products of two dense vectors. sparse: scores that are products of two sparse matrices.
order: one ranking for all users. Ties break on item_idx everywhere, so equal inputs give equal lists.
"""
