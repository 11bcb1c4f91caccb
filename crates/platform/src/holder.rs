//! Who holds a token that a platform has made.

/// A pod, and as what it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Namespace of its ServiceAccount, and of the pod.
    pub namespace: String,
    /// Name of its ServiceAccount.
    pub account: String,
    /// Name of the pod that the token was made for.
    pub pod_name: String,
    /// UID of the pod that the token was made for.
    pub pod_uid: String,
}

/// Why it is not known who holds a token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unproven {
    /// It proves nothing: forged, expired, for somebody else, or of a pod that is gone.
    #[error("its token is refused: {0}")]
    Refused(String),
    /// Nobody could be asked; the same token may be good.
    #[error("its token could not be looked at: {0}")]
    Unknown(String),
}
