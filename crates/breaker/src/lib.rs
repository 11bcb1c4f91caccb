//! A bounded line before a changing capacity; in-flight accounting; the activator's side of the seal.
