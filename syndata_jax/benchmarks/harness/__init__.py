"""What every suite is measured and written with; it knows no suite."""
