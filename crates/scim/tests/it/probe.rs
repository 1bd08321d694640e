//! The probe against a server that does everything right, and against one that falls silent.
//!
//! Servers with one fault each are in `probe_faults`.

use std::{
    collections::BTreeMap,
    future::Future,
    pin::pin,
    sync::Mutex,
    task::{Context, Poll, Waker},
};

use scim::probe::{Check, Exchange, Options, ProbeAnswer, ProbeRequest, Quirks, Report, Verdict, run};
use serde_json::{Value, json};

use crate::{
    ENT,
    directory::{Answer, Directory, Request},
};

/// A server with a fault: what it does to requests before it looks at them, and to its answers.
pub(crate) struct Server {
    directory: Mutex<Directory>,
    fault: Fault,
    /// Which requests, counted from 0, get no answer; the directory has seen those for which the flag is set.
    silence: Box<dyn Fn(usize) -> Option<bool> + Sync + Send>,
    count: Mutex<usize>,
}

#[derive(Clone, Copy)]
pub(crate) struct Fault {
    pub prepare: fn(&mut Directory),
    /// Changes the request, or answers in the place of the directory.
    pub before: fn(&mut Request) -> Option<Answer>,
    pub after: fn(&Request, &mut Answer),
}

impl Default for Fault {
    fn default() -> Self {
        Self { prepare: |_| {}, before: |_| None, after: |_, _| {} }
    }
}

impl Server {
    pub fn new(fault: Fault) -> Self {
        let mut directory = Directory::default();
        (fault.prepare)(&mut directory);
        Self { directory: Mutex::new(directory), fault, silence: Box::new(|_| None), count: Mutex::new(0) }
    }

    pub fn everything(&self) -> Value {
        let mut directory = self.directory.lock().expect("no panic before");
        let mut all = |path| directory.answer(&Request::new("GET", path)).value()["Resources"].clone();
        json!([all("/Users?count=1000"), all("/Groups?count=1000")])
    }
}

impl Exchange for Server {
    fn send(&self, request: ProbeRequest) -> impl Future<Output = Result<ProbeAnswer, String>> + Send {
        let mut asked = Request::new(request.method, &request.path);
        asked.headers = request.headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        asked.body = request.body.map(|body| body.to_string().into_bytes()).unwrap_or_default();
        let place = {
            let mut count = self.count.lock().expect("no panic before");
            *count += 1;
            *count - 1
        };
        let silence = (self.silence)(place);
        let mut answer = || {
            (self.fault.before)(&mut asked)
                .unwrap_or_else(|| self.directory.lock().expect("no panic before").answer(&asked))
        };
        let answer = match silence {
            None => {
                let mut answer = answer();
                (self.fault.after)(&asked, &mut answer);
                Ok(ProbeAnswer {
                    status: answer.status,
                    content_type: answer.header("content-type").map(str::to_owned),
                    location: answer.header("location").map(str::to_owned),
                    etag: answer.header("etag").map(str::to_owned),
                    retry_after: answer.header("retry-after").map(str::to_owned),
                    body: answer.body,
                })
            }
            Some(is_seen) => {
                if is_seen {
                    answer();
                }
                Err("connection reset".to_owned())
            }
        };
        std::future::ready(answer)
    }
}

/// Nothing here ever waits.
fn now<F: Future + Send>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("nothing to wait for"),
    }
}

pub(crate) fn probe(server: &Server, members: usize) -> Report {
    now(run(server, &Options { tag: "t4g".to_owned(), members }))
}

pub(crate) fn with(fault: Fault) -> Report {
    let server = Server::new(fault);
    let report = probe(&server, 0);
    assert_eq!(server.everything(), json!([[], []]), "{report}");
    report
}

/// The fault is found under this name, and nothing else fails.
pub(crate) fn check(fault: Fault, id: &str, verdict: Verdict) -> Report {
    check_all(fault, &[(id, verdict)])
}

pub(crate) fn check_all(fault: Fault, expected: &[(&str, Verdict)]) -> Report {
    let report = with(fault);
    expect(&report, expected);
    report
}

pub(crate) fn expect(report: &Report, expected: &[(&str, Verdict)]) {
    let is_amiss = |check: &&Check| matches!(check.verdict, Verdict::Failed | Verdict::Tolerated);
    let found: BTreeMap<_, _> =
        report.checks.iter().filter(is_amiss).map(|check| (check.id, check.verdict)).collect();
    assert_eq!(found, expected.iter().copied().collect(), "{report}");
}

pub(crate) fn is(request: &Request, method: &str, endpoint: &str) -> bool {
    request.method == method && request.path.starts_with(endpoint)
}

