"""What a run leaves behind: its values as a manifest, its documents on storage. No Airflow in here."""
