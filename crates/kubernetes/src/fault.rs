//! What a failed call to the API server means: was it done, and why not.

use std::error::Error as _;

/// A call that did not succeed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    /// There is no such object. Nothing was changed.
    #[error("{why}")]
    Missing { why: String },
    /// The object is at another version than expected, or one of that name is there already. Nothing was changed.
    #[error("{why}")]
    Conflict { why: String },
    /// Refused for another reason. Nothing was changed.
    #[error("{why}")]
    Refused { why: String },
    /// It may or may not have been done.
    #[error("{why}")]
    Unknown { why: String },
}

impl Fault {
    pub(crate) fn of(error: &kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => {
                let why = if status.message.is_empty() { status.reason.clone() } else { status.message.clone() };
                match status.code {
                    404 => Self::Missing { why },
                    409 => Self::Conflict { why },
                    // 408: whoever took too long may have been served all the same.
                    400..=407 | 410..=499 => Self::Refused { why },
                    _ => Self::Unknown { why: format!("{why} ({})", status.code) },
                }
            }
            other => Self::Unknown { why: chain(other) },
        }
    }
}

/// An error and what caused it, in one line: the outermost says little of what happened on the way.
fn chain(error: &kube::Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !line.contains(&text) {
            line = format!("{line}: {text}");
        }
        cause = error.source();
    }
    line
}
