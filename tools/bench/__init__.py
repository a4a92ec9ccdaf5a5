"""The package's speed and memory, measured beside two other implementations: `make bench`."""
