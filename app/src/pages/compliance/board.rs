//! The board: every federation against its policy, what needs somebody first.

use domain::{
    DAY_MS, Millis,
    compliance::{Period, Status as Standing},
    federations::{Federation, Vendor},
    rotations::policy::PolicyException,
};
use leptos::prelude::*;
use ops::compliance::{Board, Filter, Row};

use super::{shape, verdict};
use crate::{
    api,
    ssr::{now_ms, query},
    ui::{
        button::LinkButton,
        callout::Empty,
        page::{Head, Section, page},
        status::Status,
        still::IntoAny,
        time::{Ago, Exact, day, relative},
        trend::Trend,
    },
    words,
};

/// The board. The filter is the address.
#[component]
pub fn Compliance() -> impl IntoView {
    page(Section::Compliance, async {
        let (status, vendor, after) = (query("status"), query("vendor"), query("after"));
        let (board, filter) = api::compliance::board(
            status.as_deref(),
            vendor.as_deref(),
            query("owner"),
            query("text"),
            after.as_deref(),
        )
        .await?;
        let now = now_ms();
        let head = Head::new("Compliance")
            .lead("Every federation against its rotation policy, what needs somebody first.")
            .actions(actions(&board, now));
        if board.by_status.iter().all(|(_, count)| *count == 0) {
            let body = view! {
                <section class="card">
                    <Empty
                        title="Nothing to hold against a policy yet"
                        text="A federation is one provider that may push users here. Each has a policy that says how old its keys may be. Register the first, and it stands here."
                    >
                        <LinkButton href="/federations" label="Open federations" />
                    </Empty>
                </section>
            };
            return Ok((head, body.into_any()));
        }
        let body = view! {
            {verdict(board.counted)} {tiles(&board)}
            <section class="card flush" aria-labelledby="board">
                <header>
                    <h2 id="board">"Federations"</h2>
                    <span class="muted small">{found(&board)}</span>
                </header>
                {toolbar(&board, &filter)} {table(&board, now)} {more(&board, &filter, after.is_some())}
            </section>
            {exceptions(&board, now)}
            <section class="card" aria-labelledby="trend">
                <h2 id="trend">"Inside policy, last 12 months"</h2>
                <Trend points=board.trend.clone() />
                <p class="small muted">{since(board.since_ms)}</p>
            </section>
            {method()}
        };
        Ok((head, body.into_any()))
    })
}

fn actions(board: &Board, now: Millis) -> impl IntoView + use<> {
    let period = Period::offered(now).into_iter().next().map(|period| period.label).unwrap_or_default();
    let blocked = (!board.may_hand_over).then(|| words::NEEDS_APPROVER.to_owned());
    let may_not_sign = (!board.may_attest).then(|| words::NEEDS_APPROVER.to_owned());
    view! {
        <LinkButton href="/compliance/attestations" label="Open attestations" blocked=blocked.clone() />
        <LinkButton href=format!("/compliance/evidence?period={period}") label="Open evidence" blocked=blocked />
        <LinkButton
            href=format!("/compliance/attestations/new?period={period}")
            label="Sign a period"
            primary=true
            blocked=may_not_sign
        />
    }
}

fn found(board: &Board) -> String {
    let whole: usize = board.by_status.iter().map(|(_, count)| count).sum();
    let number = |count: usize| words::number(i64::try_from(count).unwrap_or(i64::MAX));
    if board.found == whole {
        words::count(i64::try_from(whole).unwrap_or(i64::MAX), "federation")
    } else {
        format!("{} of {} federations", number(board.found), number(whole))
    }
}

