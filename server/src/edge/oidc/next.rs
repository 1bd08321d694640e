//! Where to go after sign-in: a path of this server, never another one.

use domain::admins::Role;
use url::Url;

const LIMIT: usize = 1024;

/// The path and query of `text` when it is a page of this server; `/` otherwise.
///
/// Browsers read `//host`, `/\host`, and both with a tab inside, as another host; the same parser
/// that they use decides here.
pub fn local_path(text: &str) -> String {
    parse(text).unwrap_or_else(|| "/".to_owned())
}

/// The page of a person who asked for none: managers look at compliance first.
pub const fn home(role: &Role) -> &'static str {
    match role {
        Role::Admin | Role::Operator(_) => "/",
        Role::Manager => "/compliance",
    }
}

fn parse(text: &str) -> Option<String> {
    if text.len() > LIMIT || !text.starts_with('/') || text.contains('\\') || text.contains(char::is_control)
    {
        return None;
    }
    let here = Url::parse("https://keyward.invalid/").ok()?;
    let there = here.join(text).ok()?;
    if there.origin() != here.origin() || there.path().starts_with("//") {
        return None;
    }
    // Coming back to these would go round in circles.
    if there.path().starts_with("/auth/") || there.path() == "/sign-in" {
        return None;
    }
    Some(there[url::Position::BeforePath..url::Position::AfterQuery].to_owned())
}

/// The sign-in page, which then leads to `path`.
pub fn sign_in_path(path: &str) -> String {
    match local_path(path).as_str() {
        "/" => "/sign-in".to_owned(),
        path => {
            let query =
                url::form_urlencoded::Serializer::new(String::new()).append_pair("next", path).finish();
            format!("/sign-in?{query}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_this_server_is_kept() {
        for path in ["/", "/keys", "/keys?federation=okta&q=a%20b", "/audit/12", "/federations/new"] {
            assert_eq!(local_path(path), path);
        }
        assert_eq!(local_path("/keys#top"), "/keys");
        assert_eq!(local_path("/a/../keys"), "/keys");
        assert_eq!(sign_in_path("/keys?q=a&b"), "/sign-in?next=%2Fkeys%3Fq%3Da%26b");
        assert_eq!(sign_in_path("/"), "/sign-in");
    }

    #[test]
    fn anything_else_leads_home() {
        let long = format!("/{}", "a".repeat(LIMIT));
        for path in [
            "",
            "keys",
            "https://evil.example/",
            "//evil.example/",
            "/\\evil.example/",
            "\\\\evil.example",
            "/\t/evil.example",
            "/\n/evil.example",
            "/..//evil.example",
            "/.//evil.example",
            "javascript:alert(1)",
            "/auth/start",
            "/auth/callback?code=1",
            "/sign-in?next=/keys",
            "/keys\r\nSet-Cookie: a=b",
            &long,
        ] {
            assert_eq!(local_path(path), "/", "{path:?}");
        }
    }
}
