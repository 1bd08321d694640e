//! A client of one connection: HTTP/1.1 with keep-alive, as an identity provider's worker would hold it.

use std::io::{Error, ErrorKind, Result};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// One connection to a port of this machine.
pub struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
    head: String,
}

/// A whole answer.
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The body, without its framing.
    pub body: Vec<u8>,
}

impl Client {
    /// Connects. `bearer` goes with every request.
    pub async fn connect(port: u16, bearer: &str) -> Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.set_nodelay(true)?;
        let authorization =
            if bearer.is_empty() { String::new() } else { format!("Authorization: Bearer {bearer}\r\n") };
        let head =
            format!("Host: 127.0.0.1:{port}\r\n{authorization}Content-Type: application/scim+json\r\n");
        Ok(Self { stream, buffer: Vec::with_capacity(4096), head })
    }

    /// Presents another key from now on.
    pub fn present(&mut self, bearer: &str) {
        let lines = self.head.split_inclusive("\r\n").filter(|line| !line.starts_with("Authorization:"));
        self.head = lines.collect::<String>() + &format!("Authorization: Bearer {bearer}\r\n");
    }

    /// Sends a cookie from now on, and asks for pages as a browser does.
    pub fn sign_in(&mut self, cookie: &str) {
        for part in ["Cookie: ", cookie, "\r\nAccept: text/html\r\n"] {
            self.head.push_str(part);
        }
    }

    /// Sends a request and reads its answer to the end. After an error the connection is of no use.
    pub async fn send(&mut self, method: &str, path: &str, body: &str) -> Result<Answer> {
        let request =
            format!("{method} {path} HTTP/1.1\r\n{}Content-Length: {}\r\n\r\n{body}", self.head, body.len());
        self.stream.write_all(request.as_bytes()).await?;
        let end = loop {
            if let Some(end) = find(&self.buffer, b"\r\n\r\n") {
                break end;
            }
            self.fill().await?;
        };
        let head = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
        self.buffer.drain(..end + 4);
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok())
            .ok_or_else(|| broken("no status"))?;
        let header = |name: &str| {
            let lines = head.lines().filter_map(|line| line.split_once(':'));
            lines.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).next()
        };
        let body = if status == 204 || status == 304 {
            Vec::new()
        } else if let Some(length) = header("content-length") {
            self.take(length.parse().map_err(|_| broken("a length that is no number"))?).await?
        } else if header("transfer-encoding").is_some() {
            self.chunks().await?
        } else {
            return Err(broken("a body without a length"));
        };
        Ok(Answer { status, body })
    }

    async fn chunks(&mut self) -> Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let end = loop {
                if let Some(end) = find(&self.buffer, b"\r\n") {
                    break end;
                }
                self.fill().await?;
            };
            let line = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
            self.buffer.drain(..end + 2);
            let size = usize::from_str_radix(line.split(';').next().unwrap_or_default().trim(), 16);
            let size = size.map_err(|_| broken("a chunk without a size"))?;
            let chunk = self.take(size + 2).await?;
            if size == 0 {
                return Ok(body);
            }
            body.extend_from_slice(&chunk[..size]);
        }
    }

    async fn take(&mut self, length: usize) -> Result<Vec<u8>> {
        while self.buffer.len() < length {
            self.fill().await?;
        }
        Ok(self.buffer.drain(..length).collect())
    }

    async fn fill(&mut self) -> Result<()> {
        match self.stream.read_buf(&mut self.buffer).await? {
            0 => Err(Error::new(ErrorKind::UnexpectedEof, "the connection ended inside an answer")),
            _ => Ok(()),
        }
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

fn broken(what: &str) -> Error {
    Error::new(ErrorKind::InvalidData, what)
}
