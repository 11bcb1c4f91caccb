//! A container runtime whose containers are local processes.
