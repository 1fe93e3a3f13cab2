"""An Airflow connection turned into a client, one module for each flow system."""
