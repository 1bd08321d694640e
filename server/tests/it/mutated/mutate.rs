//! What may be wrong with a request. A new kind is a function and a line in [`mutate`].

use std::fmt::Write as _;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};

use super::seeds::{Chance, Seed};

/// How it must be answered.
pub enum Expected {
    /// Not with a failure.
    Anything,
    /// Not with 2xx.
    Refused,
    /// With 400 and this keyword.
    Keyword(&'static str),
}

/// A request that something happened to.
pub struct Mutated {
    pub kind: &'static str,
    pub bytes: Vec<u8>,
    pub expected: Expected,
    /// Not even HTTP: a server may refuse it without a word of SCIM.
    pub is_no_http: bool,
    pub is_head: bool,
}

impl Mutated {
    fn new(kind: &'static str, seed: &Seed, bytes: Vec<u8>, expected: Expected) -> Self {
        Self { kind, bytes, expected, is_no_http: false, is_head: seed.method == "HEAD" }
    }

    /// 501 is for what the standard names and this server does not offer.
    pub fn may_be_unknown(&self) -> bool {
        let line = self.bytes.split(|byte| *byte == b'\r').next().unwrap_or_default();
        let line = String::from_utf8_lossy(line);
        line.contains("/Me")
    }

    /// The beginning of it, for a person.
    pub fn shown(&self) -> String {
        let text = String::from_utf8_lossy(&self.bytes);
        let text: String =
            text.lines().filter(|line| !line.starts_with("Authorization")).collect::<Vec<_>>().join("\n");
        text.chars().take(900).flat_map(char::escape_debug).collect()
    }
}

/// Does one thing to a request.
pub fn mutate(chance: &mut Chance, seed: Seed) -> Mutated {
    if seed.body.is_some() && chance.below(10) < 7 {
        return match chance.below(24) {
            0..=3 => flipped(chance, &seed),
            4 | 5 => cut(chance, &seed),
            6 | 7 => nested(chance, seed),
            8 | 9 => twice_named(chance, &seed),
            10 => surrogate(&seed),
            11 | 12 => number(chance, seed),
            13..=16 => other_type(chance, seed),
            17 => operation(chance, seed),
            18 => brackets(chance, seed),
            19 | 20 => encoded(chance, seed),
            21 => media_type(chance, seed),
            22 => length(chance, &seed),
            _ => text_of_another_kind(chance, &seed),
        };
    }
    match chance.below(12) {
        0 | 1 => method(chance, seed),
        2..=4 => percent(chance, seed),
        5 | 6 => headers(chance, seed),
        7 => conditions(chance, seed),
        8 | 9 => filter(chance, seed),
        10 => query(chance, seed),
        _ => {
            let bytes = seed.bytes();
            Mutated::new("as it was", &seed, bytes, Expected::Anything)
        }
    }
}

fn body_of(seed: &Seed) -> Vec<u8> {
    seed.body.as_ref().map(|body| body.to_string().into_bytes()).unwrap_or_default()
}

/// With this body; what is no JSON is `invalidSyntax`, where a body is read. A byte order mark is forgiven
/// (RFC 8259 8.1 lets a reader do so).
fn with_body(kind: &'static str, seed: &Seed, body: &[u8]) -> Mutated {
    let text = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let is_json = serde_json::from_slice::<Value>(text).is_ok();
    let expected = if is_json { Expected::Anything } else { syntax(seed) };
    Mutated::new(kind, seed, seed.bytes_with(Some(body)), expected)
}

/// What a malformed body gets: a keyword, once the endpoint is one that reads it.
fn syntax(seed: &Seed) -> Expected {
    let is_read = ["/Users", "/Groups"].iter().any(|path| seed.target.contains(path))
        && !seed.target.contains(".search");
    if is_read { Expected::Keyword("invalidSyntax") } else { Expected::Refused }
}

fn flipped(chance: &mut Chance, seed: &Seed) -> Mutated {
    let mut body = body_of(seed);
    for _ in 0..=chance.below(6) {
        let at = chance.below(body.len());
        body[at] ^= 1 << chance.below(8);
    }
    with_body("flipped bits", seed, &body)
}

fn cut(chance: &mut Chance, seed: &Seed) -> Mutated {
    let mut body = body_of(seed);
    let at = chance.below(body.len());
    if chance.below(2) == 0 {
        body.truncate(at);
    } else {
        let piece = body[at..].to_vec();
        body.extend_from_slice(&piece);
    }
    with_body("cut or doubled", seed, &body)
}

fn nested(chance: &mut Chance, mut seed: Seed) -> Mutated {
    let levels = match chance.below(60) {
        0 => 100_000,
        1 | 2 => 10_000,
        _ => [1, 5, 62, 63, 64, 65, 66, 127, 128, 129, 1_000][chance.below(11)],
    };
    let is_array = chance.below(2) == 0;
    let marker = "@nested@";
    let is_inside = replace_leaf(chance, seed.body.as_mut().unwrap(), &json!(marker));
    let (open, close) = if is_array { ("[", "]") } else { ("{\"a\":", "}") };
    let deep = format!("{}1{}", open.repeat(levels), close.repeat(levels));
    let body = if is_inside {
        String::from_utf8(body_of(&seed)).unwrap().replace(&format!("\"{marker}\""), &deep)
    } else {
        deep
    };
    let expected = if levels > 66 { syntax(&seed) } else { Expected::Anything };
    // A hundred thousand objects are half a mebibyte; the limit is one.
    Mutated::new("nested", &seed, seed.bytes_with(Some(body.as_bytes())), expected)
}

fn twice_named(chance: &mut Chance, seed: &Seed) -> Mutated {
    let body = String::from_utf8(body_of(seed)).unwrap();
    let name =
        chance.one_of(&["userName", "displayName", "Operations", "schemas", "id", "active", "members", "op"]);
    let value = chance.one_of(&["\"x\"", "null", "[]", "{}", "true", "7"]);
    let mut text = format!("{{\"{name}\":{value},");
    for _ in 0..[0, 1, 5, 5_000][chance.below(4)] {
        write!(text, "\"{name}\":{value},").unwrap();
    }
    text.push_str(&body[1..]);
    Mutated::new("named twice", seed, seed.bytes_with(Some(text.as_bytes())), Expected::Anything)
}

fn surrogate(seed: &Seed) -> Mutated {
    let body = String::from_utf8(body_of(seed)).unwrap().replacen("\":\"", "\":\"\\ud800", 1);
    with_body("a lone surrogate", seed, body.as_bytes())
}

fn number(chance: &mut Chance, mut seed: Seed) -> Mutated {
    let marker = "@number@";
    replace_leaf(chance, seed.body.as_mut().unwrap(), &json!(marker));
    let digits = "9".repeat([20, 400, 10_000, 500_000][rarely_last(chance)]);
    let huge = chance
        .one_of(&["1e999", "-1e999", "1e-999", "0.1e1", "-0", "18446744073709551616", digits.as_str()])
        .to_owned();
    let body = String::from_utf8(body_of(&seed)).unwrap().replace(&format!("\"{marker}\""), &huge);
    with_body("a huge number", &seed, body.as_bytes())
}

fn other_type(chance: &mut Chance, mut seed: Seed) -> Mutated {
    let values = [
        json!(null),
        json!(true),
        json!(7),
        json!(-1.5),
        json!(""),
        json!("\u{0}"),
        json!("x".repeat(5_000)),
        json!([]),
        json!([[]]),
        json!({}),
        json!({ "value": { "value": [] } }),
        json!([{ "value": 1 }, null]),
        json!("\u{202e}\u{feff}e\u{301}"),
    ];
    let value = values[chance.below(values.len())].clone();
    if chance.below(4) == 0 {
        replace_member(chance, seed.body.as_mut().unwrap(), value);
    } else {
        replace_leaf(chance, seed.body.as_mut().unwrap(), &value);
    }
    let bytes = seed.bytes();
    Mutated::new("another type", &seed, bytes, Expected::Anything)
}

/// Puts a value in the place of a leaf; false when there is none.
fn replace_leaf(chance: &mut Chance, value: &mut Value, new: &Value) -> bool {
    fn leaves(value: &Value) -> usize {
        match value {
            Value::Array(items) => items.iter().map(leaves).sum(),
            Value::Object(members) => members.values().map(leaves).sum(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 1,
        }
    }
    fn put(value: &mut Value, at: &mut usize, new: &Value) -> bool {
        match value {
            Value::Array(items) => items.iter_mut().any(|item| put(item, at, new)),
            Value::Object(members) => members.values_mut().any(|member| put(member, at, new)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                if *at == 0 {
                    *value = new.clone();
                    return true;
                }
                *at -= 1;
                false
            }
        }
    }
    let mut at = chance.below(leaves(value));
    put(value, &mut at, new)
}

/// Puts a value in the place of a member of the body itself.
fn replace_member(chance: &mut Chance, value: &mut Value, new: Value) {
    let members: &mut Map<String, Value> = value.as_object_mut().unwrap();
    let names: Vec<String> = members.keys().cloned().collect();
    members.insert(names[chance.below(names.len())].clone(), new);
}

/// One of four; the last, which is large, one time in forty.
fn rarely_last(chance: &mut Chance) -> usize {
    if chance.below(40) == 0 { 3 } else { chance.below(3) }
}

fn operation(chance: &mut Chance, mut seed: Seed) -> Mutated {
    let word = chance.one_of(&["move", "", "REPLACE ", "add\u{0}", "test", "copy", "délete"]);
    let is_patch = seed.method == "PATCH";
    if let Some(first) = seed.body.as_mut().and_then(|body| body.pointer_mut("/Operations/0")) {
        first["op"] = json!(word);
    }
    let bytes = seed.bytes();
    let expected = if is_patch { Expected::Keyword("invalidSyntax") } else { Expected::Anything };
    Mutated::new("an unknown operation", &seed, bytes, expected)
}

/// Up to a million brackets in the path of a PATCH; in a body that has none, in a name.
fn brackets(chance: &mut Chance, mut seed: Seed) -> Mutated {
    let count = [40, 1_000, 20_000, 900_000][rarely_last(chance)];
    let (text, kind) = match chance.below(4) {
        0 => (format!("emails{}", "[".repeat(count)), "brackets in a path"),
        1 => (
            format!("emails[{}type eq \"work\"{}]", "(".repeat(count / 2), ")".repeat(count / 2)),
            "parentheses in a path",
        ),
        2 => (format!("emails[{}", "not (".repeat(count / 5)), "negations in a path"),
        _ => ("a.".repeat(count / 2), "dots in a path"),
    };
    let is_patch = seed.method == "PATCH";
    if is_patch && let Some(first) = seed.body.as_mut().and_then(|body| body.pointer_mut("/Operations/0")) {
        first["op"] = json!("replace");
        first["path"] = json!(text);
        first["value"] = json!("x");
    } else if let Some(body) = seed.body.as_mut().and_then(Value::as_object_mut) {
        body.insert(text, json!(1));
    }
    let bytes = seed.bytes();
    Mutated::new(kind, &seed, bytes, if is_patch { Expected::Refused } else { Expected::Anything })
}

/// A mebibyte of nothing, in gzip; members of gzip may follow each other.
fn bomb(members: usize) -> Vec<u8> {
    BASE64_STANDARD.decode(BOMB).unwrap().repeat(members)
}

fn encoded(chance: &mut Chance, mut seed: Seed) -> Mutated {
    let coding = chance.one_of(&[
        "gzip",
        "deflate",
        "br",
        "zstd",
        "compress",
        "gzip, gzip",
        "identity, gzip",
        "GZIP",
        "x",
        "",
    ]);
    seed.headers.push(("Content-Encoding".to_owned(), coding.as_bytes().to_vec()));
    let body = match chance.below(4) {
        0 => bomb(1 + chance.below(400)),
        1 => b"\x1f\x8b\x08\x00\x00\x00\x00\x00".to_vec(),
        2 => body_of(&seed),
        _ => (0..chance.below(2_000)).map(|_| u8::try_from(chance.below(256)).unwrap()).collect(),
    };
    Mutated::new("a content encoding", &seed, seed.bytes_with(Some(&body)), Expected::Anything)
}

fn media_type(chance: &mut Chance, mut seed: Seed) -> Mutated {
    let media_type: &[u8] = [
        b"text/plain".as_slice(),
        b"application/xml",
        b"application/x-www-form-urlencoded",
        b"multipart/form-data; boundary=",
        b"application/json-patch+json",
        b";",
        b"\xff\xfe",
        b"application/",
    ][chance.below(8)];
    for (name, value) in &mut seed.headers {
        if name == "Content-Type" {
            *value = media_type.to_vec();
        }
    }
    let bytes = seed.bytes();
    Mutated::new("another media type", &seed, bytes, Expected::Refused)
}

/// Lengths that are no lengths, or not of this body. Nothing here makes the server wait for more.
fn length(chance: &mut Chance, seed: &Seed) -> Mutated {
    let body = body_of(seed);
    let mut bytes = seed.head();
    let lines = match chance.below(7) {
        0 => "Content-Length: -1\r\n".to_owned(),
        1 => "Content-Length: many\r\n".to_owned(),
        2 => format!("Content-Length: {}\r\nContent-Length: {}\r\n", body.len(), body.len() + 1),
        3 => "Content-Length: 99999999999999999999999\r\n".to_owned(),
        4 => format!("Content-Length: {}\r\nTransfer-Encoding: chunked\r\n", body.len()),
        5 => "Transfer-Encoding: chunked, gzip\r\n".to_owned(),
        _ => "Transfer-Encoding: chunked\r\n".to_owned(),
    };
    bytes.extend_from_slice(lines.as_bytes());
    bytes.extend_from_slice(b"Connection: close\r\n\r\n");
    bytes.extend_from_slice(if lines.contains("chunked") { b"zz\r\n\r\n0\r\n\r\n" } else { &body });
    Mutated { is_no_http: true, ..Mutated::new("a wrong length", seed, bytes, Expected::Refused) }
}

fn text_of_another_kind(chance: &mut Chance, seed: &Seed) -> Mutated {
    let text = String::from_utf8(body_of(seed)).unwrap();
    let body: Vec<u8> = match chance.below(5) {
        0 => [b"\xef\xbb\xbf".as_slice(), text.as_bytes()].concat(),
        1 => text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
        2 => text.replace('e', "\u{0}").into_bytes(),
        3 => text.bytes().map(|byte| if byte == b'i' { 0xff } else { byte }).collect(),
        _ => format!("{}{text}{}", " \r\n\t".repeat(10_000), " ".repeat(50_000)).into_bytes(),
    };
    with_body("text of another kind", seed, &body)
}

fn method(chance: &mut Chance, mut seed: Seed) -> Mutated {
    let long = "M".repeat(300);
    let methods = [
        "TRACE",
        "OPTIONS",
        "HEAD",
        "PROPFIND",
        "LINK",
        "get",
        "Post",
        "PURGE",
        "PATCH",
        "PUT",
        "QUERY",
        long.as_str(),
    ];
    chance.one_of(&methods).clone_into(&mut seed.method);
    if let Some(body) = &seed.body {
        // Without its name a body is nothing that changes anything.
        seed.body = Some(json!({ "planet": body["schemas"] }));
    }
    let bytes = seed.bytes();
    Mutated::new("another method", &seed, bytes, Expected::Anything)
}

fn percent(chance: &mut Chance, mut seed: Seed) -> Mutated {
    let piece = chance.one_of(&[
        "%00",
        "%ff",
        "%2e%2e%2f",
        "%",
        "%zz",
        "%2",
        "%25%30%30",
        "%c0%ae",
        "..",
        "//",
        ";a=b",
        "%0d%0a",
        "%F0%9F%94%91",
        "~",
        "{",
        "|",
        "%5c",
        "#x",
        "?",
        "%3f",
        "@",
        ":",
        "%u0041",
    ]);
    let mut at = "/scim/".len() + chance.below(seed.target.len() - "/scim/".len() + 1);
    while !seed.target.is_char_boundary(at) {
        at -= 1;
    }
    seed.target.insert_str(at, piece);
    let bytes = seed.bytes();
    // A target with a `{` or a `|` is none by RFC 3986; servers differ.
    Mutated {
        is_no_http: piece.contains(['{', '|', '#']),
        ..Mutated::new("percent and other signs", &seed, bytes, Expected::Anything)
    }
}

fn headers(chance: &mut Chance, mut seed: Seed) -> Mutated {
    let mut is_no_http = false;
    let mut add = |name: &str, value: &[u8]| seed.headers.push((name.to_owned(), value.to_vec()));
    match chance.below(14) {
        0 => (0..60).for_each(|number| add(&format!("X-{number}"), b"y")),
        1 => add("X-Large", "z".repeat(17_000).as_bytes()),
        2 => {
            is_no_http = true;
            add("X-Folded", b"a\r\n b");
        }
        3 => {
            is_no_http = true;
            add("X-Control", b"a\x01\x00b");
        }
        4 => {
            is_no_http = true;
            add("", b"nameless");
        }
        5 => {
            is_no_http = true;
            add("Space in it", b"x");
        }
        6 => add("Authorization", b"Bearer other"),
        7 => add("X-Bytes", b"\xff\xfe\x80"),
        8 => add("Accept", b"text/html;q=nan, */*;q=-1"),
        9 => add("Host", b"evil.example"),
        10 => add("X-Forwarded-For", b"999.1.1.1, ::::, unknown"),
        11 => add("Expect", b"100-maybe"),
        12 => add("Range", b"bytes=0-0,1-1,-5"),
        _ => add("Cookie", "a".repeat(4_000).as_bytes()),
    }
    let bytes = seed.bytes();
    Mutated { is_no_http, ..Mutated::new("headers", &seed, bytes, Expected::Anything) }
}

fn conditions(chance: &mut Chance, mut seed: Seed) -> Mutated {
    let value = chance.one_of(&[
        "*",
        "\"",
        "W/",
        "W/\"1\"",
        "\"1\", W/\"2\"",
        "W/\"-1\"",
        "W/\"99999999999999999999\"",
        ",,,,",
        "\u{fc}",
    ]);
    let name =
        chance.one_of(&["If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since", "Prefer"]);
    seed.headers.push((name.to_owned(), value.as_bytes().to_vec()));
    let bytes = seed.bytes();
    Mutated::new("conditions", &seed, bytes, Expected::Anything)
}

/// A filter of pieces; what the crate does not read must be `invalidFilter`.
fn filter(chance: &mut Chance, mut seed: Seed) -> Mutated {
    let pieces = [
        "userName",
        " eq ",
        " co ",
        " pr",
        " and ",
        " or ",
        "not ",
        "(",
        ")",
        "[",
        "]",
        "\"a\"",
        "\"",
        "\\",
        "true",
        "null",
        "1e999",
        "emails",
        ".",
        "value",
        "\u{0}",
        "ü",
        ":",
        "urn:",
        "meta.created",
        " gt ",
        "\"2020\"",
        "%",
        "+",
    ];
    let text: String = match chance.below(6) {
        0 => "(".repeat(1 + chance.below(2_500)),
        1 => format!("{}userName pr{}", "(".repeat(2_000), ")".repeat(2_000)),
        2 => "not (".repeat(1 + chance.below(400)),
        3 => vec!["userName eq \"a\""; 1 + chance.below(150)].join(chance.one_of(&[" and ", " or "])),
        _ => (0..=chance.below(14)).map(|_| *chance.one_of(&pieces.each_ref())).collect(),
    };
    let kind = chance.one_of(&["Users", "Groups"]);
    let encoded: String = url::form_urlencoded::byte_serialize(text.as_bytes()).collect();
    "GET".clone_into(&mut seed.method);
    seed.body = None;
    seed.target = format!("/scim/okta/v2/{kind}?filter={encoded}");
    let is_short = seed.target.len() < 8_000;
    let read = percent_decode_str(&encoded.replace('+', " "))
        .decode_utf8()
        .map(|text| scim::Filter::parse(&text).is_ok());
    let expected = match read {
        Ok(false) if is_short && !text.trim().is_empty() => Expected::Keyword("invalidFilter"),
        _ => Expected::Anything,
    };
    let bytes = seed.bytes();
    Mutated::new("a filter", &seed, bytes, expected)
}

fn query(chance: &mut Chance, mut seed: Seed) -> Mutated {
    let name = chance.one_of(&[
        "count",
        "startIndex",
        "attributes",
        "excludedAttributes",
        "sortBy",
        "sortOrder",
        "cursor",
        "filter",
        "x",
        "",
    ]);
    let long = "a,".repeat(3_000);
    let value = chance.one_of(&[
        "",
        "-1",
        "0",
        "1.5",
        "99999999999999999999",
        "many",
        "%00",
        "%ff",
        "userName",
        "emails[type",
        "userName,,,",
        "descending",
        "sideways",
        "%22",
        "=",
        "&&&",
        "password",
        long.as_str(),
    ]);
    let sign = if seed.target.contains('?') { '&' } else { '?' };
    write!(seed.target, "{sign}{name}={value}").unwrap();
    let bytes = seed.bytes();
    Mutated::new("a query", &seed, bytes, Expected::Anything)
}

/// `gzip -9` of 1,048,576 zeros.
const BOMB: &str = "\
    H4sIAAAAAAAC/+3BMQEAAADCoPVPbQhfoAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\
    AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\
    AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\
    AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\
    AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\
    AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\
    AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\
    AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\
    AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\
    AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\
    AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\
    AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\
    AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAPgMc6jinAAAQAA==";
