"""Files on disks and in stores: locations, records, leases, integrity checks and cleanup."""
