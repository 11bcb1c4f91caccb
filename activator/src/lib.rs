//! Holds requests for revisions without replicas, wakes them, balances, splits traffic.
