"""A night over a folder of data without a scheduler: the same jobs, one process each, and lists to be judged elsewhere.

data: the folder as the source `files` wants it. steps: the jobs as processes, with their time and memory.
lists: recommendations and each retriever's candidates as plain Parquet.
"""
