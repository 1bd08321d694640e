//! Tests of what a profile keeps.

use super::*;

#[test]
fn buckets_hold_their_values_within_a_quarter() {
    let mut before = 0;
    for value in 0..100_000_u64 {
        let bucket = bucket(value);
        assert!(bucket >= before && top(bucket) >= value, "{value}");
        assert!(top(bucket) - value <= value / 4, "{value} in {bucket} up to {}", top(bucket));
        before = bucket;
    }
}

#[test]
fn networks_are_24_and_48_and_families_have_no_version() {
    let of = |text: &str| network_of(text.parse().unwrap());
    assert_eq!(of("192.0.2.7"), "192.0.2.0/24");
    assert_eq!(of("::ffff:192.0.2.7"), "192.0.2.0/24");
    assert_eq!(of("2001:db8:1:2::3"), "2001:db8:1::/48");
    assert_eq!(family_of("Okta SCIM Client 1.0.0"), "okta");
    assert_eq!(family_of("python-requests/2.31"), "python-requests");
    assert_eq!(family_of(""), "none");
}
