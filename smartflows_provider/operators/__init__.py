"""What a DAG author puts into a DAG: one module for each flow system."""
