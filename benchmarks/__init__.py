"""What recording costs, as ratios measured side by side: ``python -m benchmarks`` (see README.md)."""
