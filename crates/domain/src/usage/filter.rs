//! What to find among usage records: the parameters of a page and of the API, read and applied.

use ipnet::IpNet;

use super::{Decision, UsageRecord};
use crate::{DAY_MS, Invalid, KeyId, Millis, RequestId, federations::Slug};

/// What is wanted; every field narrows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UsageFilter {
    /// Of one federation.
    pub federation: Option<Slug>,
    /// Of one key.
    pub key_id: Option<KeyId>,
    /// From this time on.
    pub from_ms: Option<Millis>,
    /// Before this time.
    pub to_ms: Option<Millis>,
    /// Of one method.
    pub method: Option<String>,
    /// Of one endpoint: `Users`, `Groups`, the discovery endpoints.
    pub resource_type: Option<String>,
    /// About one resource.
    pub resource_id: Option<String>,
    /// About the user of this name in the federation; who searches makes [`UsageFilter::resource_id`] of it.
    pub person: Option<String>,
    /// With a status, or of a class of them.
    pub status: Option<StatusWanted>,
    /// Decided so.
    pub decision: Option<Decision>,
    /// From this network.
    pub source: Option<IpNet>,
    /// With this text in the user agent, whatever its case.
    pub agent: Option<String>,
    /// That wrote this attribute, whatever its case.
    pub attribute: Option<String>,
    /// The one request.
    pub request_id: Option<RequestId>,
    /// Real work, or only what was none.
    pub is_work: Option<bool>,
}

/// A status, or a class of statuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatusWanted {
    /// This one.
    Exactly(u16),
    /// 4 for 400 to 499.
    Class(u16),
}

impl StatusWanted {
    /// The class that it is of.
    pub const fn class(self) -> u16 {
        match self {
            Self::Exactly(status) => status / 100,
            Self::Class(class) => class,
        }
    }

    const fn matches(self, status: u16) -> bool {
        match self {
            Self::Exactly(wanted) => status == wanted,
            Self::Class(class) => status / 100 == class,
        }
    }

    fn parse(text: &str) -> Option<Self> {
        if let Some(class) = text.strip_suffix("xx") {
            return class.parse().ok().filter(|class| (1..=5).contains(class)).map(Self::Class);
        }
        text.parse().ok().filter(|status| (100..600).contains(status)).map(Self::Exactly)
    }
}

impl std::fmt::Display for StatusWanted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exactly(status) => write!(f, "{status}"),
            Self::Class(class) => write!(f, "{class}xx"),
        }
    }
}

/// The parameters, as pages and the API name them.
pub const PARAMETERS: [&str; 15] = [
    "federation",
    "key",
    "from",
    "to",
    "method",
    "type",
    "resource",
    "person",
    "status",
    "decision",
    "source",
    "agent",
    "attribute",
    "request",
    "work",
];

/// The longest text of a parameter.
const LONGEST: usize = 256;

/// The methods that SCIM knows.
pub const METHODS: [&str; 5] = ["GET", "POST", "PUT", "PATCH", "DELETE"];

