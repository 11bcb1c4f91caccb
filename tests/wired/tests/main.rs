//! What `rouse up` promises, each promise in a file of its own.
