//! The order of the operations, and what became of each.
//!
//! Every operation waits for others ([`Wait`]): for the resources that its body refers to, for the one in
//! its path, and for earlier operations on the same resource. Of those that wait for nothing the first one
//! is next. When all wait, a circle is left: its first member that can do without its open references for
//! now is created without them, and completed by a PATCH later.

use std::collections::{BTreeSet, HashMap};

use serde_json::{Map, Value, json};

use crate::{
    error::{ScimError, ScimType},
    schema::ResourceType,
};

use super::{BULK_RESPONSE_URN, Method, Outcome, Request, Step, Target, graph, references};

/// How a bulk request is done, step by step.
///
/// ```
/// # use scim::bulk::{Limits, Outcome, Plan, parse};
/// # let body = br#"{"Operations":[{"method":"POST","path":"/Users","bulkId":"a","data":{"userName":"u"}}]}"#;
/// let mut plan = Plan::new(parse(body, &Limits::default())?);
/// while let Some(step) = plan.next_step() {
///     // Do what the step says, and tell what became of it.
///     let id = format!("id-of-{}", step.index);
///     plan.record(Outcome { status: 201, id: Some(id), ..Outcome::default() });
/// }
/// let answer = plan.into_response("https://example.com/v2");
/// # assert_eq!(answer["Operations"][0]["status"], "201");
/// # Ok::<(), scim::ScimError>(())
/// ```
#[derive(Debug)]
pub struct Plan {
    nodes: Vec<Node>,
    /// Where the POST of a `bulkId` stands.
    posts: HashMap<String, usize>,
    /// What waits for nothing.
    ready: BTreeSet<usize>,
    /// What waits only for references that can come later.
    breakable: BTreeSet<usize>,
    /// What was created and can be completed now.
    completable: BTreeSet<usize>,
    /// The step that was handed out last, until its outcome is recorded.
    given: Option<usize>,
    errors: u64,
    fail_on_errors: Option<u64>,
}

/// One operation on its way.
#[derive(Debug)]
struct Node {
    operation: super::Operation,
    state: State,
    /// How many of its waits are not over.
    open: usize,
    /// How many of those cannot be put off.
    hard: usize,
    waits: Vec<Wait>,
    /// Who waits for it.
    waiting: Vec<usize>,
    /// What the references in its circle left out of the POST.
    deferred: Vec<Value>,
    /// The id of its resource, once it is known.
    id: Option<String>,
    location: Option<String>,
    version: Option<String>,
}

#[derive(Debug)]
enum State {
    /// Not begun.
    Waiting,
    /// The step was handed out.
    Given,
    /// Created, and without the references that its circle did not allow yet.
    Created { status: u16 },
    /// The PATCH that completes it was handed out; these references stay open.
    Completing { status: u16, lost: Vec<String> },
    /// Over.
    Done { status: u16, error: Option<ScimError> },
}

/// Why an operation waits for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Wait {
    on: usize,
    until: Until,
    /// Whether the operation can begin without it.
    is_soft: bool,
    is_over: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Until {
    /// There is an id, or there will never be one.
    Created,
    /// Nothing of it is left to do.
    Done,
}

impl Plan {
    /// Orders the operations of a request.
    pub fn new(request: Request) -> Self {
        let mut plan = Self {
            nodes: request.operations.into_iter().map(Node::new).collect(),
            posts: HashMap::new(),
            ready: BTreeSet::new(),
            breakable: BTreeSet::new(),
            completable: BTreeSet::new(),
            given: None,
            errors: 0,
            fail_on_errors: request.fail_on_errors,
        };
        for (index, node) in plan.nodes.iter().enumerate() {
            if node.method() == Some(Method::Post)
                && let Some(name) = &node.operation.bulk_id
            {
                plan.posts.insert(name.clone(), index);
            }
        }
        plan.find_waits();
        for index in 0..plan.nodes.len() {
            plan.sort_in(index);
        }
        plan
    }

