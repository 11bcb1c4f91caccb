//! Both seams with child processes on one machine.
