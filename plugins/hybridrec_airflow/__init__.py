"""Bridge Airflow and the jobs: operators, forms, links, pages. DAG files wire what stands here, nothing below knows Airflow."""