    fn find_waits(&mut self) {
        let edges: Vec<Vec<usize>> = self.nodes.iter().map(|node| self.references_of(node)).collect();
        let circles = graph::components(&edges);
        let mut last_on = HashMap::<(ResourceType, Target), usize>::new();
        let mut all = Vec::with_capacity(self.nodes.len());
        for (index, (node, edges)) in self.nodes.iter().zip(&edges).enumerate() {
            let mut waits = Vec::new();
            let Ok(job) = &node.operation.job else {
                all.push(waits);
                continue;
            };
            let until = if job.method == Method::Post { Until::Created } else { Until::Done };
            let in_circle = |on: usize| circles.get(index) == circles.get(on);
            let hard = if edges.iter().any(|&on| in_circle(on)) {
                self.hard_references_of(node)
            } else {
                BTreeSet::new()
            };
            for &on in edges {
                let is_soft = in_circle(on) && !hard.contains(&on);
                waits.push(Wait { on, until, is_soft, is_over: false });
            }
            if let Some(target) = &job.target
                && let Some(on) = last_on.insert((job.kind, target.clone()), index)
            {
                waits.push(Wait { on, until: Until::Done, is_soft: false, is_over: false });
            }
            all.push(waits);
        }
        for (index, waits) in all.into_iter().enumerate() {
            for wait in &waits {
                if let Some(other) = self.nodes.get_mut(wait.on) {
                    other.waiting.push(index);
                }
            }
            if let Some(node) = self.nodes.get_mut(index) {
                node.open = waits.len();
                node.hard = waits.iter().filter(|wait| !wait.is_soft).count();
                node.waits = waits;
            }
        }
    }

    /// The POSTs that an operation refers to, in its body and in its path, each once.
    fn references_of(&self, node: &Node) -> Vec<usize> {
        let Ok(job) = &node.operation.job else { return Vec::new() };
        let mut found = BTreeSet::new();
        if let Some(Target::Created(name)) = &job.target {
            found.extend(self.posts.get(name));
        }
        if let Some(data) = &job.data {
            references::each(data, |name| found.extend(self.posts.get(name)));
        }
        found.into_iter().collect()
    }

    /// Those of them that stand where they cannot come later.
    fn hard_references_of(&self, node: &Node) -> BTreeSet<usize> {
        let mut found = BTreeSet::new();
        if let Ok(job) = &node.operation.job
            && let Some(mut data) = job.data.clone()
        {
            if job.method == Method::Post {
                references::take_deferrable(job.kind, &mut data, |_| true);
            }
            references::each(&data, |name| found.extend(self.posts.get(name)));
        }
        found
    }

    /// Puts an operation that has not begun where it is found when its turn comes.
    fn sort_in(&mut self, index: usize) {
        let Some(node) = self.nodes.get(index) else { return };
        match node.state {
            State::Waiting if node.open == 0 => {
                self.breakable.remove(&index);
                self.ready.insert(index);
            }
            State::Waiting if node.hard == 0 => {
                self.breakable.insert(index);
            }
            State::Created { .. } if node.open == 0 => {
                self.completable.insert(index);
            }
            State::Waiting
            | State::Given
            | State::Created { .. }
            | State::Completing { .. }
            | State::Done { .. } => {}
        }
    }

    /// What is to be done next; none when everything is done or `failOnErrors` ended the request.
    ///
    /// A step whose outcome was not recorded when the next one is asked for counts as failed.
    pub fn next_step(&mut self) -> Option<Step> {
        if self.given.is_some() {
            self.record(Outcome::failed(ScimError::internal("the outcome is not known")));
        }
        while !self.is_stopped() {
            let step = if let Some(index) = self.completable.pop_first() {
                self.complete(index)
            } else if let Some(index) = self.ready.pop_first().or_else(|| self.breakable.pop_first()) {
                self.begin(index)
            } else {
                let index = self.stuck()?;
                self.end(
                    index,
                    ScimError {
                        status: 409,
                        scim_type: Some(ScimType::InvalidValue),
                        detail: "the references of this request form a circle that cannot be resolved"
                            .to_owned(),
                    },
                );
                None
            };
            if let Some(step) = step {
                self.given = Some(step.index);
                return Some(step);
            }
        }
        None
    }

    fn is_stopped(&self) -> bool {
        self.fail_on_errors.is_some_and(|limit| self.errors >= limit)
    }

    /// The first operation whose circle has no member that could begin: what it waits for waits for it.
    fn stuck(&self) -> Option<usize> {
        let is_waiting =
            |index: usize| matches!(self.nodes.get(index), Some(Node { state: State::Waiting, .. }));
        let open = |node: &Node| -> Vec<usize> {
            let open = node.waits.iter().filter(|wait| !wait.is_over && !wait.is_soft);
            open.map(|wait| wait.on).collect()
        };
        let edges: Vec<Vec<usize>> = self.nodes.iter().map(open).collect();
        let circles = graph::components(&edges);
        let is_closed = |&index: &usize| {
            is_waiting(index)
                && edges.get(index).is_some_and(|targets| {
                    !targets.is_empty() && targets.iter().all(|&on| circles.get(on) == circles.get(index))
                })
        };
        let count = self.nodes.len();
        (0..count).find(is_closed).or_else(|| (0..count).find(|&index| is_waiting(index)))
    }

