"""How anything is measured: processes, samples, records."""
