"""What the package costs, measured: `make bench`.

A group is one module that measures in a folder of its own and returns a table. Some stand beside the barest
program that does the same: their module has a context manager that makes what its rows need and yields the
rows. Others have figures that stand for themselves. To add one, write the module, name it in
:data:`benchmarks.groups.GROUPS`, and give it a heading and the two marks in `docs/benchmarks.md`.
"""
