//! Two nodes of one Postgres database: what one of them answers is in the stream of the other.

use domain::RequestId;
use ops::scim_client::{self, Asked};
use store::testing::{postgres, run_sql};
use tokio::time::timeout;

use super::{Event, next_of};
use crate::process::{PATIENCE, Place, Running, http_client};

/// What ends the connections on which nodes listen. Each of them says in Postgres what it ran last.
const KILL: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND query LIKE 'LISTEN%keyward_usage%'";

/// Somebody who watches a node.
struct Watcher {
    answer: reqwest::Response,
    text: String,
}

impl Watcher {
    async fn open(node: &Running, cookie: &str) -> Self {
        let request =
            http_client().get(node.url("/live/usage")).timeout(PATIENCE * 3).header("cookie", cookie);
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 200);
        let mut watcher = Self { answer, text: String::new() };
        assert_eq!(watcher.next().await.unwrap().name, "beat");
        watcher
    }

    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = next_of(&mut self.text) {
                return Some(event);
            }
            let chunk = timeout(PATIENCE, self.answer.chunk()).await.unwrap().unwrap()?;
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    /// Waits for the record of one request. Beats go by, and requests of others.
    async fn sees(&mut self, id: &str) {
        let waited = async {
            loop {
                let event = self.next().await.expect("the stream goes on");
                if event.name.is_empty() && event.record()["request_id"] == id {
                    return;
                }
            }
        };
        assert_eq!(timeout(PATIENCE, waited).await, Ok(()), "{id} did not come");
    }
}

/// A request to a node; its id.
async fn asked(node: &Running, key: &str) -> String {
    let answer = http_client().get(node.url("/scim/okta/v2/Users")).bearer_auth(key).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    answer.headers()["x-request-id"].to_str().unwrap().to_owned()
}

/// A request that no node is told of: it is answered in this process, which carries nothing to others.
async fn in_silence(place: &Place, key: &str) -> RequestId {
    let keyward = place.open().await;
    let request = keyward.request_info();
    let asked = Asked {
        method: "GET".to_owned(),
        resource_type: "Users".to_owned(),
        resource_id: None,
        tolerated: Vec::new(),
        operation: None,
    };
    let cx = scim_client::authenticate(&keyward, &request, "okta", Some(key), &asked).await.unwrap();
    cx.discovered(&asked).await.unwrap();
    keyward.close().await;
    request.id
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_node_answers_is_in_the_stream_of_the_other_whether_or_not_it_is_told() {
    let Some(database) = postgres().await else { return };
    let place = Place::on(database);
    let key = place.with_key("okta").await;
    let cookie = place.cookie().await;
    let (first, mut second) = (place.start("info").await, place.start("debug").await);
    let mut watcher = Watcher::open(&second, &cookie).await;

    // By NOTIFY: the node says that it was told, which nothing else makes it say.
    let id = asked(&first, &key).await;
    watcher.sees(&id).await;
    second.told("another node told of usage records").await;

    // Nobody tells it: it asks the database by itself.
    let id = in_silence(&place, &key).await;
    watcher.sees(id.as_str()).await;

    // The connections that listen die. Until there is a new one the database is asked.
    run_sql(&place.database.target, KILL.to_owned()).await;
    second.told("the live stream asks the database until it is told again").await;
    let id = asked(&first, &key).await;
    watcher.sees(&id).await;

    // Then it is told again, and goes on hearing although its other work comes in between.
    second.told("the live stream is told by other nodes").await;
    for _ in 0..3 {
        let id = asked(&first, &key).await;
        watcher.sees(&id).await;
    }
    second.told("another node told of usage records").await;

    // A node that goes sends those who watch it to another one.
    second.terminate().await;
    let last = async {
        while let Some(event) = watcher.next().await {
            if event.name == "restart" {
                return true;
            }
        }
        false
    };
    assert_eq!(timeout(PATIENCE, last).await, Ok(true), "{}", second.log());
    assert_eq!(second.ended().await.code(), Some(0), "{}", second.log());
    first.stop().await;
}
