"""Waiting, measured: our trigger, a bare loop, and other providers' triggers, each in its own process.

``answers`` speaks each service's API, ``server`` serves it, ``contenders`` knows how each side is started,
``driver`` runs one side, ``trial`` runs a server and a driver together, ``waiting``, ``resets`` and
``growth`` make figures of what came out.
"""
