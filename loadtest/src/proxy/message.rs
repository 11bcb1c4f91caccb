//! The requests that are asked and the answers that are given, as bytes.
//!
//! Client and server of the bench cost processor time too, on the same machine; so they write fixed bytes, and read no more
//! than where a message ends. How much is answered, and when, stands in the path.

use std::time::Duration;

use anyhow::Context as _;

/// A small JSON body, as predictors of tabular models get it.
pub(crate) const ASKED: &str = r#"{"instances":[[6.8,2.8,4.8,1.4],[6.0,3.4,4.5,1.6]],"parameters":{"top":1}}"#;
/// And one as they give.
const ANSWERED: &str = r#"{"predictions":[1,1],"model_name":"iris","model_version":"1","id":"0af7651916cd43dd"}"#;

/// Bodies are written and read in pieces of this size.
pub(crate) const PIECE: usize = 64 << 10;

/// A body, by how much of it there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Size {
    /// The small JSON.
    Small,
    /// So many bytes of something.
    Bytes(usize),
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    /// Of the request's body.
    pub(crate) request: Size,
    /// Of the answer's.
    pub(crate) answer: Size,
    /// How long the model takes; zero: it answers at once.
    pub(crate) takes: Duration,
}

impl Asked {
    pub(crate) const SMALL: Self = Self { request: Size::Small, answer: Size::Small, takes: Duration::ZERO };

    /// The path that asks for it.
    pub(crate) fn path(self) -> String {
        let takes = self.takes.as_millis();
        match self.answer {
            Size::Small if self.takes.is_zero() => USUAL.to_owned(),
            Size::Small => format!("/v2/small/{takes}"),
            Size::Bytes(bytes) => format!("/v2/{bytes}/{takes}"),
        }
    }
}

/// Where models are asked, most often.
const USUAL: &str = "/v1/models/iris:predict";

/// The request: its head, with what of its body is written together with it, and how much more is to follow.
pub(crate) fn request(host: &str, asked: Asked) -> (String, usize) {
    let (length, with_it, to_follow) = match asked.request {
        Size::Small => (ASKED.len(), ASKED, 0),
        Size::Bytes(bytes) => (bytes, "", bytes),
    };
    let head = format!(
        "POST {} HTTP/1.1\r\nhost: {host}\r\nuser-agent: loadtest\r\naccept: */*\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\n\r\n{with_it}",
        asked.path()
    );
    (head, to_follow)
}

/// The answer, likewise.
pub(crate) fn answer(size: Size) -> (String, usize) {
    let (length, with_it, to_follow) = match size {
        Size::Small => (ANSWERED.len(), ANSWERED, 0),
        Size::Bytes(bytes) => (bytes, "", bytes),
    };
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nserver: model\r\ncontent-length: {length}\r\n\r\n{with_it}"
    );
    (head, to_follow)
}

/// What a request's head asks a model for: how much, and after how long. The usual, if its path says nothing of that.
pub(crate) fn wanted(head: &[u8]) -> (Size, Duration) {
    let usual = (Size::Small, Duration::ZERO);
    let Some(rest) = head.strip_prefix(b"POST /v2/") else { return usual };
    let path = rest.split(|byte| *byte == b' ').next().unwrap_or_default();
    let Some((size, takes)) = std::str::from_utf8(path).ok().and_then(|path| path.split_once('/')) else {
        return usual;
    };
    (size.parse().map_or(Size::Small, Size::Bytes), Duration::from_millis(takes.parse().unwrap_or(0)))
}

/// How long the message is that begins with these bytes: its head, and its body. `None` while its head is not complete.
///
/// # Errors
/// If its head says no length.
pub(crate) fn length(bytes: &[u8]) -> anyhow::Result<Option<(usize, usize)>> {
    let Some(head) = bytes.windows(4).position(|end| end == b"\r\n\r\n") else { return Ok(None) };
    let name = b"\r\ncontent-length:";
    let mut found = bytes[..head].windows(name.len()).zip(name.len()..);
    let (_, begin) = found.find(|(part, _)| part.eq_ignore_ascii_case(name)).context("a message without its length")?;
    let value = bytes[begin..head].split(|byte| *byte == b'\r').next().unwrap_or_default();
    let body: usize = std::str::from_utf8(value)?.trim().parse().context("a length that is none")?;
    Ok(Some((head + 4, body)))
}

/// Is this the answer that was asked for, whatever a proxy did to its head? `bytes` has the whole head, and of a small
/// answer all of it.
pub(crate) fn is_the_answer(bytes: &[u8], body: usize, asked: Size) -> bool {
    let fits = match asked {
        Size::Small => bytes.ends_with(ANSWERED.as_bytes()),
        Size::Bytes(asked) => body == asked,
    };
    fits && bytes.starts_with(b"HTTP/1.1 200 ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_ends_where_its_head_says() {
        let (request, to_follow) = request("model", Asked::SMALL);
        let (head, body) = length(request.as_bytes()).unwrap().unwrap();
        assert_eq!((head + body, to_follow), (request.len(), 0));
        assert_eq!(length(&request.as_bytes()[..40]).unwrap(), None);
        assert_eq!(length(b"HTTP/1.1 200 OK\r\nContent-Length:  3 \r\nx: y\r\n\r\na").unwrap(), Some((46, 3)));
        length(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").unwrap_err();
    }

    #[test]
    fn the_path_says_how_much_and_when() {
        for (answer, takes_ms) in [(Size::Small, 0), (Size::Small, 7), (Size::Bytes(10 << 20), 0), (Size::Bytes(0), 3)]
        {
            let takes = Duration::from_millis(takes_ms);
            let (head, to_follow) = request("model", Asked { request: Size::Bytes(5), answer, takes });
            assert_eq!((wanted(head.as_bytes()), to_follow), ((answer, takes), 5), "{head}");
        }
    }

    #[test]
    fn only_the_answer_counts_as_one() {
        let (small, _) = answer(Size::Small);
        let is = |bytes: &str| is_the_answer(bytes.as_bytes(), ANSWERED.len(), Size::Small);
        assert!(is(&small));
        assert!(!is(&small.replace("200 OK", "503 No")));
        assert!(!is(&small.replace("iris", "mars")));
        let (large, 3) = answer(Size::Bytes(3)) else { panic!("three bytes follow") };
        assert!(is_the_answer(large.as_bytes(), 3, Size::Bytes(3)));
        assert!(!is_the_answer(large.as_bytes(), 2, Size::Bytes(3)));
    }
}
