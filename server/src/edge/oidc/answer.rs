//! What the browser brings back from the provider.

use super::refusal::{Code, Refusal};

/// An authorization response (RFC 6749 4.1.2).
pub struct Answer {
    /// What it says it answers.
    pub state: String,
    /// Who says to answer (RFC 9207).
    pub issuer: Option<String>,
    /// The code, or why there is none.
    pub outcome: Result<String, Refusal>,
}

impl Answer {
    /// Reads a query string.
    ///
    /// # Errors
    /// `state` when a parameter repeats, or there is no state, or neither a code nor an error.
    pub fn read(query: &str) -> Result<Self, Refusal> {
        let malformed = |reason: &str| Refusal::new(Code::State, reason);
        let (mut code, mut state, mut issuer, mut error) = (None, None, None, None);
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            let field = match &*name {
                "code" => &mut code,
                "state" => &mut state,
                "iss" => &mut issuer,
                "error" => &mut error,
                // RFC 6749 4.1.2: unknown parameters are ignored.
                _ => continue,
            };
            // RFC 6749 3.1: parameters do not repeat.
            if field.replace(value.into_owned()).is_some() {
                return Err(malformed("a parameter of the answer stands twice"));
            }
        }
        let state = state.ok_or_else(|| malformed("the answer has no state"))?;
        let outcome = match (code, error) {
            (Some(code), None) => Ok(code),
            (_, Some(error)) => Err(denied(&error)),
            (None, None) => Err(malformed("the answer has neither a code nor an error")),
        };
        Ok(Self { state, issuer, outcome })
    }
}

/// RFC 6749 4.1.2.1 and OIDC Core 3.1.2.6: only words that the standards know are repeated.
fn denied(error: &str) -> Refusal {
    const WORDS: [&str; 9] = [
        "access_denied",
        "invalid_request",
        "unauthorized_client",
        "unsupported_response_type",
        "invalid_scope",
        "interaction_required",
        "login_required",
        "account_selection_required",
        "consent_required",
    ];
    match error {
        "server_error" | "temporarily_unavailable" => {
            Refusal::new(Code::ProviderUnreachable, format!("the provider answered {error}"))
        }
        error if WORDS.contains(&error) => {
            Refusal::new(Code::Denied, format!("the provider answered {error}"))
        }
        _ => Refusal::new(Code::Denied, "the provider answered with an error of its own"),
    }
}
