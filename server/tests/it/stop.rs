//! The program is asked to end, or may not begin: what is under way is finished, what is not its own
//! is not touched (T-DUR-11, T-CRY-01).

use std::{
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use ops::vault::{MasterKey, Vault};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use store::testing::databases;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::watch,
};

use crate::process::{MASTER_KEY, Place, database_bytes, http_client};

const OTHER_KEY: &str = "PUwu3u68vZp4VjQSiavN73hWNBLvzauQeFY0Eu/Nq5A=";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_under_load_loses_no_request_and_ends_with_0() {
    for database in databases().await {
        let place = Place::on(database);
        let key = place.with_key("okta").await;
        for round in 0..3 {
            let mut running = place.start("info").await;
            let acknowledged = Arc::new(Mutex::new(Vec::<String>::new()));
            let (counted, mut count) = watch::channel(0);
            let pushers: Vec<_> = (0..6)
                .map(|number| {
                    let url = running.url("/scim/okta/v2/Users");
                    let (key, acknowledged) = (key.clone(), Arc::clone(&acknowledged));
                    let counted = counted.clone();
                    tokio::spawn(async move {
                        let mut client = http_client();
                        for turn in 0.. {
                            // Half of them open a connection for each request.
                            if number % 2 == 0 {
                                client = http_client();
                            }
                            let name = format!("s{round}-{number}-{turn}");
                            let body = json!({ "userName": name }).to_string();
                            match client.post(&url).bearer_auth(&key).body(body).send().await {
                                Ok(answer) => {
                                    assert_eq!(answer.status(), 201);
                                    let body =
                                        answer.bytes().await.expect("an answer that began is finished");
                                    let user: Value = serde_json::from_slice(&body).unwrap();
                                    acknowledged
                                        .lock()
                                        .unwrap()
                                        .push(user["id"].as_str().unwrap().to_owned());
                                    counted.send_modify(|count| *count += 1);
                                }
                                Err(error) => {
                                    assert!(error.is_connect(), "a request was cut: {error:?}");
                                    return;
                                }
                            }
                        }
                    })
                })
                .collect();
            count.wait_for(|count| *count >= 30).await.unwrap();
            running.terminate().await;
            let status = running.ended().await;
            assert_eq!(status.code(), Some(0), "{}", running.log());
            for pusher in pushers {
                pusher.await.unwrap();
            }
            assert!(running.log().contains("\"cut_connections\":0"), "{}", running.log());

            let again = place.start("info").await;
            let client = http_client();
            let acknowledged = std::mem::take(&mut *acknowledged.lock().unwrap());
            for id in acknowledged {
                let url = again.url(&format!("/scim/okta/v2/Users/{id}"));
                assert_eq!(client.get(url).bearer_auth(&key).send().await.unwrap().status(), 200, "{id}");
            }
            again.stop().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_had_begun_is_answered_after_the_signal() {
    for database in databases().await {
        let place = Place::on(database);
        let key = place.with_key("okta").await;
        let mut running = place.start("info").await;
        let body = json!({ "userName": "in-flight" }).to_string();
        let (begun, rest) = body.split_at(10);
        let mut stream = TcpStream::connect(running.address).await.unwrap();
        let head = format!(
            "POST /scim/okta/v2/Users HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {key}\r\n\
             Content-Type: application/scim+json\r\nContent-Length: {}\r\nExpect: 100-continue\r\n\r\n",
            running.address,
            body.len()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        // The server asks for the body once it has begun to serve the request.
        let mut interim = [0; 25];
        stream.read_exact(&mut interim).await.unwrap();
        assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
        stream.write_all(begun.as_bytes()).await.unwrap();

        running.terminate().await;
        running.told("\"message\":\"stopping\"").await;
        stream.write_all(rest.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 201 Created\r\n"), "{answer}");
        assert!(answer.to_lowercase().contains("connection: close"), "{answer}");
        assert_eq!(running.ended().await.code(), Some(0), "{}", running.log());
        assert!(TcpStream::connect(running.address).await.is_err(), "nobody listens any more");
    }
}

fn id_of(master_key: &str) -> String {
    let bytes: [u8; 32] = BASE64_STANDARD.decode(master_key).unwrap().try_into().unwrap();
    Vault::new(&MasterKey::new(bytes)).unwrap().master_key_id().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::disallowed_methods, reason = "the time until the refusal is what is tested")]
async fn a_wrong_master_key_ends_the_start_with_78_and_touches_nothing() {
    for database in databases().await {
        let place = Place::on(database);
        place.with_key("okta").await;
        let before = Sha256::digest(database_bytes(&place.database));
        place.write_master_key(OTHER_KEY);
        let began = SystemTime::now();
        let output = place.run(&["serve"]).await;
        let took = began.elapsed().unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(78), "{told}");
        assert!(took < Duration::from_secs(2), "{took:?}");
        let (expected, found) = (id_of(MASTER_KEY), id_of(OTHER_KEY));
        assert!(told.contains(&expected) && told.contains(&found), "{told}");
        assert!(!told.contains(OTHER_KEY) && !told.contains(MASTER_KEY), "a key is never printed");
        assert!(told.contains("master_key (environment KEYWARD_MASTER_KEY_FILE)"), "{told}");
        assert_eq!(Sha256::digest(database_bytes(&place.database)), before, "{:?}", place.database.engine);

        // And with its own key it starts as if nothing had been.
        place.write_master_key(MASTER_KEY);
        place.start("info").await.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_in_use_ends_the_start_with_78_and_touches_nothing() {
    let place = Place::on(store::testing::sqlite());
    place.with_key("okta").await;
    let before = Sha256::digest(database_bytes(&place.database));
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let output = place.command(taken.local_addr().unwrap(), &["serve"]).output().await.unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(78), "{told}");
    assert!(told.contains("listen (environment KEYWARD_LISTEN)"), "{told}");
    assert_eq!(Sha256::digest(database_bytes(&place.database)), before);
}
