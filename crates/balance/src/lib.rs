//! Which replica: policies, activators' shares and capacity.
