//! Findings: what is not as it should be, the worst first; each is closed by the fact or by a person.

use domain::{
    Millis,
    admins::{Admin, Right},
    findings::{Rule, Severity},
};
use leptos::prelude::*;
use ops::{
    Cx,
    federations::FederationView,
    findings::{FindingView, LIST_LIMIT, mutes::MuteView},
};

use crate::{
    api,
    ssr::{now_ms, query},
    ui::{
        button::LinkButton,
        callout::Empty,
        form::Form,
        page::{Head, Section, page},
        status::{Shape, Status},
        still::IntoAny,
        time::{Ago, exact, relative},
    },
    words,
};

/// How many findings a page shows.
const SHOWN: usize = 50;

/// The way to the findings after these, and back to the first.
fn pager(shown: &[FindingView], is_last: bool) -> Option<AnyView> {
    let fields = ["federation", "rule", "severity", "state"].map(|name| (name, query(name)));
    let list = words::address("/findings", fields);
    let join = if list.contains('?') { '&' } else { '?' };
    let next = shown.last().filter(|_| !is_last).map(|view| {
        view! { <LinkButton href=format!("{list}{join}after={}", view.finding.id) label="Next page" /> }
    });
    let first = query("after").map(|_| view! { <LinkButton href=list label="First page" /> });
    (first.is_some() || next.is_some()).then(|| {
        view! { <nav class="actions pad" aria-label="Pages of findings">{first} {next}</nav> }.into_any()
    })
}

/// The list. The filter is the address.
#[component]
pub fn Findings() -> impl IntoView {
    page(Section::Findings, async {
        let (federation, rule, least) = (query("federation"), query("rule"), query("severity"));
        let state = query("state").filter(|state| matches!(state.as_str(), "closed" | "muted"));
        let state = state.as_deref();
        let data =
            api::telling::findings(federation.as_deref(), rule.as_deref(), least.as_deref(), state).await?;
        let is_filtered = federation.is_some() || rule.is_some() || least.is_some() || state.is_some();
        let count = i64::try_from(data.findings.len()).unwrap_or(i64::MAX);
        let head = Head::new("Findings").lead(
            "Something that is not as it should be. Most close by themselves when the fact goes away; what comes again counts up.",
        );
        let now = now_ms();
        // What has been closed since begins anew.
        let after = query("after");
        let start = data.findings.iter().position(|view| Some(view.finding.id.as_str()) == after.as_deref());
        let rest = data.findings.get(start.map_or(0, |start| start + 1)..).unwrap_or_default();
        let shown = rest.get(..SHOWN).unwrap_or(rest);
        let is_last = shown.len() == rest.len();
        let list = match (data.findings.is_empty(), is_filtered) {
            (false, _) => view! {
                <ul class="findings">
                    {shown.iter().map(|view| finding(view, now)).collect_view()}
                </ul>
                {pager(shown, is_last)}
            }
            .into_any(),
            (true, true) => view! {
                <Empty title="No finding fits the filter" text="Widen the filter, or look at all open findings.">
                    <LinkButton href="/findings" label="Show open findings" />
                </Empty>
            }
            .into_any(),
            (true, false) => view! {
                <Empty
                    title="Nothing is open"
                    text="No key ends soon without a successor, no rotation is stuck, no ended key or canary was used, and everybody could be told."
                />
            }
            .into_any(),
        };
        let noun = match state {
            Some("closed") => "closed finding",
            Some(_) => "muted finding",
            None => "open finding",
        };
        let heading = match words::count(count, noun) {
            all if count < LIST_LIMIT => all,
            most => format!("The worst {most}"),
        };
        let summary = Form::with_field("finding").summary();
        let body = view! {
            {summary}
            <section class="card flush" aria-label="Findings">
                {filter(&data.federations, federation.as_deref(), rule.as_deref(), least.as_deref(), state)}
                <header>
                    <h2>{heading}</h2>
                </header>
                {list}
            </section>
            {mutes(&data.mutes, now)}
            {muting(&data.federations)}
            <p class="actions">
                {export("csv", "Export CSV")} {export("jsonl", "Export JSON Lines")} {export("ocsf", "Export OCSF")}
            </p>
        };
        Ok((head, body.into_any()))
    })
}

fn options(all: Vec<(String, String)>, chosen: Option<&str>) -> AnyView {
    all.into_iter()
        .map(|(value, label)| {
            let selected = chosen == Some(value.as_str());
            view! {
                <option value=value selected=selected>
                    {label}
                </option>
            }
        })
        .collect_view()
        .into_any()
}

