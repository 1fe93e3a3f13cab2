"""How requests travel: settings, limits, repetition, and the two clients that drive the wire's exchanges."""