impl UsageFilter {
    /// Reads parameters; an empty one narrows nothing. Names that are not among [`PARAMETERS`] are the
    /// caller's to judge.
    ///
    /// # Errors
    /// [`Invalid`] on the first parameter that cannot be read.
    pub fn parse<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, Invalid> {
        let mut filter = Self::default();
        for (name, value) in pairs {
            let value = value.trim();
            if !value.is_empty() {
                filter.set(name, value)?;
            }
        }
        if filter.person.is_some() && filter.federation.is_none() {
            return Err(Invalid::new(
                "person",
                "name the federation too: a name is one person only within it",
            ));
        }
        if let (Some(from), Some(to)) = (filter.from_ms, filter.to_ms)
            && from >= to
        {
            return Err(Invalid::new("to", "the end lies before the beginning"));
        }
        Ok(filter)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), Invalid> {
        if value.len() > LONGEST {
            return Err(Invalid::new(name, format!("longer than {LONGEST} bytes")));
        }
        let not = |expected: &str| Invalid::new(name, format!("{value:?} is not {expected}"));
        match name {
            "federation" => {
                let slug = Slug::parse(value).map_err(|_| not("the short name of a federation"))?;
                self.federation = Some(slug);
            }
            "key" => self.key_id = Some(KeyId::parse(value).ok_or_else(|| not("the id of a key (key_…)"))?),
            "from" => self.from_ms = Some(moment(value).ok_or_else(|| not(MOMENT))?.0),
            // The last day that is named is wanted whole.
            "to" => {
                let (at_ms, is_day) = moment(value).ok_or_else(|| not(MOMENT))?;
                self.to_ms = Some(if is_day { at_ms + DAY_MS } else { at_ms });
            }
            "method" => {
                let method = value.to_ascii_uppercase();
                if !METHODS.contains(&method.as_str()) {
                    return Err(not("GET, POST, PUT, PATCH or DELETE"));
                }
                self.method = Some(method);
            }
            "type" => self.resource_type = Some(value.to_owned()),
            "resource" => self.resource_id = Some(value.to_owned()),
            "person" => self.person = Some(value.to_owned()),
            "status" => {
                let status = StatusWanted::parse(value);
                self.status = Some(status.ok_or_else(|| not("a status (404) or a class of them (4xx)"))?);
            }
            "decision" => {
                let decision = Decision::parse(value);
                self.decision = Some(decision.ok_or_else(|| not("allowed, denied or refused"))?);
            }
            "source" => {
                let network =
                    value.parse::<IpNet>().or_else(|_| value.parse::<std::net::IpAddr>().map(IpNet::from));
                self.source = Some(network.map_err(|_| not("an address or a network (192.0.2.0/24)"))?);
            }
            "agent" => self.agent = Some(value.to_lowercase()),
            "attribute" => self.attribute = Some(value.to_lowercase()),
            "request" => {
                let id = RequestId::parse(value);
                self.request_id = Some(id.ok_or_else(|| not("the id of a request (req_…)"))?);
            }
            "work" => {
                self.is_work = Some(match value {
                    "yes" => true,
                    "no" => false,
                    _ => return Err(not("yes or no")),
                });
            }
            _ => return Err(Invalid::new(name, "there is no such parameter")),
        }
        Ok(())
    }

    /// Whether a record is wanted, its federation and key aside.
    pub fn matches(&self, record: &UsageRecord) -> bool {
        let is = |wanted: &Option<String>, found: &str| wanted.as_ref().is_none_or(|wanted| wanted == found);
        self.from_ms.is_none_or(|from| record.at_ms >= from)
            && self.to_ms.is_none_or(|to| record.at_ms < to)
            && self.decision.is_none_or(|decision| decision == record.decision)
            && self.status.is_none_or(|status| status.matches(record.status))
            && is(&self.method, &record.method)
            && is(&self.resource_type, &record.resource_type)
            && self.resource_id.as_ref().is_none_or(|id| record.resource_id.as_ref() == Some(id))
            && self.is_work.is_none_or(|is_work| is_work == record.is_work)
            && self.request_id.as_ref().is_none_or(|id| *id == record.request_id)
            && self.key_id.as_ref().is_none_or(|id| *id == record.key_id)
            && self.attribute.as_ref().is_none_or(|wanted| {
                record.attributes.iter().any(|attribute| attribute.to_lowercase() == *wanted)
            })
            && self.agent.as_ref().is_none_or(|wanted| {
                record.user_agent.as_ref().is_some_and(|agent| agent.to_lowercase().contains(wanted))
            })
            && self.source.is_none_or(|network| {
                let source = record.source.as_ref().and_then(|text| text.parse().ok());
                source.is_some_and(|source: std::net::IpAddr| network.contains(&source))
            })
    }

    /// Whether it looks for what was done with one person's account: who asks that is recorded.
    pub const fn is_personal(&self) -> bool {
        self.resource_id.is_some() || self.person.is_some()
    }

