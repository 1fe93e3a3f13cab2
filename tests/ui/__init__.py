"""Airflow's pages in a real browser: what people see, click and fill in."""
