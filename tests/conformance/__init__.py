"""What must hold for every flow system, whatever it is."""