fn filter(
    federations: &[FederationView],
    federation: Option<&str>,
    rule: Option<&str>,
    least: Option<&str>,
    state: Option<&str>,
) -> AnyView {
    let pair = |value: &str, label: &str| (value.to_owned(), label.to_owned());
    let mut of = vec![pair("", "Every federation")];
    of.extend(federations.iter().map(|view| pair(view.federation.slug.as_str(), &view.federation.name)));
    let mut rules = vec![pair("", "Every rule")];
    rules.extend(Rule::ALL.iter().map(|rule| pair(rule.as_str(), rule.title())));
    let mut severities = vec![pair("", "Every severity")];
    let worse = [
        (Severity::Medium, "Medium and worse"),
        (Severity::High, "High and worse"),
        (Severity::Critical, "Critical only"),
    ];
    severities.extend(worse.map(|(severity, label)| pair(severity.as_str(), label)));
    let states = vec![pair("", "Open"), pair("muted", "Muted"), pair("closed", "Closed")];
    view! {
        <form class="toolbar" method="get" action="/findings" role="search" aria-label="Filter findings">
            <div class="field">
                <label for="severity">"Severity"</label>
                <select id="severity" name="severity">
                    {options(severities, least)}
                </select>
            </div>
            <div class="field">
                <label for="federation">"Federation"</label>
                <select id="federation" name="federation">
                    {options(of, federation)}
                </select>
            </div>
            <div class="field">
                <label for="rule">"Rule"</label>
                <select id="rule" name="rule">
                    {options(rules, rule)}
                </select>
            </div>
            <div class="field">
                <label for="state">"State"</label>
                <select id="state" name="state">
                    {options(states, state)}
                </select>
            </div>
            <button class="btn">"Apply"</button>
        </form>
    }
    .into_any()
}

/// How a severity looks.
pub fn shape(severity: Severity) -> Shape {
    match severity {
        Severity::Low => Shape::Unknown,
        Severity::Medium => Shape::Moving,
        Severity::High => Shape::Look,
        Severity::Critical => Shape::Broken,
    }
}

fn finding(view: &FindingView, now: Millis) -> AnyView {
    let finding = &view.finding;
    let id = finding.id.to_string();
    let came = match finding.count {
        1 => format!("Came {}.", relative(finding.last_ms, now)),
        count => format!(
            "Came {} times, first {}, last {}.",
            words::number(count),
            relative(finding.first_ms, now),
            relative(finding.last_ms, now)
        ),
    };
    let network = finding.detail.source.as_ref().map(|source| {
        let agent = finding.detail.agent.as_ref().map(|agent| format!(", {agent}")).unwrap_or_default();
        view! {
            <dt>"From"</dt>
            <dd>
                <code>{source.clone()}</code>
                {agent}
            </dd>
        }
    });
    let key = finding.key_id.as_ref().map(|id| {
        let name = view.key_name.clone().unwrap_or_else(|| id.to_string());
        view! { <a href=format!("/keys/{id}")>{name}</a> }
    });
    let federation = view.federation.as_ref().map(|federation| {
        view! {
            <span class="muted">
                " of " <a href=format!("/federations/{}", federation.slug)>{federation.name.clone()}</a>
            </span>
        }
    });
    let about = key.is_some() || federation.is_some();
    let ended = finding.closed_ms.map(|at| {
        let by = finding.closed_by.clone().unwrap_or_default();
        let why = finding.closed_reason.clone().unwrap_or_default();
        view! {
            <p class="small">
                {format!("Closed by {by} ")} <Ago at now /> {format!(": {why}.")}
            </p>
        }
    });
    let tone = shape(finding.severity);
    view! {
        <li id=id.clone()>
            <div class="finding-h">
                <Status shape=tone word=finding.severity.label() />
                <h3>{finding.rule.title()}</h3>
                <span class="muted small" title=exact(finding.last_ms)>
                    {came}
                </span>
            </div>
            <dl class="props">
                {about.then(|| view! { <dt>"About"</dt> <dd>{key} {federation}</dd> })} <dt>"Expected"</dt>
                <dd>{finding.detail.expected.clone()}</dd> <dt>"Came"</dt> <dd>{finding.detail.came.clone()}</dd>
                {network} <dt>"Why it matters"</dt> <dd>{finding.rule.why()}</dd>
            </dl>
            {ended}
            {view.muted.as_ref().map(|mute| {
                let text = format!("Muted by {} until {}: {}.", mute.made_by, exact(mute.ends_ms), mute.reason);
                view! { <p class="small">{text}</p> }
            })}
            <div class="actions">{next(view)} {close(view)} {mute(view)}</div>
        </li>
    }
    .into_any()
}

