//! Beside each model server: counts, bounds, probes, drains.
