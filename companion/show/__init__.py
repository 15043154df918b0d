"""What chapters display: charts, tables, source, findings. The only layer that loads altair."""
