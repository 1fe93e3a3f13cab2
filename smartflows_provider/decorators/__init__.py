"""What a DAG author puts before a function: one module for each flow system."""
