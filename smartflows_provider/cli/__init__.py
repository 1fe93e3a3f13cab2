"""The command for the one on call: see, judge and stop the executions of a connection's key."""
