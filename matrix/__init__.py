"""Runs the tests on every minor version of Airflow that is supported: `make matrix`.

Each minor has a virtual environment of its own, with the dependencies of the days after its release
(:mod:`matrix.minors`), in which a part of the tests runs (:mod:`matrix.selection`). What came of it is a
table on the screen and, after a whole run, in the README and in `docs/versions.md`. A new version is a line
in :data:`matrix.minors.MINORS`; a new test runs everywhere without being named here.
"""
