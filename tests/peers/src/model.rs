//! A server that answers with the bytes it is told to, and remembers the bytes that it was sent.
//!
//! Its HTTP/1.1 is the least that a conversation needs: a head to the empty line, a body by length or in chunks.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// A request as it came.
#[derive(Clone, Debug, Default)]
pub struct Taken {
    /// The how-manieth connection it came by, from 0.
    pub connection: usize,
    /// From the request line to the empty line.
    pub head: String,
    /// As it was framed.
    pub framed: Vec<u8>,
    /// Without its framing.
    pub body: Vec<u8>,
}

impl Taken {
    /// The path, with its query.
    pub fn path(&self) -> &str {
        self.head.split(' ').nth(1).unwrap_or_default()
    }

    /// A header's values.
    pub fn header(&self, name: &str) -> Vec<&str> {
        let fields = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        fields.filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect()
    }
}

/// An answer with a length.
pub fn whole(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// The server. Ends when it is dropped.
#[derive(Debug)]
pub struct Model {
    address: SocketAddr,
    taken: Arc<Mutex<Vec<Taken>>>,
    _serving: JoinSet<()>,
}

impl Model {
    /// Answers each request as it is told to: after the body, or, if its path begins with `/early`, after the head and
    /// without reading on; and then closes its connection if the answer says so.
    pub async fn start(answers: fn(&Taken) -> Vec<u8>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port can be had");
        let address = listener.local_addr().expect("a port has an address");
        let taken = Arc::new(Mutex::new(Vec::new()));
        let (noted, mut serving) = (taken.clone(), JoinSet::new());
        serving.spawn(async move {
            let mut conversations = JoinSet::new();
            for connection in 0.. {
                let Ok((stream, _)) = listener.accept().await else { return };
                conversations.spawn(converse(stream, connection, noted.clone(), answers));
            }
        });
        Self { address, taken, _serving: serving }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// All that it was asked, in order.
    ///
    /// # Panics
    /// If it has panicked.
    pub fn taken(&self) -> Vec<Taken> {
        self.taken.lock().expect("nobody panicked").clone()
    }

    /// The only request that it was asked.
    ///
    /// # Panics
    /// If there were none, or more.
    pub fn only(&self) -> Taken {
        let mut taken = self.taken();
        assert_eq!(taken.len(), 1, "one request: {taken:?}");
        taken.remove(0)
    }
}

async fn converse(
    mut stream: TcpStream,
    connection: usize,
    taken: Arc<Mutex<Vec<Taken>>>,
    answers: fn(&Taken) -> Vec<u8>,
) {
    let mut unread = Vec::new();
    while let Some(head) = until(&mut stream, &mut unread, b"\r\n\r\n").await {
        let head = String::from_utf8_lossy(&head).into_owned();
        let mut request = Taken { connection, head, ..Taken::default() };
        let early = request.path().starts_with("/early");
        if !early && read_body(&mut stream, &mut unread, &mut request).await.is_none() {
            // Cut in the middle: noted, and not answered.
            taken.lock().expect("nobody panicked").push(request);
            return;
        }
        let answer = answers(&request);
        taken.lock().expect("nobody panicked").push(request.clone());
        if stream.write_all(&answer).await.is_err() {
            return;
        }
        let head = String::from_utf8_lossy(&answer).to_ascii_lowercase();
        if head.split("\r\n\r\n").next().is_some_and(|head| head.contains("\r\nconnection: close")) {
            return;
        }
        if early && read_body(&mut stream, &mut unread, &mut request).await.is_none() {
            return;
        }
    }
}

/// Everything up to and with a mark.
async fn until(stream: &mut TcpStream, unread: &mut Vec<u8>, mark: &[u8]) -> Option<Vec<u8>> {
    loop {
        if let Some(place) = unread.windows(mark.len()).position(|window| window == mark) {
            return Some(unread.drain(..place + mark.len()).collect());
        }
        (0 < stream.read_buf(unread).await.ok()?).then_some(())?;
    }
}

/// So many bytes.
async fn exactly(stream: &mut TcpStream, unread: &mut Vec<u8>, bytes: usize) -> Option<Vec<u8>> {
    while unread.len() < bytes {
        (0 < stream.read_buf(unread).await.ok()?).then_some(())?;
    }
    Some(unread.drain(..bytes).collect())
}

async fn read_body(stream: &mut TcpStream, unread: &mut Vec<u8>, request: &mut Taken) -> Option<()> {
    if request.header("transfer-encoding").is_empty() {
        let length = request.header("content-length").first().and_then(|length| length.parse().ok()).unwrap_or(0);
        request.body = exactly(stream, unread, length).await?;
        request.framed = request.body.clone();
        return Some(());
    }
    loop {
        let size = until(stream, unread, b"\r\n").await?;
        let text = String::from_utf8_lossy(&size).into_owned();
        let bytes = usize::from_str_radix(text.split(';').next()?.trim(), 16).ok()?;
        request.framed.extend(size);
        if bytes == 0 {
            break;
        }
        let chunk = exactly(stream, unread, bytes + 2).await?;
        request.body.extend(&chunk[..bytes]);
        request.framed.extend(chunk);
    }
    // Trailers, to the empty line.
    loop {
        let line = until(stream, unread, b"\r\n").await?;
        request.framed.extend(&line);
        if line == b"\r\n" {
            return Some(());
        }
    }
}
