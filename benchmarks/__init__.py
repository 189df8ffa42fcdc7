"""How fast: seeded scenarios, the floor, the peers and the load, in one run (`make bench`). See README.md."""
