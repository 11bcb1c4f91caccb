//! What a request has to look like for a certain revision to get it.
//!
//! Texts are compared byte by byte: a header's value need not be UTF-8, and a path is not decoded.

use std::fmt;
use std::sync::Arc;

use http::{HeaderName, HeaderValue, Method};

use crate::request::Request;

#[cfg(test)]
mod tests;

/// How large a regular expression may be once it is compiled, in bytes.
///
/// Several times what people write; beyond it are only counted repetitions, of large sets or of many. All endpoints share the
/// activators that pay for it: the worst expression of this size takes some 1.5 ms for each KiB of a text, and `(.*a){60}` two
/// hundredths of one.
pub const LARGEST_REGEX: usize = 16 << 10;

/// No regular expression fits a text of more bytes, for the same reason. What is looked at by its form is far shorter.
pub const LONGEST_FOR_REGEX: usize = 1 << 10;

/// Nor is one tried with more of the values that a header or a cookie has in one request.
pub const MOST_VALUES_FOR_REGEX: usize = 8;

/// Conditions, all of which have to hold, and who gets the request then. Without any it fits every request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Match {
    /// The name of a header, and how one of its values looks.
    pub header: Option<(HeaderName, Pattern)>,
    /// The name of a cookie, and how one of its values looks.
    pub cookie: Option<(Arc<str>, Pattern)>,
    /// How the path looks, without the query.
    pub path: Option<Pattern>,
    /// The method.
    pub method: Option<Method>,
    /// The position of the target that gets it, whatever its percent.
    pub to: usize,
}

impl Match {
    /// Does this request look like that?
    pub fn fits(&self, request: Request<'_>) -> bool {
        let header = |(name, pattern): &(HeaderName, Pattern)| {
            let values = request.headers.get_all(name).iter().take(pattern.most_values());
            values.map(HeaderValue::as_bytes).any(|value| pattern.fits(value))
        };
        let cookie = |(name, pattern): &(Arc<str>, Pattern)| {
            request.cookies(name).take(pattern.most_values()).any(|value| pattern.fits(value))
        };
        // The cheap ones first.
        self.method.as_ref().is_none_or(|method| method == request.method)
            && self.path.as_ref().is_none_or(|pattern| pattern.fits(request.path.as_bytes()))
            && self.header.as_ref().is_none_or(header)
            && self.cookie.as_ref().is_none_or(cookie)
    }
}

/// What a text is compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// It is this, letter for letter.
    Exact(Arc<str>),
    /// It begins with this.
    Prefix(Arc<str>),
    /// The whole of it fits a regular expression.
    Regex(Regex),
}

impl Pattern {
    fn fits(&self, text: &[u8]) -> bool {
        match self {
            Self::Exact(whole) => text == whole.as_bytes(),
            Self::Prefix(begin) => text.starts_with(begin.as_bytes()),
            Self::Regex(regex) => text.len() <= LONGEST_FOR_REGEX && regex.whole.is_match(text),
        }
    }

    fn most_values(&self) -> usize {
        match self {
            Self::Exact(_) | Self::Prefix(_) => usize::MAX,
            Self::Regex(_) => MOST_VALUES_FOR_REGEX,
        }
    }
}

/// A regular expression that a whole text has to fit.
///
/// Without look-around and back-references, so that it takes linear time. `\d`, `\s` and `\w` are ASCII's, and `.` is any
/// byte but a line feed: what is compared is bytes.
#[derive(Clone)]
pub struct Regex {
    source: Arc<str>,
    whole: regex::bytes::Regex,
}

/// Why a regular expression is none, in words for who wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RegexError {
    /// It cannot be read.
    Syntax(String),
    /// It is larger than [`LARGEST_REGEX`] once it is compiled.
    TooLarge,
}

impl Regex {
    /// Compiles `source`.
    ///
    /// # Errors
    /// If it cannot be read, or is too large.
    pub fn new(source: &str) -> Result<Self, RegexError> {
        // By itself first: within the brackets that come next `a)|(b` would pass for an expression, and mean another one.
        compile(source)?;
        Ok(Self { source: source.into(), whole: compile(&format!(r"\A(?:{source})\z"))? })
    }

    /// As it was written.
    pub fn source(&self) -> &str {
        &self.source
    }
}

fn compile(source: &str) -> Result<regex::bytes::Regex, RegexError> {
    let mut builder = regex::bytes::RegexBuilder::new(source);
    // The second limit is that of what each thread remembers of earlier texts.
    let built = builder.unicode(false).size_limit(LARGEST_REGEX).dfa_size_limit(16 * LARGEST_REGEX).build();
    built.map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => RegexError::TooLarge,
        // In many lines, with the expression and a mark beneath it; the last one says why.
        other => {
            let told = other.to_string();
            let why = told.lines().last().unwrap_or_default();
            RegexError::Syntax(why.strip_prefix("error: ").unwrap_or(why).to_owned())
        }
    })
}

impl PartialEq for Regex {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl Eq for Regex {}

impl fmt::Debug for Regex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}/", self.source)
    }
}

impl fmt::Display for RegexError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax(why) => f.write_str(why),
            Self::TooLarge => write!(f, "it takes more than {} KiB once it is compiled", LARGEST_REGEX >> 10),
        }
    }
}

impl std::error::Error for RegexError {}
