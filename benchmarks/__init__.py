"""What the package costs, measured beside the barest program that does the same: `make bench`.

A group is one module with a context manager that makes what its rows need and yields the rows. To add one,
write the module, name it in :data:`benchmarks.groups.GROUPS`, and give it a heading and the two marks in
`docs/benchmarks.md`.
"""
