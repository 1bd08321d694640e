//! A SCIM service that misbehaves on demand, down to the bytes on the wire.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// What it does with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    /// What a SCIM service does.
    Kind,
    /// Nothing, until its mood changes; then the connection ends.
    Hang,
    /// Creates, and then nothing, as long.
    CreateAndHang,
    /// Creates, and says 500.
    CreateAndFail,
    /// One byte a second.
    Drip,
    /// Says ten gigabytes, and sends what is taken of it.
    Flood,
    /// 200 and a page for people.
    Html,
    /// 200 and a resource with the id of another one.
    WrongId,
    /// To where a cloud keeps the credentials of the machine.
    Redirect,
    /// Breaks off in the middle of a body.
    BreakOff,
    /// Refuses, and repeats the credential.
    Echo,
    /// Says 401.
    Lock,
    /// Says 429, with a date.
    Throttle,
}

/// The service.
pub struct Hostile {
    pub address: SocketAddr,
    mood: watch::Sender<Mood>,
    pub users: Mutex<Vec<Value>>,
    /// Method and path of each request.
    pub asked: Mutex<Vec<String>>,
    /// `Authorization` of each request.
    pub credentials: Mutex<Vec<String>>,
    /// Counts requests that were read whole.
    pub came: watch::Sender<usize>,
    pub tokens: AtomicUsize,
}