    /// The parameters that it was read from, in the order of [`PARAMETERS`].
    pub fn parameters(&self) -> Vec<(&'static str, String)> {
        let text = |value: &Option<String>| value.clone();
        let values = [
            self.federation.as_ref().map(ToString::to_string),
            self.key_id.as_ref().map(ToString::to_string),
            self.from_ms.map(|at_ms| at_ms.to_string()),
            self.to_ms.map(|at_ms| at_ms.to_string()),
            text(&self.method),
            text(&self.resource_type),
            text(&self.resource_id),
            text(&self.person),
            self.status.map(|status| status.to_string()),
            self.decision.map(|decision| decision.as_str().to_owned()),
            self.source.map(|network| network.to_string()),
            text(&self.agent),
            text(&self.attribute),
            self.request_id.as_ref().map(ToString::to_string),
            self.is_work.map(|is_work| if is_work { "yes" } else { "no" }.to_owned()),
        ];
        PARAMETERS.into_iter().zip(values).filter_map(|(name, value)| Some((name, value?))).collect()
    }
}

const MOMENT: &str = "a day (2026-01-31), a time (2026-01-31T14:00:00Z), or milliseconds since 1970";

/// A day or a time of UTC, and whether it is a day.
fn moment(text: &str) -> Option<(Millis, bool)> {
    if text.len() >= 11 && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().ok().filter(|at_ms| *at_ms < 1 << 46).map(|at_ms| (at_ms, false));
    }
    let (date, time) = text.split_once(['T', ' ']).map_or((text, None), |(date, time)| (date, Some(time)));
    let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
    if !(1970..=2200).contains(&year)
        || !(1..=12).contains(&month)
        || !(1..=days_of(year, month)).contains(&day)
    {
        return None;
    }
    let start_ms = days_since_1970(year, month, day) * DAY_MS;
    let Some(time) = time else { return Some((start_ms, true)) };
    let time = time.strip_suffix('Z').unwrap_or(time);
    let whole = if time.len() == 5 { format!("{time}:00") } else { time.to_owned() };
    let [hour, minute, second] = numbers(&whole, ':', [2, 2, 2])?;
    let is_time = hour < 24 && minute < 60 && second < 60;
    is_time.then_some((start_ms + ((hour * 60 + minute) * 60 + second) * 1_000, false))
}

fn numbers(text: &str, between: char, lengths: [usize; 3]) -> Option<[i64; 3]> {
    let mut parts = text.split(between);
    let mut numbers = [0; 3];
    for (number, length) in numbers.iter_mut().zip(lengths) {
        let part = parts.next()?;
        let is_number = part.len() == length && part.bytes().all(|byte| byte.is_ascii_digit());
        *number = is_number.then(|| part.parse().ok())??;
    }
    parts.next().is_none().then_some(numbers)
}