/// How many stand how, each a link to them.
fn tiles(board: &Board) -> AnyView {
    let tiles = board
        .by_status
        .iter()
        .map(|(standing, count)| {
            let count = words::number(i64::try_from(*count).unwrap_or(i64::MAX));
            view! {
                <li>
                    <a href=format!("/compliance?status={}", standing.as_str()) title=standing.meaning()>
                        <Status shape=shape(*standing) word=standing.label() />
                        <strong>{count}</strong>
                    </a>
                </li>
            }
        })
        .collect_view();
    view! {
        <ul class="standings" aria-label="Federations by status">
            {tiles}
        </ul>
    }
    .into_any()
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

fn toolbar(board: &Board, filter: &Filter) -> AnyView {
    let pair = |value: &str, label: &str| (value.to_owned(), label.to_owned());
    let mut statuses = vec![pair("", "Every status")];
    statuses.extend(Standing::ALL.map(|standing| pair(standing.as_str(), standing.label())));
    let mut vendors = vec![pair("", "Every vendor")];
    vendors.extend(Vendor::ALL.map(|vendor| pair(vendor.as_str(), vendor.label())));
    let mut owners = vec![pair("", "Every owner")];
    owners.extend(board.owners.iter().map(|owner| pair(owner, owner)));
    view! {
        <form class="toolbar" method="get" action="/compliance" role="search" aria-label="Filter federations">
            <div class="field grow">
                <label for="text">"Name or owner"</label>
                <input type="search" id="text" name="text" value=filter.text.clone() autocomplete="off" spellcheck="false" />
            </div>
            <div class="field">
                <label for="status">"Status"</label>
                <select id="status" name="status">
                    {options(statuses, filter.status.map(Standing::as_str))}
                </select>
            </div>
            <div class="field">
                <label for="vendor">"Vendor"</label>
                <select id="vendor" name="vendor">
                    {options(vendors, filter.vendor.map(Vendor::as_str))}
                </select>
            </div>
            <div class="field">
                <label for="owner">"Owner"</label>
                <select id="owner" name="owner">
                    {options(owners, filter.owner.as_deref())}
                </select>
            </div>
            <button class="btn">"Apply"</button>
        </form>
    }
    .into_any()
}

fn table(board: &Board, now: Millis) -> AnyView {
    if board.rows.is_empty() {
        return view! {
            <Empty title="No federation fits the filter" text="Widen the filter, or look at all federations.">
                <LinkButton href="/compliance" label="Show all federations" />
            </Empty>
        }
        .into_any();
    }
    let rows = board.rows.iter().map(|row| line(row, now)).collect_view();
    view! {
        <div class="tw" tabindex="0" role="region" aria-label="Table of federations">
            <table class="t cards">
                <caption class="sr">"Federations against their rotation policy, what needs somebody first"</caption>
                <thead>
                    <tr>
                        <th scope="col">"Federation"</th>
                        <th scope="col">"Status"</th>
                        <th scope="col">"Oldest key"</th>
                        <th scope="col">"Scopes to look at"</th>
                        <th scope="col" class="num">
                            "Open findings"
                        </th>
                        <th scope="col">"Last rehearsal"</th>
                        <th scope="col">"Owner"</th>
                    </tr>
                </thead>
                <tbody>{rows}</tbody>
            </table>
        </div>
    }
    .into_any()
}

/// What a status means for this federation: until when, since when.
fn when(row: &Row, now: Millis) -> Option<String> {
    let limit = row.assessed.limit_ms;
    match row.assessed.status {
        Standing::Overdue => limit.map(|at| format!("since {}", day(at))),
        Standing::Due => limit.map(|at| format!("ends {}", relative(at, now))),
        Standing::Excepted => row.assessed.excepted_until_ms.map(|at| format!("until {}", day(at))),
        Standing::NeverRotated | Standing::InPolicy => {
            limit.map(|at| format!("next limit {}", relative(at, now)))
        }
        Standing::NoKeys => None,
    }
}

fn line(row: &Row, now: Millis) -> AnyView {
    let federation = &row.federation;
    let path = format!("/federations/{}", federation.slug);
    let limit_days = row.limits.max_age_ms / DAY_MS;
    let age = match (row.assessed.oldest_ms, row.keys.first()) {
        (Some(issued_ms), Some(key)) => view! {
            <span>
                <a href=format!("/keys/{}", key.id)>{key.name.clone()}</a>
                <span class="sub">
                    {format!("{} of {}", words::number((now - issued_ms) / DAY_MS), words::count(limit_days, "day"))}
                </span>
            </span>
        }
        .into_any(),
        (_, _) => view! { <span class="muted">"No key"</span> }.into_any(),
    };
    let rehearsal = match row.recovered_ms {
        Some(at) => view! {
            <span>
                "Never rehearsed" <span class="sub">"Real compromise closed " <Ago at now /></span>
            </span>
        }
        .into_any(),
        None => view! { <span class="muted">"Never rehearsed"</span> }.into_any(),
    };
    let findings = if row.findings == 0 {
        view! { <span>"0"</span> }.into_any()
    } else {
        let href = format!("/findings?federation={}", federation.slug);
        let label = format!("{} of {}", words::count(row.findings, "open finding"), federation.name);
        view! {
            <a href=href aria-label=label>
                {words::number(row.findings)}
            </a>
        }
        .into_any()
    };
    let standing = row.assessed.status;
    view! {
        <tr>
            <th scope="row">
                <a href=path.clone()>{federation.name.clone()}</a>
                <span class="sub">{federation.vendor.label()}</span>
            </th>
            <td class="s" data-l="Status">
                <span>
                    <Status shape=shape(standing) word=standing.label() />
                    {when(row, now).map(|when| view! { <a class="sub" href=format!("{path}/rotation")>{when}</a> })}
                </span>
            </td>
            <td data-l="Oldest key">{age}</td>
            <td data-l="Scopes">{scopes(row)}</td>
            <td class="num" data-l="Open findings">
                {findings}
            </td>
            <td data-l="Last rehearsal">{rehearsal}</td>
            <td data-l="Owner">
                <span class="break">{federation.owners.join(", ")}</span>
            </td>
        </tr>
    }
    .into_any()
}

/// Keys whose scope somebody should look at.
fn scopes(row: &Row) -> AnyView {
    let wide = row.full_directory.first().map(|id| {
        let text = format!("{} with the full directory", row.full_directory.len());
        view! { <a class="sub" href=format!("/keys/{id}/tighten")>{text}</a> }
    });
    let unused = row.unused.first().map(|id| {
        let text = format!("{} without work for 30 days", row.unused.len());
        view! { <a class="sub" href=format!("/keys/{id}")>{text}</a> }
    });
    if wide.is_none() && unused.is_none() {
        return view! { <span class="muted">"None"</span> }.into_any();
    }
    view! { <span>{wide} {unused}</span> }.into_any()
}

/// The address of the board with a filter and one more value.
fn address(filter: &Filter, after: Option<&str>) -> String {
    let pairs = [
        ("status", filter.status.map(|status| status.as_str().to_owned())),
        ("vendor", filter.vendor.map(|vendor| vendor.as_str().to_owned())),
        ("owner", filter.owner.clone()),
        ("text", filter.text.clone()),
        ("after", after.map(str::to_owned)),
    ];
    let pairs: Vec<String> = pairs
        .into_iter()
        .filter_map(|(name, value)| Some(format!("{name}={}", words::encode(&value?))))
        .collect();
    if pairs.is_empty() { "/compliance".to_owned() } else { format!("/compliance?{}", pairs.join("&")) }
}

fn more(board: &Board, filter: &Filter, is_later: bool) -> Option<AnyView> {
    let next = board.next.as_ref().map(|next| {
        view! { <LinkButton href=address(filter, Some(next)) label="More federations" small=true /> }
    });
    let first = is_later
        .then(|| view! { <LinkButton href=address(filter, None) label="First federations" small=true /> });
    (next.is_some() || first.is_some()).then(|| {
        view! {
            <div class="pad">
                <div class="actions">{first} {next}</div>
            </div>
        }
        .into_any()
    })
}

fn exceptions(board: &Board, now: Millis) -> AnyView {
    let list = if board.exceptions.is_empty() {
        view! { <p class="muted pad">"The policy holds for every key of every federation."</p> }.into_any()
    } else {
        let rows = board.exceptions.iter().map(|(federation, one)| exception(federation, one, now));
        view! {
            <div class="tw" tabindex="0" role="region" aria-label="Table of exceptions">
                <table class="t cards">
                    <caption class="sr">"Open exceptions, the first to end first"</caption>
                    <thead>
                        <tr>
                            <th scope="col">"Federation"</th>
                            <th scope="col">"For"</th>
                            <th scope="col">"Owner"</th>
                            <th scope="col">"Why"</th>
                            <th scope="col">"Ends"</th>
                        </tr>
                    </thead>
                    <tbody>{rows.collect_view()}</tbody>
                </table>
            </div>
        }
        .into_any()
    };
    view! {
        <section class="card flush" aria-labelledby="exceptions">
            <header>
                <h2 id="exceptions">"Open exceptions"</h2>
            </header>
            {list}
            <p class="pad small muted">
                "An exception is made, and ended, on the page of a federation's rotation policy, by who runs it."
            </p>
        </section>
    }
    .into_any()
}

fn exception(federation: &Federation, one: &PolicyException, now: Millis) -> impl IntoView + use<> {
    let subject = one.key_id.as_ref().map_or_else(
        || view! { <span>"Every key"</span> }.into_any(),
        |id| view! { <a href=format!("/keys/{id}")>"One key"</a> }.into_any(),
    );
    view! {
        <tr>
            <th scope="row">
                <a href=format!("/federations/{}/rotation#exceptions", federation.slug)>{federation.name.clone()}</a>
            </th>
            <td data-l="For">{subject}</td>
            <td data-l="Owner">
                <span class="break">{one.owner.clone()}</span>
            </td>
            <td data-l="Why">
                <span class="break">{one.reason.clone()}</span>
            </td>
            <td data-l="Ends">
                <span>
                    <Exact at=one.ends_ms /> <span class="sub">{relative(one.ends_ms, now)}</span>
                </span>
            </td>
        </tr>
    }
}

fn since(since_ms: Option<Millis>) -> String {
    since_ms.map_or_else(
        || "There is no record of a key yet.".to_owned(),
        |at| {
            format!(
                "Records of keys begin on {}. Each month is held against the policy and the exceptions of its time; a month without a key is left out.",
                day(at)
            )
        },
    )
}

/// How the words are meant.
fn method() -> AnyView {
    let terms =
        Standing::ALL.map(|standing| view! { <dt>{standing.label()}</dt> <dd>{standing.meaning()}</dd> });
    view! {
        <details class="card more">
            <summary>"How this is worked out"</summary>
            <dl class="props">
                {terms.collect_view()} <dt>"Limit"</dt>
                <dd>"A key is too old when it was issued longer ago than its policy allows, or when its own end has come."</dd>
                <dt>"Scopes to look at"</dt>
                <dd>
                    "Keys with the full directory, and keys that did no work for 30 days. What a key could be tightened to stands on its page."
                </dd> <dt>"Last rehearsal"</dt>
                <dd>"Rehearsals are not recorded yet. A real compromise that was answered and closed is named instead."</dd>
            </dl>
        </details>
    }
    .into_any()
}
