"""Batch hybrid recommendation: matrices, models, candidates, ranking, publishing.

The library knows nothing of Airflow, of the jobs that call it or of where a cluster is.
"""
