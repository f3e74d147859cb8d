"""The one bridge between Airflow and the jobs: DAG files wire what stands here, nothing below knows Airflow."""
