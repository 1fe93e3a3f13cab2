"""How each flow system speaks, as plain values: no I/O, no Airflow, no clock."""