    /// Hands out the operation itself.
    fn begin(&mut self, index: usize) -> Option<Step> {
        let (job, version) = match self.nodes.get_mut(index)? {
            Node { operation, state: State::Waiting, .. } => match &mut operation.job {
                Ok(job) => {
                    let data = job.data.take();
                    ((job.method, job.kind, job.target.clone(), data), operation.version.clone())
                }
                Err(error) => {
                    let error = error.clone();
                    return self.end(index, error);
                }
            },
            Node { .. } => return None,
        };
        let (method, kind, target, mut data) = job;
        let id = match target {
            None => None,
            Some(Target::Id(id)) => Some(id),
            Some(Target::Created(name)) => {
                let Some(id) = self.id_of(&name) else {
                    let error = self.unresolved(&name);
                    return self.end(index, error);
                };
                Some(id.to_owned())
            }
        };
        let mut deferred = Vec::new();
        if let Some(data) = &mut data {
            if self.nodes.get(index).is_some_and(|node| node.open > 0) {
                let is_open = |name: &str| self.posts.get(name).is_some_and(|&post| self.is_open(post));
                deferred = references::take_deferrable(kind, data, |part| references::any(part, is_open));
            }
            let mut lost = None;
            for value in std::iter::once(&*data).chain(&deferred) {
                references::each(value, |name| {
                    let is_open = self.posts.get(name).is_some_and(|&post| self.is_open(post));
                    if self.id_of(name).is_none() && !is_open {
                        lost.get_or_insert_with(|| name.to_owned());
                    }
                });
            }
            if let Some(name) = lost {
                let error = self.unresolved(&name);
                return self.end(index, error);
            }
            references::replace(data, |name| self.id_of(name));
        }
        let node = self.nodes.get_mut(index)?;
        node.state = State::Given;
        node.deferred = deferred;
        node.id.clone_from(&id);
        let version = version.filter(|_| method != Method::Post);
        Some(Step { index, method, kind, id, data, version, is_completion: false })
    }

    /// Hands out the PATCH that adds what had to be left out.
    fn complete(&mut self, index: usize) -> Option<Step> {
        let node = self.nodes.get_mut(index)?;
        let (State::Created { status }, Ok(job)) = (&node.state, &node.operation.job) else { return None };
        let (status, kind, id) = (*status, job.kind, node.id.clone());
        let mut lost = Vec::new();
        let mut parts = std::mem::take(&mut node.deferred);
        parts.retain_mut(|part| {
            let before = lost.len();
            references::each(part, |name| {
                if self.id_of(name).is_none() {
                    lost.push(name.to_owned());
                }
            });
            references::replace(part, |name| self.id_of(name));
            lost.len() == before
        });
        let is_empty = parts.is_empty();
        let node = self.nodes.get_mut(index)?;
        node.state = State::Completing { status, lost };
        if is_empty {
            self.completed(index, None);
            return None;
        }
        let data = Some(references::completion(kind, parts));
        Some(Step { index, method: Method::Patch, kind, id, data, version: None, is_completion: true })
    }

    /// Takes what became of the step that was handed out last.
    pub fn record(&mut self, outcome: Outcome) {
        let Some(index) = self.given.take() else { return };
        let Some(node) = self.nodes.get_mut(index) else { return };
        let is_success = outcome.error.is_none() && (200..300).contains(&outcome.status);
        let is_post = node.method() == Some(Method::Post);
        let failure = match outcome.error {
            Some(error) => Some(error),
            None if !is_success => Some(ScimError::new(outcome.status, "the operation failed")),
            None if is_post && node.id.is_none() && outcome.id.is_none() => {
                Some(ScimError::internal("the id of what was created is not known"))
            }
            None => None,
        };
        if failure.is_none() || !is_post {
            node.location = outcome.location.or(node.location.take());
            node.version = outcome.version.or(node.version.take());
        }
        match (&node.state, failure) {
            (State::Completing { .. }, failure) => self.completed(index, failure),
            (State::Waiting | State::Given | State::Created { .. } | State::Done { .. }, Some(error)) => {
                self.end(index, error);
            }
            (State::Waiting | State::Given | State::Created { .. } | State::Done { .. }, None) => {
                node.id = outcome.id.or(node.id.take());
                if node.deferred.is_empty() {
                    node.state = State::Done { status: outcome.status, error: None };
                } else {
                    node.state = State::Created { status: outcome.status };
                }
                self.release(index);
                self.sort_in(index);
            }
        }
    }

    /// Ends an operation that was created in two halves.
    fn completed(&mut self, index: usize, failure: Option<ScimError>) {
        let Some(node) = self.nodes.get_mut(index) else { return };
        let State::Completing { status, lost } = &node.state else { return };
        let error = match failure {
            Some(error) => Some(half_done(&error.detail)),
            None if lost.is_empty() => None,
            None => Some(half_done(&format!("{} was not created", lost.join(", ")))),
        };
        let status = error.as_ref().map_or(*status, |error| error.status);
        self.errors += u64::from(error.is_some());
        node.state = State::Done { status, error };
        self.release(index);
    }

