"""What Airflow calls when a task or a DAG has come to an end, or is late."""
