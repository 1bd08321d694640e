//! Fetching the public keys of OAuth clients from the addresses that admins registered.
//!
//! What may be called is decided by the guard of [`super::egress`], as for upstreams. No redirects,
//! no proxy, 10 seconds, 1 MiB.

use std::{pin::Pin, sync::Arc, time::Duration};

use ops::ports::FetchJwks;
use reqwest::{StatusCode, header::ACCEPT};
use url::Url;

use super::{
    egress::{Egress, GuardedResolver},
    http::{BODY_LIMIT, HttpError, install_crypto},
};

const TIMEOUT: Duration = Duration::from_secs(10);

/// The client that fetches them.
#[derive(Clone)]
pub struct JwksHttp {
    client: reqwest::Client,
    egress: Arc<Egress>,
}

impl JwksHttp {
    /// Makes the client behind a guard.
    ///
    /// # Errors
    /// [`HttpError::Transport`] when the machine has no usable certificate store.
    pub fn new(egress: Egress) -> Result<Self, HttpError> {
        install_crypto();
        let egress = Arc::new(egress);
        let client = reqwest::Client::builder()
            .user_agent(concat!("Keyward/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .timeout(TIMEOUT)
            .connect_timeout(TIMEOUT)
            .dns_resolver(Arc::new(GuardedResolver(Arc::clone(&egress))))
            .build()
            .map_err(HttpError::Transport)?;
        Ok(Self { client, egress })
    }

    async fn get(&self, uri: &str) -> Result<Vec<u8>, String> {
        let url = Url::parse(uri).map_err(|_| "the address cannot be read".to_owned())?;
        self.egress.admits_url(&url).map_err(|barred| barred.to_string())?;
        // A URL may hold more than an address: it does not go to the log.
        let transport = |error: reqwest::Error| HttpError::Transport(error.without_url()).to_string();
        let accept = "application/jwk-set+json, application/json";
        let mut answer = self.client.get(url).header(ACCEPT, accept).send().await.map_err(transport)?;
        if answer.status() != StatusCode::OK {
            return Err(format!("it answered with status {}", answer.status().as_u16()));
        }
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(transport)? {
            if body.len() + chunk.len() > BODY_LIMIT {
                return Err(HttpError::TooLarge.to_string());
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }
}

impl FetchJwks for JwksHttp {
    fn fetch<'a>(
        &'a self,
        uri: &'a str,
    ) -> Pin<Box<dyn Future<Output = Result<Vec<u8>, String>> + Send + 'a>> {
        Box::pin(self.get(uri))
    }
}

#[cfg(test)]
mod tests {
    use axum::{Router, http::header::LOCATION, routing::get};
    use tokio::net::TcpListener;

    use super::*;
    use crate::out::egress::{Allowed, PORTS};

    fn client(allowed: &[&str]) -> JwksHttp {
        let allowed = allowed.iter().map(|text| Allowed::parse(text).unwrap()).collect();
        JwksHttp::new(Egress::new(allowed, PORTS.to_vec())).unwrap()
    }

    /// A site on this machine: keys, too many bytes, a redirect to the keys, an error.
    async fn site() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new()
            .route("/jwks", get(async || "{\"keys\":[]}"))
            .route("/large", get(async || "x".repeat(BODY_LIMIT + 1)))
            .route("/moved", get(async || (StatusCode::TEMPORARY_REDIRECT, [(LOCATION, "/jwks")])))
            .route("/broken", get(async || StatusCode::INTERNAL_SERVER_ERROR));
        tokio::spawn(async move { axum::serve(listener, router).await });
        format!("http://{address}")
    }

    #[tokio::test]
    async fn one_document_is_fetched_and_nothing_beyond_it() {
        let (site, client) = (site().await, client(&["http://127.0.0.1"]));
        let fetch = async |path: &str| client.fetch(&format!("{site}{path}")).await;
        assert_eq!(fetch("/jwks").await.unwrap(), b"{\"keys\":[]}");
        for (path, reason) in [("/large", "longer than"), ("/moved", "status 307"), ("/broken", "status 500")]
        {
            let fault = fetch(path).await.unwrap_err();
            assert!(fault.contains(reason), "{path}: {fault}");
        }
    }

    #[tokio::test]
    async fn this_machine_and_its_neighbours_are_not_called() {
        let site = site().await;
        for address in [
            site.as_str(),
            "https://127.0.0.1/jwks",
            "https://10.0.0.1/jwks",
            "https://169.254.169.254/latest/meta-data",
            "https://[fd00:ec2::254]/",
            "https://localhost/jwks",
            "http://id.example.com/jwks",
            "file:///etc/passwd",
            "jwks",
        ] {
            assert!(client(&[]).fetch(address).await.is_err(), "{address}");
        }
    }
}