    /// Ends an operation with an error. None, so that a caller can say that there is no step.
    fn end(&mut self, index: usize, error: ScimError) -> Option<Step> {
        let node = self.nodes.get_mut(index)?;
        node.state = State::Done { status: error.status, error: Some(error) };
        self.errors += 1;
        self.ready.remove(&index);
        self.breakable.remove(&index);
        self.release(index);
        None
    }

    /// Ends the waits on an operation that are over by now.
    fn release(&mut self, index: usize) {
        let Some(node) = self.nodes.get(index) else { return };
        let is_done = matches!(node.state, State::Done { .. });
        // Who waits for its end may be told twice; whose wait is over is not counted again.
        for other in node.waiting.clone() {
            let Some(node) = self.nodes.get_mut(other) else { continue };
            for wait in node.waits.iter_mut().filter(|wait| wait.on == index && !wait.is_over) {
                if is_done || wait.until == Until::Created {
                    wait.is_over = true;
                    node.open -= 1;
                    node.hard -= usize::from(!wait.is_soft);
                }
            }
            self.sort_in(other);
        }
    }

    /// Whether a POST may still give an id.
    fn is_open(&self, index: usize) -> bool {
        matches!(self.nodes.get(index), Some(Node { state: State::Waiting | State::Given, .. }))
    }

    /// The id of what a POST of this request created.
    fn id_of(&self, name: &str) -> Option<&str> {
        let node = self.posts.get(name).and_then(|&post| self.nodes.get(post))?;
        match node.state {
            State::Created { .. } | State::Completing { .. } | State::Done { .. } => node.id.as_deref(),
            State::Waiting | State::Given => None,
        }
    }

    fn unresolved(&self, name: &str) -> ScimError {
        let detail = match self.posts.get(name) {
            Some(post) => format!("bulkId: '{name}' was not created, see Operations[{post}]"),
            None => format!("bulkId: no POST of this request can be referred to as '{name}'"),
        };
        ScimError { status: 409, scim_type: Some(ScimType::InvalidValue), detail }
    }

    /// How many operations failed so far.
    pub fn errors(&self) -> u64 {
        self.errors
    }

    /// The body of the answer, whose status is 200 whatever became of the operations: what was done, in
    /// the order of the request. `base` is the absolute base of the federation, without a slash at its end;
    /// locations that no outcome gave are made from it.
    pub fn into_response(mut self, base: &str) -> Value {
        if self.given.is_some() {
            self.record(Outcome::failed(ScimError::internal("the outcome is not known")));
        }
        let operations = self.nodes.into_iter().filter_map(|node| node.into_json(base)).collect::<Vec<_>>();
        json!({ "schemas": [BULK_RESPONSE_URN], "Operations": operations })
    }
}

/// A resource that is there, but not as it was asked for.
fn half_done(why: &str) -> ScimError {
    ScimError {
        status: 409,
        scim_type: Some(ScimType::InvalidValue),
        detail: format!("created, but not with all its references: {why}"),
    }
}

impl Node {
    fn new(operation: super::Operation) -> Self {
        Self {
            operation,
            state: State::Waiting,
            open: 0,
            hard: 0,
            waits: Vec::new(),
            waiting: Vec::new(),
            deferred: Vec::new(),
            id: None,
            location: None,
            version: None,
        }
    }

    fn method(&self) -> Option<Method> {
        self.operation.job.as_ref().ok().map(|job| job.method)
    }

    /// RFC 7644 3.7.3; none for what was not done.
    fn into_json(self, base: &str) -> Option<Value> {
        let (status, error) = match self.state {
            State::Waiting => return None,
            State::Done { status, error } => (status, error),
            State::Given | State::Created { .. } | State::Completing { .. } => {
                (409, Some(half_done("the request ended before, by failOnErrors")))
            }
        };
        let job = self.operation.job.ok();
        let location = self.location.or_else(|| {
            let (job, id) = (job.as_ref()?, self.id.as_deref()?);
            Some(format!("{base}{}/{id}", job.kind.endpoint()))
        });
        let mut object = Map::new();
        let mut set = |name: &str, value: Value| object.insert(name.to_owned(), value);
        set("method", Value::from(self.operation.method));
        if let Some(bulk_id) = self.operation.bulk_id {
            set("bulkId", Value::from(bulk_id));
        }
        if let Some(location) = location {
            set("location", Value::from(location));
        }
        if let Some(version) = self.version {
            set("version", Value::from(version));
        }
        set("status", Value::from(status.to_string()));
        if let Some(error) = error {
            set("response", error.to_json());
        }
        Some(Value::Object(object))
    }
}