/// The one thing to do about it.
fn next(view: &FindingView) -> Option<AnyView> {
    let finding = &view.finding;
    let link = |href: String, label: &'static str| view! { <LinkButton href label small=true /> }.into_any();
    if !finding.is_open() {
        return None;
    }
    if let Some(case) = &finding.case_id {
        return Some(link(format!("/cases/{case}"), "Open case"));
    }
    let key = finding.key_id.as_ref();
    match finding.rule {
        Rule::EndsSoon | Rule::Expired | Rule::OverAge => {
            key.map(|id| link(format!("/keys/{id}/rotate"), "Rotate key"))
        }
        Rule::UnusedKey => key.map(|id| link(format!("/keys/{id}/revoke"), "Revoke key")),
        Rule::HandOffWaits => key.map(|id| link(format!("/keys/{id}/hand-over"), "Make a hand-over link")),
        Rule::NoProof | Rule::StillUsed | Rule::DeliveryFailed => {
            finding.rotation_id.as_ref().map(|id| link(format!("/rotation/{id}"), "Open rotation"))
        }
        Rule::TwoHolders | Rule::EndedKeyUsed | Rule::LeakReported | Rule::CanaryUsed => {
            key.map(|id| link(format!("/keys/{id}/compromise"), "Report compromise"))
        }
        Rule::MassRemoval
        | Rule::GroupEmptied
        | Rule::ProtectedChange
        | Rule::MassRewrite
        | Rule::PrivilegedAdd
        | Rule::NewIdentity => view
            .federation
            .as_ref()
            .map(|federation| link(format!("/federations/{}/brakes", federation.slug), "Open brakes")),
        Rule::NewNetwork
        | Rule::NewAgent
        | Rule::TwoNetworks
        | Rule::ManyDenials
        | Rule::DormantKey
        | Rule::OffSchedule
        | Rule::Silence
        | Rule::ManyFailures
        | Rule::Enumeration
        | Rule::CreateBurst
        | Rule::UnknownKeys
        | Rule::CanaryResource
        | Rule::NewAttribute
        | Rule::AdminPlane => view.federation.as_ref().map(|federation| {
            link(format!("/federations/{}/behaviour", federation.slug), "Open expected behaviour")
        }),
        Rule::ClockJumped => Some(link("/rotation".to_owned(), "Open rotation")),
        Rule::AuditBroken | Rule::AuditRolledBack | Rule::CheckpointOverdue | Rule::AnchorFailed => {
            Some(link("/audit".to_owned(), "Open audit log"))
        }
        Rule::StreamBehind | Rule::StreamGap => Some(link("/settings".to_owned(), "Open settings")),
        Rule::ChannelFailed => Some(link("/settings/channels".to_owned(), "Open channels")),
    }
}

/// The findings of this filter as a file.
fn export(format: &'static str, label: &'static str) -> AnyView {
    let names = ["federation", "rule", "severity", "state"];
    let pairs =
        names.into_iter().filter_map(|name| Some(format!("&{name}={}", words::encode(&query(name)?))));
    let href = format!("/exports/findings?format={format}{}", pairs.collect::<String>());
    view! {
        <a class="btn sm ghost" href=href rel="external" download="">
            {label}
        </a>
    }
    .into_any()
}

/// The form below a finding: nobody is told of this rule about this subject for a while.
fn mute(view: &FindingView) -> Option<AnyView> {
    let finding = &view.finding;
    if !finding.is_open() || !view.may_close || view.muted.is_some() {
        return None;
    }
    let slug = view.federation.as_ref().map(|federation| federation.slug.to_string()).unwrap_or_default();
    let (why, days) = (format!("mute-why-{}", finding.id), format!("mute-days-{}", finding.id));
    Some(
        view! {
            <details class="more">
                <summary>"Mute it"</summary>
                <form method="post" action="/findings/mute" class="inline">
                    <input type="hidden" name="federation" value=slug />
                    <input type="hidden" name="rule" value=finding.rule.as_str() />
                    <input type="hidden" name="subject" value=finding.subject.clone() />
                    <div class="field">
                        <label for=why.clone()>"Why nobody need be told"</label>
                        <input type="text" id=why name="reason" required minlength="3" maxlength="500" autocomplete="off" />
                    </div>
                    <div class="field">
                        <label for=days.clone()>"For days, at most 90"</label>
                        <input type="number" id=days name="days" value="7" required min="1" max="90" />
                    </div>
                    <button class="btn sm">"Mute finding"</button>
                </form>
            </details>
        }
        .into_any(),
    )
}

