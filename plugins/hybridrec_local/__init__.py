"""Start and watch processes of this machine: jobs, Airflow and MLflow, the production topology without containers. Knows no Airflow."""
