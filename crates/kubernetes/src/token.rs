//! Tokens that nobody guesses.

use anyhow::Context as _;
use rustls::crypto::ring::default_provider;

/// As many as cannot be tried.
const BYTES: usize = 16;

/// What the kubelet brings to ask a pod's sidecar whether it has drained: a new one each time, of 32 hexadecimal digits.
///
/// # Errors
/// If this machine has no randomness to give.
pub fn new_token() -> anyhow::Result<String> {
    let mut bytes = [0; BYTES];
    default_provider().secure_random.fill(&mut bytes).ok().context("no random numbers can be had here")?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_tokens_are_alike_and_each_fits_a_header() {
        let (one, other) = (new_token().unwrap(), new_token().unwrap());
        assert_ne!(one, other);
        assert!(daemon::Token::new(&one).is_ok() && one.len() == 2 * BYTES, "{one}");
    }
}
