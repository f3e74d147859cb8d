"""From a pool of candidates to ranked lists: the pool with its features, normalisers, the learnt ranker."""
