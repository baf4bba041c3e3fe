"""Real and fake processes, clusters, connections and disks of tests."""
