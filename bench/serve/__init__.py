"""The server against what people write first, and against itself without a model: throughput, overhead, endurance."""
