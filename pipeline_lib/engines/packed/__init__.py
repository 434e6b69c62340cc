"""The engine of packed rows: its attention, and the shapes of its batches."""
