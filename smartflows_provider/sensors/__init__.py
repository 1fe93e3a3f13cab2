"""What waits in a DAG for remote runs that another task, or nobody in Airflow, has started."""
