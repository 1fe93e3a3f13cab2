"""A real Airflow on this machine, for people and tests that want to see a flow run as a task.

Why this package exists: a newcomer should see the provider work before reading about it, and the
end-to-end tests need exactly the same Airflow. It is part of the project's sources and not of the
distribution. Everything it starts listens on the loopback address only, keeps its files under `.demo/`
and ends with the process that started it.
"""