const fn days_of(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days of the Gregorian calendar, counted in years that begin in March, so that leap days come last.
const fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let month = (month + 9) % 12;
    year * 365 + year / 4 - year / 100 + year / 400 + (month * 306 + 5) / 10 + (day - 1) - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(name: &str, value: &str) -> Result<UsageFilter, Invalid> {
        UsageFilter::parse([(name, value)])
    }

    fn record() -> UsageRecord {
        UsageRecord {
            request_id: RequestId::new(5_000, [1; 10]),
            at_ms: 5_000,
            federation_id: None,
            key_id: KeyId::new(1, [1; 10]),
            method: "PATCH".to_owned(),
            resource_type: "Users".to_owned(),
            resource_id: Some("abc".to_owned()),
            status: 404,
            decision: Decision::Allowed,
            reason: None,
            duration_us: 1,
            source: Some("192.0.2.7".to_owned()),
            user_agent: Some("Okta SCIM Client 1.0".to_owned()),
            tolerated: Vec::new(),
            is_work: true,
            facts: crate::usage::Facts::default(),
            attributes: vec!["emails".to_owned(), "displayName".to_owned()],
        }
    }

    #[test]
    fn each_parameter_narrows_and_says_when_it_cannot_be_read() {
        let key = KeyId::new(1, [1; 10]).to_string();
        let request = RequestId::new(5_000, [1; 10]).to_string();
        let hits = [
            ("key", key.as_str()),
            ("from", "1970-01-01T00:00:05"),
            ("to", "1970-01-01"),
            ("method", "patch"),
            ("type", "Users"),
            ("resource", "abc"),
            ("status", "4xx"),
            ("status", "404"),
            ("decision", "allowed"),
            ("source", "192.0.2.0/24"),
            ("source", "192.0.2.7"),
            ("agent", "okta scim"),
            ("attribute", "displayname"),
            ("request", request.as_str()),
            ("work", "yes"),
            ("agent", ""),
        ];
        for (name, value) in hits {
            assert!(one(name, value).unwrap().matches(&record()), "{name}={value}");
        }
        let other = KeyId::new(2, [1; 10]).to_string();
        let another = RequestId::new(5_001, [1; 10]).to_string();
        let misses = [
            ("key", other.as_str()),
            ("from", "1970-01-02"),
            ("to", "1970-01-01T00:00:05"),
            ("method", "GET"),
            ("type", "Groups"),
            ("resource", "ab"),
            ("status", "2xx"),
            ("status", "403"),
            ("decision", "denied"),
            ("source", "198.51.100.0/24"),
            ("agent", "entra"),
            ("attribute", "email"),
            ("request", another.as_str()),
            ("work", "no"),
        ];
        for (name, value) in misses {
            assert!(!one(name, value).unwrap().matches(&record()), "{name}={value}");
        }
        let wrong = [
            ("key", "x"),
            ("from", "yesterday"),
            ("to", "2026-02-30"),
            ("method", "TRACE"),
            ("status", "6xx"),
            ("status", "99"),
            ("decision", "maybe"),
            ("source", "here"),
            ("request", "1"),
            ("work", "perhaps"),
            ("federation", "Not A Slug"),
            ("unknown", "1"),
        ];
        for (name, value) in wrong {
            assert_eq!(one(name, value).unwrap_err().field, name, "{value}");
        }
        assert_eq!(one("agent", &"x".repeat(257)).unwrap_err().field, "agent");
        assert_eq!(one("person", "ada@example.com").unwrap_err().field, "person", "of which federation?");
        let backwards = UsageFilter::parse([("from", "2026-01-02"), ("to", "2026-01-01")]);
        assert_eq!(backwards.unwrap_err().field, "to");
    }

    #[test]
    fn what_was_read_can_be_written_again() {
        let pairs = [
            ("status", "4xx"),
            ("method", "GET"),
            ("from", "2026-01-31"),
            ("work", "no"),
            ("source", "192.0.2.1"),
        ];
        let filter = UsageFilter::parse(pairs).unwrap();
        let written = filter.parameters();
        let again = UsageFilter::parse(written.iter().map(|(name, value)| (*name, value.as_str())));
        assert_eq!(again.unwrap(), filter);
    }

    #[test]
    fn days_and_times_are_those_of_the_calendar() {
        let cases = [
            ("1970-01-01", 0),
            ("2000-02-29", 951_782_400_000),
            ("2026-01-31", 1_769_817_600_000),
            ("2026-01-31T14:05", 1_769_868_300_000),
            ("2026-01-31T14:05:06Z", 1_769_868_306_000),
            ("1769868306000", 1_769_868_306_000),
        ];
        for (text, at_ms) in cases {
            assert_eq!(moment(text).map(|(at_ms, _)| at_ms), Some(at_ms), "{text}");
        }
        for text in ["2023-02-29", "2026-13-01", "2026-1-1", "2026-01-01T24:00", "1", "2026-01-01T1:2:3", ""]
        {
            assert_eq!(moment(text), None, "{text}");
        }
    }
}
