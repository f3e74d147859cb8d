"""Keep nights and models in MLflow."""
