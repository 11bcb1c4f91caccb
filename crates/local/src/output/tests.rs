use super::*;

/// A writer whose contents can be looked at.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<u8>>>);

impl Write for Seen {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

async fn shown_of(chunks: &[&[u8]], colour: bool) -> (String, Tail) {
    let (seen, tail) = (Seen::default(), Tail::default());
    let shown = Shown::on(Box::new(seen.clone()), colour);
    let mut reader =
        Reader { name: "m-1".into(), shown: shown.clone(), tail: tail.clone(), line: Vec::new(), left_out: 0 };
    for chunk in chunks {
        reader.take(chunk).await;
    }
    reader.end_line().await;
    shown.flushed().await;
    let text = String::from_utf8(seen.0.lock().clone()).unwrap();
    (text, tail)
}

#[tokio::test]
async fn lines_are_put_together_across_reads_and_carry_the_name() {
    let (text, _) = shown_of(&[b"load", b"ing\nready\r\nno end"], false).await;
    assert_eq!(text, "m-1 | loading\nm-1 | ready\nm-1 | no end\n");
}

#[tokio::test]
async fn a_line_without_end_is_shown_in_pieces() {
    let (text, _) = shown_of(&[&vec![b'x'; LONGEST_LINE + 5]], false).await;
    let lengths: Vec<usize> = text.lines().map(|line| line.len() - "m-1 | ".len()).collect();
    assert_eq!(lengths, [LONGEST_LINE, 5]);
}

#[tokio::test]
async fn the_last_twenty_lines_are_kept_without_colours() {
    let lines: String = (1..=30).map(|n| format!("\x1b[31mline {n}\x1b[0m\n")).collect();
    let (text, tail) = shown_of(&[lines.as_bytes()], true).await;
    assert!(text.contains("\x1b[31mline 1\x1b[0m"), "shown as it was printed");
    let kept: Vec<String> = tail.text().lines().map(str::to_owned).collect();
    assert_eq!((kept.len(), kept[0].as_str(), kept[19].as_str()), (20, "line 11", "line 30"));
}

/// A terminal that is paused.
struct Stuck(std::sync::mpsc::Receiver<()>);

impl Write for Stuck {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = self.0.recv();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_paused_terminal_does_not_stop_the_reading() {
    let (_never, paused) = std::sync::mpsc::channel();
    let tail = Tail::default();
    let shown = Shown::on(Box::new(Stuck(paused)), false);
    let mut reader = Reader { name: "m-1".into(), shown, tail: tail.clone(), line: Vec::new(), left_out: 0 };
    for _ in 0..3 * WAITING {
        reader.take(b"chatter\n").await;
    }
    reader.take(b"the last\n").await;
    assert!(tail.text().ends_with("the last"));
    assert!(0 < reader.left_out);
}
