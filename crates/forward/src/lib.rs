//! The request path's mechanics: pool, protocols, upgrades, header hygiene, counted bodies, time-outs.
