"""The life of one remote run as seen from its task: begin, record, wait, stop, conclude."""
