//! What replicas print: always read, shown line by line with the replica's name, the last lines kept.
//!
//! A model that prints must never wait for somebody to read it. So the pipe is read whatever happens; if whoever shows
//! the lines does not keep up (a terminal that is paused), lines are left out, and their number is shown instead.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;
use tokio::sync::oneshot;

/// Lines that wait to be shown, over all replicas.
const WAITING: usize = 4096;
/// How long a reader waits for room before it leaves lines out: longer than a busy terminal needs, shorter than a model
/// notices.
const PATIENCE: Duration = Duration::from_millis(200);
/// A longer line is shown in pieces.
const LONGEST_LINE: usize = 16 << 10;
/// Lines kept for the last words.
const KEPT_LINES: usize = 20;
/// Of each of them.
const KEPT_BYTES: usize = 500;

/// Where lines are shown. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Shown(SyncSender<ToShow>);

enum ToShow {
    Line { name: Arc<str>, line: Vec<u8> },
    Flush(oneshot::Sender<()>),
}

impl Shown {
    /// Starts the thread that writes: a terminal may block, and no task should with it.
    pub(crate) fn on(mut to: Box<dyn Write + Send>, colour: bool) -> Self {
        let (sender, receiver) = sync_channel(WAITING);
        let spawned =
            std::thread::Builder::new().name("output".to_owned()).spawn(move || show(&receiver, &mut to, colour));
        if let Err(error) = spawned {
            // Lines are then left out, as if nobody read them.
            tracing::error!(%error, "cannot start the thread that shows what replicas print");
        }
        Self(sender)
    }

    /// Returns once what was printed before is shown, or after a second.
    pub(crate) async fn flushed(&self) {
        let (done, is_done) = oneshot::channel();
        if self.0.try_send(ToShow::Flush(done)).is_ok() {
            let _ = tokio::time::timeout(Duration::from_secs(1), is_done).await;
        }
    }

    /// False if there was no room, also after some patience.
    async fn line(&self, name: &Arc<str>, line: &[u8], patience: Duration) -> bool {
        let mut to_show = ToShow::Line { name: Arc::clone(name), line: line.to_vec() };
        let pause = Duration::from_millis(2);
        for _ in 0..=patience.as_millis() / pause.as_millis() {
            match self.0.try_send(to_show) {
                Ok(()) => return true,
                Err(TrySendError::Disconnected(_)) => return false,
                Err(TrySendError::Full(back)) => to_show = back,
            }
            tokio::time::sleep(pause).await;
        }
        false
    }
}

fn show(lines: &Receiver<ToShow>, to: &mut dyn Write, colour: bool) {
    for to_show in lines {
        // Where nobody can be told that showing fails, it is silent; the lines go on being taken.
        let _ = match to_show {
            ToShow::Line { name, line } => write_line(to, &name, &line, colour),
            ToShow::Flush(done) => {
                let flushed = to.flush();
                let _ = done.send(());
                flushed
            }
        };
    }
}

/// In one write, so that it is not torn apart by what others write.
fn write_line(to: &mut dyn Write, name: &str, line: &[u8], colour: bool) -> io::Result<()> {
    let mut whole = Vec::with_capacity(name.len() + line.len() + 24);
    if colour {
        write!(whole, "\x1b[{}m{name}\x1b[0m | ", colour_of(name))?;
    } else {
        write!(whole, "{name} | ")?;
    }
    whole.extend_from_slice(line);
    whole.extend_from_slice(if colour { b"\x1b[0m\n" } else { b"\n" });
    to.write_all(&whole)
}

/// One of the six plain colours, the same for the same name.
fn colour_of(name: &str) -> u8 {
    31 + name.bytes().fold(0_u8, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte)) % 6
}

/// The last lines of one replica. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tail(Arc<Mutex<VecDeque<String>>>);

impl Tail {
    fn keep(&self, line: &[u8]) {
        let mut lines = self.0.lock();
        if lines.len() == KEPT_LINES {
            lines.pop_front();
        }
        lines.push_back(plain(line));
    }

    /// A line each; empty if it printed nothing.
    pub(crate) fn text(&self) -> String {
        self.0.lock().iter().map(String::as_str).collect::<Vec<_>>().join("\n")
    }
}

/// Text without escape sequences and control characters: it goes into answers and tables.
pub(crate) fn plain(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(&line[..line.len().min(KEPT_BYTES)]);
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            // A sequence ends with a letter.
            '\x1b' => drop(characters.by_ref().find(char::is_ascii_alphabetic)),
            '\t' => plain.push(' '),
            other if other.is_control() => {}
            other => plain.push(other),
        }
    }
    plain
}

/// Reads until nobody can print any more.
pub(crate) async fn drain(name: Arc<str>, mut output: pipe::Receiver, shown: Shown, tail: Tail) {
    let mut reader = Reader { name, shown, tail, line: Vec::new(), left_out: 0 };
    let mut chunk = vec![0; 64 << 10];
    loop {
        match output.read(&mut chunk).await {
            Ok(0) | Err(_) => break,
            Ok(read) => reader.take(&chunk[..read]).await,
        }
    }
    reader.end_line().await;
}

struct Reader {
    name: Arc<str>,
    shown: Shown,
    tail: Tail,
    line: Vec<u8>,
    left_out: u64,
}

impl Reader {
    async fn take(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = LONGEST_LINE - self.line.len();
            let upto = bytes.iter().take(room).position(|byte| *byte == b'\n');
            let taken = upto.unwrap_or(bytes.len().min(room));
            self.line.extend_from_slice(&bytes[..taken]);
            bytes = &bytes[taken..];
            if upto.is_some() {
                bytes = &bytes[1..];
                self.show_line().await;
            } else if self.line.len() == LONGEST_LINE {
                self.show_line().await;
            }
        }
    }

    /// What came after the last line break.
    async fn end_line(&mut self) {
        if !self.line.is_empty() {
            self.show_line().await;
        }
        self.say_left_out(PATIENCE).await;
    }

    async fn show_line(&mut self) {
        let mut line = std::mem::take(&mut self.line);
        if line.ends_with(b"\r") {
            line.pop();
        }
        self.tail.keep(&line);
        // Once out of patience there is none until there is room again.
        let patience = if self.left_out == 0 { PATIENCE } else { Duration::ZERO };
        self.say_left_out(Duration::ZERO).await;
        if self.left_out != 0 || !self.shown.line(&self.name, &line, patience).await {
            self.left_out += 1;
        }
        line.clear();
        self.line = line;
    }

    async fn say_left_out(&mut self, patience: Duration) {
        if self.left_out != 0 {
            let note = format!("({} lines left out)", self.left_out);
            if self.shown.line(&self.name, note.as_bytes(), patience).await {
                self.left_out = 0;
            }
        }
    }
}

#[cfg(test)]
mod tests;