impl Hostile {
    pub async fn start() -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let hostile = Arc::new(Self {
            address: listener.local_addr().unwrap(),
            mood: watch::channel(Mood::Kind).0,
            users: Mutex::default(),
            asked: Mutex::default(),
            credentials: Mutex::default(),
            came: watch::channel(0).0,
            tokens: AtomicUsize::new(0),
        });
        let own = Arc::clone(&hostile);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let own = Arc::clone(&own);
                // A client that goes away in the middle is none of our business.
                tokio::spawn(async move { own.serve(stream).await.ok() });
            }
        });
        hostile
    }

    pub fn base(&self) -> String {
        format!("http://{}/v2", self.address)
    }

    pub fn is(&self, mood: Mood) {
        self.mood.send_replace(mood);
    }

    pub fn names(&self) -> Vec<String> {
        self.users.lock().unwrap().iter().map(|user| user["userName"].as_str().unwrap().to_owned()).collect()
    }

    fn create(&self, mut user: Value) -> Value {
        let mut users = self.users.lock().unwrap();
        user["id"] = json!(format!("upstream-{}", users.len() + 1));
        users.push(user.clone());
        user
    }

    fn kind(&self, method: &str, target: &str, body: Value) -> (u16, Value) {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let id = path.strip_prefix("/v2/Users/");
        match (method, id) {
            ("POST", None) => (201, self.create(body)),
            ("GET", None) => {
                let wanted = query.split('&').find_map(|pair| pair.strip_prefix("filter="));
                let users = self.users.lock().unwrap();
                let fits = |user: &&Value| {
                    wanted.is_none_or(|filter| filter.contains(user["userName"].as_str().unwrap()))
                };
                let found: Vec<Value> = users.iter().filter(fits).cloned().collect();
                (200, json!({ "totalResults": found.len(), "Resources": found }))
            }
            (_, Some(id)) => {
                let mut users = self.users.lock().unwrap();
                let Some(at) = users.iter().position(|user| user["id"] == id) else {
                    return (404, json!({ "status": "404" }));
                };
                if method == "DELETE" {
                    users.remove(at);
                    return (204, Value::Null);
                }
                if method == "PUT" {
                    users[at] = body;
                }
                (200, users[at].clone())
            }
            _ => (405, json!({ "status": "405" })),
        }
    }

    async fn serve(&self, mut stream: TcpStream) -> std::io::Result<()> {
        loop {
            let Some((head, body)) = request(&mut stream).await? else { return Ok(()) };
            let mut words = head.split_whitespace();
            let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
            self.asked.lock().unwrap().push(format!("{method} {target}"));
            let credential = head.lines().find_map(|line| line.strip_prefix("authorization: "));
            self.credentials.lock().unwrap().push(credential.unwrap_or_default().to_owned());
            let body: Value = serde_json::from_slice(&body).unwrap_or_default();
            let mood = *self.mood.borrow();
            if target == "/token" {
                let turn = self.tokens.fetch_add(1, Ordering::SeqCst) + 1;
                let token = json!({ "access_token": format!("token-number-{turn}"), "token_type": "Bearer", "expires_in": 600 });
                answer(&mut stream, 200, "application/json", &token.to_string()).await?;
                continue;
            }
            let is_creation = method == "POST";
            let created = || is_creation.then(|| self.create(body.clone()));
            match mood {
                Mood::Kind => {
                    let (status, body) = self.kind(method, target, body);
                    let text = if body.is_null() { String::new() } else { body.to_string() };
                    answer(&mut stream, status, "application/scim+json", &text).await?;
                }
                Mood::Hang | Mood::CreateAndHang => {
                    if mood == Mood::CreateAndHang {
                        created();
                    }
                    self.came.send_modify(|count| *count += 1);
                    let mut moods = self.mood.subscribe();
                    let _ = moods.wait_for(|now| *now != mood).await;
                    return Ok(());
                }
                Mood::CreateAndFail => {
                    created();
                    answer(&mut stream, 500, "text/plain", "oops").await?;
                }
                Mood::Drip => {
                    created();
                    stream.write_all(b"HTTP/1.1 201 Created\r\ncontent-length: 1000\r\n\r\n").await?;
                    loop {
                        stream.write_all(b" ").await?;
                        tokio::time::sleep(Duration::from_secs(1)).await;
                    }
                }
                Mood::Flood => {
                    created();
                    stream.write_all(b"HTTP/1.1 201 Created\r\ncontent-length: 10000000000\r\n\r\n").await?;
                    let block = vec![b' '; 1 << 20];
                    loop {
                        stream.write_all(&block).await?;
                    }
                }
                Mood::Html => {
                    created();
                    answer(&mut stream, 200, "text/html", "<html>Please sign in</html>").await?;
                }
                Mood::WrongId => {
                    answer(
                        &mut stream,
                        200,
                        "application/scim+json",
                        "{\"id\":\"upstream-1\",\"userName\":\"x\"}",
                    )
                    .await?;
                }
                Mood::Redirect => {
                    let head = "HTTP/1.1 307 Temporary Redirect\r\nlocation: http://169.254.169.254/latest/meta-data\r\n\
                                content-length: 0\r\n\r\n";
                    stream.write_all(head.as_bytes()).await?;
                }
                Mood::BreakOff => {
                    created();
                    stream.write_all(b"HTTP/1.1 201 Created\r\ncontent-length: 500\r\n\r\n{\"id\":").await?;
                    return Ok(());
                }
                Mood::Echo => {
                    let detail = format!("{} is not good enough", credential.unwrap_or_default());
                    let body = json!({ "detail": detail, "status": "400" });
                    answer(&mut stream, 400, "application/scim+json", &body.to_string()).await?;
                }
                Mood::Lock => answer(&mut stream, 401, "application/scim+json", "{}").await?,
                Mood::Throttle => {
                    let head = "HTTP/1.1 429 Too Many Requests\r\nretry-after: Thu, 01 Jan 2026 00:02:00 GMT\r\n\
                                content-length: 0\r\n\r\n";
                    stream.write_all(head.as_bytes()).await?;
                }
            }
        }
    }
}

async fn answer(stream: &mut TcpStream, status: u16, kind: &str, body: &str) -> std::io::Result<()> {
    let length = body.len();
    let text =
        format!("HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\r\n{body}");
    stream.write_all(text.as_bytes()).await
}

/// The head of a request, header names in lower case, and its body; none at the end of a connection.
async fn request(stream: &mut TcpStream) -> std::io::Result<Option<(String, Vec<u8>)>> {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length: usize = length.map_or(0, |length| length.trim().parse().unwrap());
            while bytes.len() < end + 4 + length {
                if stream.read_buf(&mut bytes).await? == 0 {
                    return Ok(None);
                }
            }
            return Ok(Some((head, bytes[end + 4..end + 4 + length].to_vec())));
        }
        if stream.read_buf(&mut bytes).await? == 0 {
            return Ok(None);
        }
    }
}