pub(crate) fn body(request: &Request) -> Value {
    serde_json::from_slice(&request.body).unwrap_or_default()
}

#[expect(clippy::unnecessary_wraps, reason = "it stands for the answer of a fault")]
pub(crate) fn refused(status: u16) -> Option<Answer> {
    Some(scim::ScimError::new(status, "made to fail").into())
}

pub(crate) fn change(answer: &mut Answer, change: impl Fn(&mut Value)) {
    let mut value = answer.value();
    change(&mut value);
    answer.body = value.to_string().into_bytes();
}

pub(crate) const FAILED: Verdict = Verdict::Failed;
pub(crate) const TOLERATED: Verdict = Verdict::Tolerated;

#[test]
fn a_server_that_does_everything_passes_everything() {
    let server = Server::new(Fault::default());
    let report = probe(&server, 101);
    assert!(report.checks.iter().all(|check| check.verdict == Verdict::Passed), "{report}");
    assert_eq!(report.quirks, Quirks::default());
    assert_eq!(report.left_behind, Vec::<String>::new());
    assert!(report.is_ready());
    assert_eq!(server.everything(), json!([[], []]));
    let many = report.check("members-many").expect("a check");
    assert_eq!(many.detail, "101 were added at once");
}

#[test]
fn what_was_there_before_stays_as_it_was() {
    let server = Server::new(Fault::default());
    {
        let mut directory = server.directory.lock().expect("free");
        for (path, body) in [
            ("/Users", json!({"userName": "first", "externalId": "e", (ENT): {"department": "d"}})),
            ("/Users", json!({"userName": "second"})),
            ("/Groups", json!({"displayName": "group"})),
        ] {
            let mut request = Request::new("POST", path);
            request.body = body.to_string().into_bytes();
            assert_eq!(directory.answer(&request).status, 201);
        }
    }
    let before = server.everything();
    assert!(probe(&server, 3).is_ready());
    assert_eq!(server.everything(), before);
}

#[test]
fn a_report_reads_as_lines_and_as_json() {
    let report = check(
        Fault {
            before: |request| if is(request, "PATCH", "/") { refused(501) } else { None },
            ..Fault::default()
        },
        "patch-replace",
        TOLERATED,
    );
    let text = report.to_string();
    let line = "tolerated  patch-replace               replace of an attribute\n             501 (made to fail) came: \
                changes go by PUT\n             see RFC 7644 3.5.2.3\n";
    assert!(text.contains(line), "{text}");
    assert!(
        text.ends_with(&format!(
            "{} passed, 1 tolerated, {} skipped, 0 failed",
            report.count(Verdict::Passed),
            report.count(Verdict::Skipped)
        )),
        "{text}"
    );
    let value = serde_json::to_value(&report).expect("JSON");
    assert_eq!(
        value["checks"][0],
        json!({
            "id": "config", "title": "/ServiceProviderConfig says what is supported", "verdict": "passed", "detail": "",
            "section": "RFC 7643 5",
        })
    );
    assert_eq!(value["quirks"]["put_only"], true);
    let quirks: Quirks = serde_json::from_value(json!({"no_patch": true})).expect("others are as usual");
    assert_eq!(quirks, Quirks { no_patch: true, ..Quirks::default() });
}

#[test]
fn every_check_has_a_name_of_its_own() {
    let report = with(Fault::default());
    let names: std::collections::BTreeSet<_> = report.checks.iter().map(|check| check.id).collect();
    assert_eq!(names.len(), report.checks.len());
}

#[test]
fn wherever_the_connection_breaks_nothing_stays_behind() {
    let total = {
        let server = Server::new(Fault::default());
        probe(&server, 0);
        server.count.into_inner().expect("free")
    };
    assert!(total > 80, "{total}");
    for place in 0..total {
        for is_seen in [false, true] {
            let mut server = Server::new(Fault::default());
            server.silence = Box::new(move |count| (place..place + 2).contains(&count).then_some(is_seen));
            let report = probe(&server, 0);
            let left = server.everything();
            assert_eq!(left, json!([[], []]), "broken at {place}, seen {is_seen}: {report}");
            assert_eq!(report.left_behind, Vec::<String>::new(), "broken at {place}, seen {is_seen}");
        }
    }
}

#[test]
fn a_server_that_is_not_there_is_told_at_once() {
    let mut server = Server::new(Fault::default());
    server.silence = Box::new(|_| Some(false));
    let report = probe(&server, 101);
    assert_eq!(report.count(Verdict::Failed), 3, "{report}");
    assert_eq!(report.left_behind, Vec::<String>::new());
    assert!(*server.count.lock().expect("free") < 10);
    assert!(report.check("config").is_some_and(|check| check.detail.contains("connection reset")));
}