/// What is muted now.
fn mutes(mutes: &[MuteView], now: Millis) -> Option<AnyView> {
    if mutes.is_empty() {
        return None;
    }
    let items = mutes
        .iter()
        .map(|view| {
            let mute = &view.mute;
            let of = view.federation.as_ref().map_or("every federation".to_owned(), |one| one.name.clone());
            let about = mute.subject.clone().map(|subject| view! { ", about " <code>{subject}</code> });
            let slug = view.federation.as_ref().map(|one| one.slug.to_string()).unwrap_or_default();
            let end = view.may_end.then(|| {
                view! {
                    <form method="post" action="/findings/unmute" class="inline">
                        <input type="hidden" name="federation" value=slug />
                        <input type="hidden" name="mute" value=mute.id.to_string() />
                        <button class="btn sm" aria-label=format!("End the mute of {}", mute.rule.title())>
                            "End the mute"
                        </button>
                    </form>
                }
            });
            view! {
                <li>
                    <p>
                        <strong>{mute.rule.title()}</strong>
                        {format!(" of {of}")}
                        {about}
                    </p>
                    <p class="small muted">
                        {format!("{} by {}, ends ", mute.reason, mute.made_by)} <Ago at=mute.ends_ms now />
                    </p>
                    {end}
                </li>
            }
        })
        .collect_view();
    Some(
        view! {
            <section class="card" aria-labelledby="mutes">
                <h2 id="mutes">"Muted now"</h2>
                <p class="muted">"These are counted, and nobody is told of them until the mute ends."</p>
                <ul class="findings">{items}</ul>
            </section>
        }
        .into_any(),
    )
}

/// The form for a whole rule.
fn muting(federations: &[FederationView]) -> Option<AnyView> {
    let own: Vec<_> = federations.iter().filter(|view| view.may_run).collect();
    let may_all =
        use_context::<Cx<Admin>>().is_some_and(|cx| cx.actor().role.may(Right::RegisterFederation, None));
    if own.is_empty() && !may_all {
        return None;
    }
    let every = may_all.then(|| view! { <option value="">"Every federation"</option> });
    let of = own
        .into_iter()
        .map(|view| {
            view! { <option value=view.federation.slug.to_string()>{view.federation.name.clone()}</option> }
        })
        .collect_view();
    let rules = Rule::ALL
        .iter()
        .map(|rule| view! { <option value=rule.as_str()>{rule.title()}</option> })
        .collect_view();
    Some(
        view! {
            <details class="more card">
                <summary>"Mute a rule"</summary>
                <form method="post" action="/findings/mute">
                    <div class="field">
                        <label for="mute-rule">"Rule"</label>
                        <select id="mute-rule" name="rule">
                            {rules}
                        </select>
                    </div>
                    <div class="field">
                        <label for="mute-federation">"Of"</label>
                        <select id="mute-federation" name="federation">
                            {every} {of}
                        </select>
                    </div>
                    <div class="field">
                        <label for="mute-reason">"Why nobody need be told"</label>
                        <input type="text" id="mute-reason" name="reason" required minlength="3" maxlength="500" autocomplete="off" />
                    </div>
                    <div class="field">
                        <label for="mute-days">"For days, at most 90"</label>
                        <input type="number" id="mute-days" name="days" value="7" required min="1" max="90" />
                    </div>
                    <button class="btn">"Mute rule"</button>
                </form>
            </details>
        }
        .into_any(),
    )
}

fn close(view: &FindingView) -> Option<AnyView> {
    let finding = &view.finding;
    if !finding.is_open() || !view.may_close {
        return None;
    }
    let slug = view.federation.as_ref().map(|federation| federation.slug.to_string()).unwrap_or_default();
    let label = format!("why-{}", finding.id);
    Some(
        view! {
            <details class="more">
                <summary>"Close it"</summary>
                <form method="post" action="/findings/close" class="inline">
                    <input type="hidden" name="federation" value=slug />
                    <input type="hidden" name="finding" value=finding.id.to_string() />
                    <div class="field">
                        <label for=label.clone()>"Why it needs nobody any more"</label>
                        <input type="text" id=label name="reason" required minlength="3" maxlength="500" autocomplete="off" />
                    </div>
                    <button class="btn sm">"Close finding"</button>
                </form>
            </details>
        }
        .into_any(),
    )
}
