"""The cluster: connect to a Ray that runs or start one, check its machines, and reserve room on them."""
