//! Bytes out, answers in: a client that also sends what no HTTP library would.

use std::{
    io::{Error, ErrorKind, Result},
    net::SocketAddr,
};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// A connection that is opened when it is needed.
pub struct Wire {
    address: SocketAddr,
    stream: Option<TcpStream>,
}

/// An answer.
pub struct Reply {
    pub status: u16,
    head: String,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn header(&self, name: &str) -> &str {
        let lines = self.head.lines().filter_map(|line| line.split_once(':'));
        lines
            .filter(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
            .next()
            .unwrap_or("")
    }

    pub fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }
}

impl Wire {
    pub fn new(address: SocketAddr) -> Self {
        Self { address, stream: None }
    }

    /// The next request opens a new connection.
    pub fn close(&mut self) {
        self.stream = None;
    }

    /// Sends these bytes and reads one answer.
    pub async fn send(&mut self, bytes: &[u8], is_head: bool) -> Result<Reply> {
        let was_open = self.stream.is_some();
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => self.open().await?,
        };
        let sent = exchange(&mut stream, bytes, is_head).await;
        let (reply, is_open) = match sent {
            // A connection that waited may have been closed in order before these bytes were on it.
            Err(error) if was_open && error.kind() == ErrorKind::UnexpectedEof => {
                stream = self.open().await?;
                exchange(&mut stream, bytes, is_head).await?
            }
            other => other?,
        };
        if is_open {
            self.stream = Some(stream);
        }
        Ok(reply)
    }

    async fn open(&self) -> Result<TcpStream> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

/// Writes and reads at once: an answer may come before all is read. Also says whether another may follow.
async fn exchange(stream: &mut TcpStream, bytes: &[u8], is_head: bool) -> Result<(Reply, bool)> {
    let (mut reader, mut writer) = stream.split();
    let mut written = false;
    let write = async {
        let done = writer.write_all(bytes).await;
        written = done.is_ok();
        // Who has stopped reading still has an answer for us; it is read, not guessed.
        std::future::pending::<()>().await;
    };
    let reply = tokio::select! {
        () = write => unreachable!("it waits for the answer"),
        reply = read(&mut reader, is_head) => reply,
    }?;
    let is_open = written && !reply.header("connection").eq_ignore_ascii_case("close");
    Ok((reply, is_open))
}

async fn read(reader: &mut (impl tokio::io::AsyncRead + Unpin), is_head: bool) -> Result<Reply> {
    let mut buffer = Vec::with_capacity(4_096);
    let end = loop {
        if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        if reader.read_buf(&mut buffer).await? == 0 {
            let what = format!("the connection ended after {} bytes of an answer", buffer.len());
            let kind = if buffer.is_empty() { ErrorKind::UnexpectedEof } else { ErrorKind::InvalidData };
            return Err(Error::new(kind, what));
        }
    };
    let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
    let mut body = buffer.split_off(end + 4);
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status: u16 =
        status.ok_or_else(|| Error::new(ErrorKind::InvalidData, format!("no status: {head:.100}")))?;
    let mut reply = Reply { status, head, body: Vec::new() };
    let length: usize = reply.header("content-length").parse().unwrap_or(0);
    let length = if is_head || status == 204 || status == 304 { 0 } else { length };
    while body.len() < length {
        if reader.read_buf(&mut body).await? == 0 {
            return Err(Error::new(ErrorKind::InvalidData, "the connection ended inside an answer"));
        }
    }
    body.truncate(length);
    reply.body = body;
    Ok(reply)
}
