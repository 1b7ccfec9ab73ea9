"""Short programs to read and to copy from; ``python -m pyconvexnn.examples.NAME`` runs one."""
