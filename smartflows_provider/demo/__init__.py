"""A real Airflow on this machine, for people and tests that want to see a flow run as a task.

Why this package exists: a newcomer should see the provider work before reading about it, and the
end-to-end tests need exactly the same Airflow. It needs no checkout: the example DAGs come with the package.
Everything it starts listens on the loopback address only, keeps its files in one folder (`.demo` in the
current directory) and ends with the process that started it. Invariant: this module imports nothing.
"""
