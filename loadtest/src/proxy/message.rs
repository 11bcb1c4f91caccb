//! The one request that is asked and the one answer that is given, as bytes.
//!
//! Client and server of the bench cost processor time too, on the same machine; so they write fixed bytes, and read no more
//! than where a message ends.

use anyhow::Context as _;

/// A small JSON body, as predictors of tabular models get it.
pub(crate) const ASKED: &str = r#"{"instances":[[6.8,2.8,4.8,1.4],[6.0,3.4,4.5,1.6]],"parameters":{"top":1}}"#;
/// And one as they give.
pub(crate) const ANSWERED: &str =
    r#"{"predictions":[1,1],"model_name":"iris","model_version":"1","id":"0af7651916cd43dd"}"#;

/// The request, with its head.
pub(crate) fn request(host: &str) -> String {
    let length = ASKED.len();
    format!(
        "POST /v1/models/iris:predict HTTP/1.1\r\nhost: {host}\r\nuser-agent: loadtest\r\naccept: */*\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\n\r\n{ASKED}"
    )
}

/// The answer, with its head.
pub(crate) fn answer() -> String {
    let length = ANSWERED.len();
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nserver: model\r\ncontent-length: {length}\r\n\r\n{ANSWERED}"
    )
}

/// How long the message is that begins with these bytes; `None` while its head is not complete.
///
/// # Errors
/// If its head says no length.
pub(crate) fn length(bytes: &[u8]) -> anyhow::Result<Option<usize>> {
    let Some(head) = bytes.windows(4).position(|end| end == b"\r\n\r\n") else { return Ok(None) };
    let name = b"\r\ncontent-length:";
    let mut found = bytes[..head].windows(name.len()).zip(name.len()..);
    let (_, begin) = found.find(|(part, _)| part.eq_ignore_ascii_case(name)).context("a message without its length")?;
    let value = bytes[begin..head].split(|byte| *byte == b'\r').next().unwrap_or_default();
    let body: usize = std::str::from_utf8(value)?.trim().parse().context("a length that is none")?;
    Ok(Some(head + 4 + body))
}

/// Is this the answer that is given, whatever a proxy did to its head?
pub(crate) fn is_the_answer(bytes: &[u8]) -> bool {
    bytes.starts_with(b"HTTP/1.1 200 ") && bytes.ends_with(ANSWERED.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_ends_where_its_head_says() {
        let request = request("model");
        assert_eq!(length(request.as_bytes()).unwrap(), Some(request.len()));
        assert_eq!(length(&request.as_bytes()[..40]).unwrap(), None);
        assert_eq!(length(b"HTTP/1.1 200 OK\r\nContent-Length:  3 \r\nx: y\r\n\r\na").unwrap(), Some(46 + 3));
        length(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").unwrap_err();
    }

    #[test]
    fn only_the_answer_counts_as_one() {
        assert!(is_the_answer(answer().as_bytes()));
        assert!(!is_the_answer(answer().replace("200 OK", "503 No").as_bytes()));
        assert!(!is_the_answer(answer().replace("iris", "mars").as_bytes()));
    }
}
