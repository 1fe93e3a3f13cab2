"""Waits in a real triggerer: Airflow's own process on a private database, watched from outside.

`rows` writes tasks that are deferred already, `crowd` has a triggerer work them off, `dags` and `workers` run
whole DAGs on all components; `probe` and `watching` tell what that takes, `ledger` whether a wait was lost,
and `report` puts it into a table.
"""
