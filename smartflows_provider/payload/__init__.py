"""What a DAG author has, turned into what the service takes: mappings, rows, XML files, plug-in records."""
