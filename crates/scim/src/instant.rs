//! Instants as XML Schema writes them (RFC 7643 2.3.5), and what providers write instead.

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    error::ScimError,
    tolerance::{Reading, Tolerance},
};

/// An instant: any number of fraction digits, UTC when no zone is given, midnight when no time is. A
/// space before the zone is the `+` of a query that was not encoded.
pub(crate) fn parse(text: &str) -> Option<OffsetDateTime> {
    let text = text.trim().replace(' ', "+");
    as_xml_schema(&text).or_else(|| OffsetDateTime::parse(&format!("{text}T00:00:00Z"), &Rfc3339).ok())
}

/// The instant of a text in nanoseconds since 1970, as a filter compares it; none when it is no instant.
pub fn unix_nanos(text: &str) -> Option<i128> {
    parse(text).map(OffsetDateTime::unix_timestamp_nanos)
}

/// XML Schema leaves the zone to the writer.
fn as_xml_schema(text: &str) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(text, &Rfc3339)
        .or_else(|_| OffsetDateTime::parse(&format!("{text}Z"), &Rfc3339))
        .ok()
}

/// Notes what of an instant is not as the standard writes it.
///
/// # Errors
/// In strict mode for what XML Schema does not have.
pub(crate) fn note(text: &str, place: &str, reading: &mut Reading) -> Result<(), ScimError> {
    if as_xml_schema(text).is_none() {
        reading.note(Tolerance::LooseDate, place)?;
    }
    let fraction = text.split_once('.').map(|(_, rest)| rest.bytes().take_while(u8::is_ascii_digit).count());
    if fraction.is_some_and(|digits| digits > 6) {
        reading.note(Tolerance::LongFraction, place)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_looser_than_the_standard_is_noted() {
        let seen = |text: &str| {
            let mut reading = Reading::lenient();
            assert!(parse(text).is_some(), "{text}");
            note(text, "meta.created", &mut reading).expect("lenient");
            reading.seen.words()
        };
        let none: [&str; 0] = [];
        for text in ["2020-01-01T00:00:00Z", "2020-01-01T00:00:00.123456+02:00", "2020-01-01T00:00:00"] {
            assert_eq!(seen(text), none, "{text}");
        }
        assert_eq!(seen("2015-10-10T14:38:21.8617979-07:00"), ["long-fraction"]);
        assert_eq!(seen("2020-01-01"), ["loose-date"]);
        assert_eq!(seen("2020-01-01T00:00:00 02:00"), ["loose-date"]);
        assert_eq!(parse("yesterday"), None);
    }
}
