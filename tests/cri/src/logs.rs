//! A container's output, in the file that the kubelet reads for `kubectl logs`.
//!
//! One line each: `<time> <stream> <F or P> <text>`, where P says that the line goes on in the next one.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::Path;

use jiff::Timestamp;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tracing::warn;

/// A line that is longer is written in pieces, as other runtimes do.
const PIECE_BYTES: usize = 16 * 1024;

/// Opens a log to write at its end: both streams write whole lines there, and a restart keeps what there is.
pub(crate) fn open(path: &Path) -> std::io::Result<File> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    OpenOptions::new().create(true).append(true).open(path)
}

/// Copies a stream, line by line as they come, until it ends. Reads on if the file takes no more, so that the container is
/// not blocked by its log.
pub(crate) async fn copy(mut from: impl AsyncRead + Unpin, stream: &'static str, mut file: File) {
    let mut pending = Vec::with_capacity(PIECE_BYTES);
    let mut written = Ok(());
    while let Ok(1..) = from.read_buf(&mut pending).await {
        while let Some((text, tag, used)) = piece(&pending) {
            let line = line(Timestamp::now(), stream, tag, text);
            written = written.and_then(|()| file.write_all(&line));
            pending.drain(..used);
        }
    }
    if !pending.is_empty() {
        written = written.and_then(|()| file.write_all(&line(Timestamp::now(), stream, 'P', &pending)));
    }
    if let Err(error) = written {
        warn!(%error, stream, "could not write a container's log");
    }
}

/// The first piece that can be written, its tag, and how many bytes it took.
fn piece(pending: &[u8]) -> Option<(&[u8], char, usize)> {
    let searched = &pending[..pending.len().min(PIECE_BYTES)];
    match searched.iter().position(|&byte| byte == b'\n') {
        Some(end) => Some((&pending[..end], 'F', end + 1)),
        None if searched.len() == PIECE_BYTES => Some((searched, 'P', PIECE_BYTES)),
        None => None,
    }
}

fn line(at: Timestamp, stream: &str, tag: char, text: &[u8]) -> Vec<u8> {
    let mut line = format!("{at:.9} {stream} {tag} ").into_bytes();
    line.extend_from_slice(text);
    line.push(b'\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_are_whole_and_a_long_one_comes_in_pieces() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pod/0.log");
        let long = "x".repeat(PIECE_BYTES + 1);
        let said = format!("one\n\n{long}\nrest");
        copy(said.as_bytes(), "stdout", open(&path).unwrap()).await;

        let log = std::fs::read_to_string(path).unwrap();
        let lines: Vec<&str> = log.lines().map(|line| line.split_once(' ').unwrap().1).collect();
        assert_eq!(
            lines,
            ["stdout F one", "stdout F ", &format!("stdout P {}", &long[1..]), "stdout F x", "stdout P rest"]
        );
    }

    #[test]
    fn a_time_has_all_its_digits() {
        let at = Timestamp::from_second(1).unwrap();
        assert_eq!(line(at, "stderr", 'F', b"a"), b"1970-01-01T00:00:01.000000000Z stderr F a\n");
    }
}
