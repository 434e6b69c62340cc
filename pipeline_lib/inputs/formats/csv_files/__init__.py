"""CSV and TSV: blocks, marks, records, tables and the rows of a slice."""
