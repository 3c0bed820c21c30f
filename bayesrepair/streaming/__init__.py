"""Row by row work on more rows than fit into memory: sources, block functions, stores, and where they run."""
