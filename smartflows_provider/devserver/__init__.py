"""The embedded stand-in for a Smart Flows server, for demos, tests and users' own CI.

It speaks the documented REST interface over real sockets, renders real documents and keeps its state in
SQLite. Where the vendor's documents are silent its behaviour is a setting (:mod:`.profiles`), so that a
client can be proven against every reading instead of one guess. Invariant: this module imports nothing,
because pytest loads the fixture's module in every run.
"""
